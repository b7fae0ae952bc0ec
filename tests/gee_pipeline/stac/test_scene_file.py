"""Scenes as a file: they come back as they were, and whoever has the file never reads the catalog."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.grid import Grid
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.source import ListedSource
from gee_pipeline.stac.catalog import open_catalog
from gee_pipeline.stac.composites.source import SCENES_FILE, StacSource, around_cell, around_grid
from gee_pipeline.stac.scene_file import open_scenes, write_scenes
from tests.support.fake_catalog import LEFT, TOP, UTM32, FakeCatalog, Layer, cell_at, raster_v1

SEASON = SUMMER.season(2021, "north")
BINS = range(24, 26)  # from 1 May on
RECIPE = Recipe.of(bands=("B4", "B11"))
GRID = Grid(GeoBox((48, 48), Affine(10, 0, LEFT, 0, -10, TOP), UTM32), 24)
EVERYWHERE = shapely.box(-180, -90, 180, 90)


def layers(seed: int) -> dict[str, Layer]:
    numbers = np.random.default_rng(seed).integers(900, 9_000, (60, 60)).astype(np.uint16)
    declared = raster_v1(scale=0.0001, offset=-0.1, nodata=0, data_type="uint16")
    placed = {"proj:transform": [10, 0, LEFT, 0, -10, TOP], "proj:epsg": 32632}
    return {
        "B04": Layer(numbers, fields=declared | placed),
        "B11": Layer(numbers[::2, ::2], resolution=20, fields=raster_v1(nodata="nan", unit="1")),
        "cs": Layer(np.full((60, 60), 0.9, np.float32)),
        "SCL": Layer(np.full((60, 60), 4, np.uint8)),
    }


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Four scenes, one of them twice in two processings, one on a day that no bin has."""
    made = FakeCatalog(tmp_path / "scenes")
    for number, day in enumerate(("2021-05-07", "2021-05-02T10:30:20Z", "2021-05-02", "2021-08-01")):
        made.add(f"S{number}", day, layers(number), **{"s2:processing_baseline": f"05.{number:02d}"})
    return made.save()


def source_of(catalog: Path) -> StacSource:
    return StacSource(str(catalog), RECIPE)


def test_scenes_come_back_as_they_were_in_their_order(catalog: Path, tmp_path: Path) -> None:
    index = open_catalog(str(catalog), None, RECIPE).around(EVERYWHERE, SEASON.span(BINS, 5))
    write_scenes(tmp_path / "scenes.npz", index.scenes)
    found = open_scenes(tmp_path / "scenes.npz", RECIPE)
    assert repr(list(found.scenes)) == repr(list(index.scenes))  # a nodata of NaN does not equal itself
    assert [scene.footprint for scene in found.scenes] == [scene.footprint for scene in index.scenes]
    assert [scene.id for scene in found.touching(EVERYWHERE)] == ["S1", "S2", "S0", "S3"]
    assert found.touching(shapely.box(100, 0, 101, 1)) == []
    assert [scene.fingerprint for scene in found.scenes] == [scene.fingerprint for scene in index.scenes]


def test_a_file_that_was_written_again_is_read_again(catalog: Path, tmp_path: Path) -> None:
    index, path = (
        open_catalog(str(catalog), None, RECIPE).around(EVERYWHERE, SEASON.span(BINS, 5)),
        tmp_path / "f",
    )
    write_scenes(path, index.scenes)
    assert len(open_scenes(path, RECIPE).scenes) == 4
    write_scenes(path, index.scenes[:1])
    assert len(open_scenes(path, RECIPE).scenes) == 1


def test_whoever_has_the_file_does_not_need_the_catalog(catalog: Path, tmp_path: Path) -> None:
    source, cell = source_of(catalog), GRID.cell(1, 0)
    assert isinstance(source, ListedSource)
    expected = source.read_cell(cell, SEASON, BINS)
    kept = pickle.loads(pickle.dumps(source.kept(tmp_path, GRID.geobox, SEASON, BINS)))
    for document in [catalog, *catalog.parent.glob("*/item.json")]:
        document.unlink()
    found = kept.read_cell(cell, SEASON, BINS)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.counts == expected.counts
    assert found.counts.scenes == 3
    assert len(open_scenes(tmp_path / SCENES_FILE, RECIPE).scenes) == 3  # those of the bins


def test_secrets_in_links_are_written_to_no_file(tmp_path: Path) -> None:
    made = FakeCatalog(tmp_path / "scenes")
    item = made.add("S0", "2021-05-02", layers(0))
    item["assets"]["B04"]["href"] = "https://host/B04.tif?sig=secret"
    source = source_of(made.save())
    assert source.kept(tmp_path, GRID.geobox, SEASON, BINS) is source
    assert not (tmp_path / SCENES_FILE).exists()


@pytest.mark.parametrize(
    ("crs", "left", "top", "rows", "cols"),
    [
        (UTM32, LEFT, TOP, 1, 1),
        (UTM32, 200_000, 5_900_000, 200, 250),  # 600 km of a zone
        ("EPSG:32633", 300_000, 8_900_000, 40, 80),  # 80 degrees north
        ("EPSG:3035", 2_600_000, 3_600_000, 300, 400),  # France
        ("EPSG:32760", 700_000, 8_000_000, 60, 60),  # Fiji: across the antimeridian
    ],
)
def test_the_place_of_a_grid_holds_those_of_its_cells(
    crs: str, left: int, top: int, rows: int, cols: int
) -> None:
    grid = Grid(GeoBox((rows * 256, cols * 256), Affine(10, 0, left, 0, -10, top), crs), 256)
    place = around_grid(grid.geobox)
    border = {(r, c) for r in range(0, rows, 7) for c in (0, cols - 1)}
    border |= {(r, c) for r in (0, rows - 1) for c in range(0, cols, 7)} | {(rows // 2, cols // 2)}
    for row, col in sorted(border):
        assert place.contains(around_cell(grid.cell(row, col))), (row, col)


def test_the_margin_of_a_small_grid_is_small() -> None:
    west, south, east, north = around_grid(cell_at().geobox).bounds
    assert east - west < 0.2
    assert north - south < 0.2
