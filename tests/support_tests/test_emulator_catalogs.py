"""STAC catalogs as archives: every pixel against rasterio and the declared scale, offset and nodata."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from affine import Affine

from examples.simulated_scenes import Settings, simulate
from tests.support.ee_asking import graph_of, offline_client
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.catalog import archive_of_catalog
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.plain import plain
from tests.support.fake_catalog import LEFT, TOP, UTM32, FakeCatalog, Layer, raster_v1

pytestmark = pytest.mark.slow

S2, CS = "COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("scenes"), Settings(size=64, acquisitions=9))


def ask(archive: Archive, expression: Any) -> Any:
    return plain(evaluate(graph_of(expression), archive))


def whole(archive: Archive, name: str, band: str) -> np.ma.MaskedArray:
    """A band on its own pixels."""
    raster = {asset.id: asset for asset in archive}[name].bands[band]
    grid = Grid(raster.crs, raster.transform, raster.shape[1], raster.shape[0])
    ((_, values, mask),) = image_pixels(evaluate(graph_of(ee.Image(name).select(band)), archive), grid)
    return np.ma.array(values, mask=~mask)


def decoded(item: dict[str, Any], folder: Path, key: str) -> np.ma.MaskedArray:
    """Reflectance x 10,000, halves up and at least 0, from the file and its declaration."""
    fields = item["assets"][key]["raster:bands"][0]
    with rasterio.open(folder / item["assets"][key]["href"]) as file:
        numbers = file.read(1)
    value = numbers.astype(float) * fields["scale"] + fields["offset"]
    wanted = np.maximum(np.floor(np.round(value * 10_000, 6) + 0.5), 0)
    return np.ma.array(wanted, mask=numbers == fields["nodata"])


def test_every_scene_is_an_image_of_its_bands_and_every_score_another(simulated: Path) -> None:
    archive = archive_of_catalog(simulated)
    items = {path.stem: json.loads(path.read_text()) for path in simulated.parent.glob("items/*/*.json")}
    assert ask(archive, ee.ImageCollection(S2).aggregate_array("system:index")) == sorted(items)
    scored = sorted(name for name, item in items.items() if "cs" in item["assets"])
    assert 0 < len(scored) < len(items)
    assert ask(archive, ee.ImageCollection(CS).aggregate_array("system:index")) == scored
    for asset in archive:
        assert (
            asset.time_start.isoformat().replace("+00:00", "Z")
            == items[asset.index]["properties"]["datetime"]
        )
    name = f"{S2}/{scored[0]}"
    assert ask(archive, ee.Image(name).bandNames()) == [
        "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12", "SCL",
    ]  # fmt: skip


@pytest.mark.parametrize(("band", "key"), [("B2", "B02"), ("B8A", "B8A"), ("B12", "B12")])
def test_reflectance_is_decoded_by_what_each_item_declares(simulated: Path, band: str, key: str) -> None:
    archive = archive_of_catalog(simulated)
    offsets = set()
    for path in sorted(simulated.parent.glob("items/*/*.json")):
        item = json.loads(path.read_text())
        wanted = decoded(item, path.parent, key)
        got = whole(archive, f"{S2}/{item['id']}", band)
        assert got.dtype == np.uint16
        np.testing.assert_array_equal(got.mask, wanted.mask)
        np.testing.assert_array_equal(got.filled(0), wanted.filled(0))
        offsets.add(item["assets"][key]["raster:bands"][0]["offset"])
    assert offsets == {0.0, -0.1}


def test_scores_and_classes_keep_their_values(simulated: Path) -> None:
    archive = archive_of_catalog(simulated)
    path = next(
        path for path in sorted(simulated.parent.glob("items/*/*.json")) if (path.parent / "cs.tif").exists()
    )
    with rasterio.open(path.parent / "cs.tif") as file:
        steps = file.read(1)
    got = whole(archive, f"{CS}/{path.stem}", "cs")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(np.ma.getmaskarray(got), steps == 255)
    np.testing.assert_allclose(got.filled(9), np.where(steps == 255, 9, steps / 100), rtol=1e-6)
    with rasterio.open(path.parent / "SCL.tif") as file:
        classes = file.read(1)
    got = whole(archive, f"{S2}/{path.stem}", "SCL")
    assert got.filled(0).tolist() == classes.tolist()


def test_undeclared_numbers_are_taken_as_esas(tmp_path: Path) -> None:
    catalog = FakeCatalog(tmp_path / "c")
    numbers = np.array([[0, 1, 2_345, 65_535]], "uint16")
    catalog.add("old", "2021-05-03", {"B02": Layer(numbers)})
    catalog.add("new", "2022-05-03", {"B2": Layer(numbers)}, **{"s2:processing_baseline": "05.09"})
    catalog.add("plain", "2021-05-03", {"B02": Layer(np.array([[-0.001, 0.0, 0.25, np.nan]], "float32"))})
    archive = archive_of_catalog(catalog.save())
    assert whole(archive, f"{S2}/old", "B2").tolist() == [[None, 1, 2_345, 65_535]]
    assert whole(archive, f"{S2}/new", "B2").tolist() == [[None, 0, 1_345, 64_535]]
    assert whole(archive, f"{S2}/plain", "B2").tolist() == [[0, 0, 2_500, None]]
    assert ask(archive, ee.ImageCollection(CS).size()) == 0


def test_dark_pixels_keep_their_sign_where_wanted(tmp_path: Path) -> None:
    catalog = FakeCatalog(tmp_path / "c")
    layer = Layer(np.array([[900, 1_500]], "uint16"), fields=raster_v1(scale=0.0001, offset=-0.1, nodata=0))
    catalog.add("x", "2021-05-03", {"B04": layer})
    path = catalog.save()
    assert whole(archive_of_catalog(path), f"{S2}/x", "B4").tolist() == [[0, 500]]
    assert whole(archive_of_catalog(path, signed=True), f"{S2}/x", "B4").tolist() == [[-100, 500]]


def test_what_no_surface_reflects_is_masked(tmp_path: Path) -> None:
    catalog = FakeCatalog(tmp_path / "c")
    catalog.add("x", "2021-05-03", {"B04": Layer(np.array([[0.5, 1e20, -50, 9.9]], "float32"))})
    assert whole(archive_of_catalog(catalog.save()), f"{S2}/x", "B4").tolist() == [
        [5_000, None, None, 65_535]
    ]


def test_a_catalog_is_placed_where_its_files_are(tmp_path: Path) -> None:
    catalog = FakeCatalog(tmp_path / "c")
    values = np.arange(1, 37, dtype="uint16").reshape(6, 6)
    layer = Layer(values, left=LEFT + 40, resolution=20)
    catalog.add("x", "2021-05-03", {"B05": layer})
    archive = archive_of_catalog(catalog.save())
    grid = Grid(UTM32, Affine(10, 0, LEFT, 0, -10, TOP), 20, 14)
    ((_, got, mask),) = image_pixels(evaluate(graph_of(ee.Image(f"{S2}/x")), archive), grid)
    for row in range(14):
        for col in range(20):
            i, j = math.floor((row + 0.5) / 2), math.floor((col + 0.5 - 4) / 2)
            there = 0 <= i < 6 and 0 <= j < 6
            assert mask[row, col] == there
            assert not there or got[row, col] == values[i, j]


def test_an_item_without_bands_is_named(tmp_path: Path) -> None:
    catalog = FakeCatalog(tmp_path / "c")
    catalog.add("odd", "2021-05-03", {"thumbnail": Layer(np.ones((2, 2), "uint8"))})
    with pytest.raises(ValueError, match="Item odd has no asset of a Sentinel-2 band"):
        archive_of_catalog(catalog.save())
