"""`--like raster.tif`: the map lies on the pixels of another raster, wherever these are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

from inference.run.plan import load_plan
from tests.support.tiny_place import Place, codes, files, report, run_cropmap

pytestmark = pytest.mark.slow

ZONE = "EPSG:32615"


def write_raster(path: Path, transform: Affine, shape: tuple[int, int], crs: Any = ZONE) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=1, height=shape[0], width=shape[1], crs=crs,
        transform=transform,
    ) as file:  # fmt: skip
        file.write(np.ones(shape, np.uint8), 1)
    return path


@pytest.fixture
def frame(finished: Path) -> tuple[Affine, int, int]:
    """Transform of the finished map, and row and column of the first mapped pixel."""
    rows, cols = np.nonzero(codes(finished))
    with rasterio.open(finished / "map" / "crop_map.tif") as file:
        return file.transform, int(rows.min()), int(cols.min())


def within(place: Place, path: Path) -> NDArray[np.bool_]:
    """Pixels of a raster whose centre lies in the area, by shapely."""
    with rasterio.open(path) as file:
        rows, cols = np.indices(file.shape)
        x, y = file.transform * (cols + 0.5, rows + 0.5)
        to_map = pyproj.Transformer.from_crs("EPSG:4326", file.crs, always_xy=True).transform
    return shapely.contains_xy(shapely.transform(place.polygon, to_map, interleaved=False), x, y)


def test_shifted_by_whole_pixels_the_map_holds_the_same_pixels(
    place: Place, finished: Path, tmp_path: Path, frame: tuple[Affine, int, int]
) -> None:
    """An origin and a size that are no multiple of a cell, on the pixels of the default grid."""
    transform, row, col = frame
    shape = 83, 71
    raster = write_raster(tmp_path / "like.tif", transform * Affine.translation(col - 3, row - 5), shape)
    result = place.predict(tmp_path / "run", like=raster, layers="margin", cell_size=32)
    assert result.exit_code == 0, result.stderr
    expected = codes(finished)[row - 5 :, col - 3 :][: shape[0], : shape[1]]
    assert (expected > 0).sum() == (codes(finished) > 0).sum()  # the raster holds the whole area
    np.testing.assert_array_equal(codes(tmp_path / "run"), expected)
    with rasterio.open(raster) as like:
        for name in ("crop_map", "confidence", "clear_observations", "margin"):
            with rasterio.open(tmp_path / "run" / "map" / f"{name}.tif") as file:
                assert (file.transform, file.shape, file.crs) == (like.transform, like.shape, like.crs)
                assert file.bounds == like.bounds
    told = report(tmp_path / "run")["map"]
    assert (told["width"], told["height"], told["cell_size"]) == (71, 83, 32)
    item = json.loads((tmp_path / "run" / "map" / "item.json").read_text(encoding="utf-8"))
    assert item["properties"]["proj:shape"] == [83, 71]
    assert item["properties"]["proj:transform"][:6] == list(like.transform)[:6]


def test_an_origin_between_pixels_is_kept_and_the_area_decides_what_is_mapped(
    place: Place, tmp_path: Path, frame: tuple[Affine, int, int]
) -> None:
    transform, row, col = frame
    corner = transform * (col - 2, row - 2)
    moved = Affine(10, 0, corner[0] + 3.7, 0, -10, corner[1] - 0.25)
    raster = write_raster(tmp_path / "like.tif", moved, (80, 90))
    result = place.predict(tmp_path / "run", like=raster)
    assert result.exit_code == 0, result.stderr
    path = tmp_path / "run" / "map" / "crop_map.tif"
    with rasterio.open(path) as file:
        assert (file.transform, file.shape) == (moved, (80, 90))
    assert ((codes(tmp_path / "run") > 0) == within(place, path)).all()
    assert (codes(tmp_path / "run") > 0).sum() > 2_000


def test_the_raster_may_end_within_the_area_which_is_said(
    place: Place, finished: Path, tmp_path: Path, frame: tuple[Affine, int, int]
) -> None:
    transform, row, col = frame
    raster = write_raster(tmp_path / "like.tif", transform * Affine.translation(col, row), (20, 30))
    result = place.predict(tmp_path / "run", like=raster)
    assert result.exit_code == 0, result.stderr
    assert "reaches beyond the raster of --like" in result.stderr
    np.testing.assert_array_equal(codes(tmp_path / "run"), codes(finished)[row : row + 20, col : col + 30])
    assert any("beyond the raster" in text for text in report(tmp_path / "run")["notices"])


def test_the_run_goes_on_with_the_same_raster_and_with_no_other(
    place: Place, tmp_path: Path, frame: tuple[Affine, int, int]
) -> None:
    transform, row, col = frame
    at = transform * Affine.translation(col - 4, row - 4)
    raster, run = write_raster(tmp_path / "like.tif", at, (90, 90)), tmp_path / "run"
    assert place.export(run, like=raster).exit_code == 0
    assert place.predict(run, like=raster).exit_code == 0  # on the composites of the export
    assert load_plan(run).grid.map_shape == (90, 90)
    assert run_cropmap("predict", "--config", run / "run.toml").exit_code == 0
    for name, other, shape in (
        ("larger", at, (90, 91)),
        ("moved", Affine(10, 0, at.c + 0.3, 0, -10, at.f), (90, 90)),
    ):
        result = place.predict(run, like=write_raster(tmp_path / f"{name}.tif", other, shape))
        assert result.exit_code == 2, name
        assert "grid:" in result.stderr
    plain = place.predict(run)
    assert plain.exit_code == 2
    assert "grid:" in plain.stderr


def test_a_map_is_like_its_own_raster(place: Place, finished: Path, tmp_path: Path) -> None:
    """The grid of a map is that of its class map: pixels and cells are the same."""
    result = place.predict(tmp_path / "run", like=finished / "map" / "crop_map.tif")
    assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(codes(tmp_path / "run"), codes(finished))
    assert files(tmp_path / "run") == files(finished)


def test_a_run_without_it_says_nothing_of_it(finished: Path) -> None:
    kept = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert set(kept["grid"]) == {"crs", "transform", "shape", "cell_size"}


def test_an_estimate_counts_the_cells_of_the_raster(
    place: Place, tmp_path: Path, frame: tuple[Affine, int, int]
) -> None:
    transform, row, col = frame
    raster = write_raster(tmp_path / "like.tif", transform * Affine.translation(col - 2, row - 2), (200, 200))
    words = ("estimate", "--aoi", place.area, "--year", 2021, "--samples", 0, "--json")
    assert json.loads(run_cropmap(*words, "--like", raster).stdout)["counted"]["cells"] == 1
    assert json.loads(run_cropmap(*words).stdout)["counted"]["cells"] == 4


METRES_20 = Affine(20, 0, 500_000, 0, -20, 4_000_000)
SOUTH_UP = Affine(10, 0, 500_000, 0, 10, 4_000_000)
TURNED = Affine(10, 0.1, 500_000, 0.1, -10, 4_000_000)
DEGREES = Affine(1e-4, 0, -90, 0, -1e-4, 35)
TEN = Affine(10, 0, 500_000, 0, -10, 4_000_000)


@pytest.mark.parametrize(
    ("transform", "crs", "words"),
    [
        (METRES_20, ZONE, "square pixels of 10 m"),
        (SOUTH_UP, ZONE, "north up"),
        (TURNED, ZONE, "square pixels of 10 m"),
        (DEGREES, "EPSG:4326", "the CRS of"),
        (TEN, None, "is none"),
        (Affine(10, 0, 2_000_000, 0, -10, 700_000), "EPSG:2263", "projected CRS in metres"),  # feet
        (TEN, ZONE, "lies completely outside the raster"),
    ],
)
def test_other_rasters_are_refused_and_nothing_is_written(
    place: Place, tmp_path: Path, transform: Affine, crs: str | None, words: str
) -> None:
    raster = write_raster(tmp_path / "like.tif", transform, (50, 50), crs)
    result = place.predict(tmp_path / "run", like=raster)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_raster_and_a_second_crs_are_refused(place: Place, tmp_path: Path) -> None:
    result = place.predict(tmp_path / "run", like=place.area)
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    raster = write_raster(tmp_path / "like.tif", TEN, (50, 50))
    result = place.predict(tmp_path / "run", like=raster, crs="EPSG:3035")
    assert result.exit_code == 2
    assert "Omit one of the two" in result.stderr
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
