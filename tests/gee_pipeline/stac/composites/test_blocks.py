"""A block of cells: the composites of its cells one by one, from files that are opened once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.errors import SceneReadError
from gee_pipeline.grid import Cell, Grid
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.source import BlockSource, Composite
from gee_pipeline.stac.choice import SceneChoice
from gee_pipeline.stac.composites import reading
from gee_pipeline.stac.composites.source import StacSource
from tests.support.fake_catalog import LEFT, TOP, UTM32, FakeCatalog, Layer, raster_v1

SEASON = SUMMER.season(2021, "north")
BINS = range(24, 27)  # from 1 May on
RECIPE = Recipe.of(bands=("B4", "B11"))
SIZE = 24
GRID = Grid(GeoBox((3 * SIZE, 3 * SIZE), Affine(10, 0, LEFT, 0, -10, TOP), UTM32), SIZE)
CELLS = [GRID.cell(row, col) for row in range(3) for col in range(3)]
RAW = raster_v1(scale=0.0001, offset=-0.1, nodata=0, data_type="uint16")
DAYS = (
    "2021-05-01",
    "2021-05-03",
    "2021-05-04",
    "2021-05-07",
    "2021-05-07T10:30:20Z",
)  # none in the third bin


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Five scenes: not all cover all cells, half of them is cloudy, one cell is never clear."""
    rng, made = np.random.default_rng(3), FakeCatalog(tmp_path / "scenes")
    for i, day in enumerate(DAYS):
        left, top = LEFT + (-130, 370)[i % 2], TOP + 170
        score = rng.random((100, 100)).astype(np.float32)
        score[:45] = np.where(left < LEFT, score[:45], 0.1)
        layers = {
            "B04": Layer(rng.integers(900, 9_000, (100, 100)).astype(np.uint16), left, top, fields=RAW),
            "B11": Layer(rng.integers(900, 9_000, (50, 50)).astype(np.uint16), left, top, 20, fields=RAW),
            "cs": Layer(score, left, top),
        }
        made.add(f"S{i}", day, layers)
    return made.save()


def source_of(catalog: Path, **options: object) -> StacSource:
    return StacSource(str(catalog), RECIPE, retries=0, **options)  # type: ignore[arg-type]


def block_of(source: StacSource, folder: Path, cells: list[Cell] = CELLS) -> dict[str, Composite]:
    made = source.read_block(cells, SEASON, BINS, folder)
    return {cell.name: replace(composite, values=composite.values.copy()) for cell, composite in made}


def assert_same(found: Composite, expected: Composite) -> None:
    np.testing.assert_array_equal(found.values, expected.values)
    assert replace(found, values=expected.values) == expected


def test_each_cell_is_what_it_is_alone(catalog: Path, tmp_path: Path) -> None:
    source = source_of(catalog)
    assert isinstance(source, BlockSource)
    block = block_of(source, tmp_path / "run")
    assert list(block) == [cell.name for cell in CELLS]
    for cell in CELLS:
        assert_same(block[cell.name], source.read_cell(cell, SEASON, BINS))
    assert sum(one.counts.clear for one in block.values()) > 1_000


def test_each_file_is_opened_once(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading._profiles.clear()
    opened = Counter[str]()
    original = rasterio.open

    def counting(href: str, *arguments: object, **options: object) -> object:
        opened[href] += 1
        return original(href, *arguments, **options)

    monkeypatch.setattr(reading.rasterio, "open", counting)
    block_of(source_of(catalog), tmp_path / "run")
    assert len(opened) == len(DAYS) * 3
    assert set(opened.values()) == {1}


def spoil(catalog: Path) -> None:
    """Cut the end of a file off: only cells in the south see it."""
    path = catalog.parent / "S0" / "B04.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def test_a_cell_whose_scene_is_broken_is_left_out_and_says_why_alone(catalog: Path, tmp_path: Path) -> None:
    whole = block_of(source_of(catalog), tmp_path / "run")
    spoil(catalog)
    reading._profiles.clear()
    source = source_of(catalog)
    block = block_of(source, tmp_path / "run")
    broken = [cell for cell in CELLS if cell.name not in block]
    assert 0 < len(broken) < len(CELLS)
    for name, composite in block.items():
        assert_same(composite, whole[name])
    for cell in broken:
        with pytest.raises(SceneReadError, match=f"Asset B04 of scene S0 .*for cell {cell.name}"):
            source.read_cell(cell, SEASON, BINS)


def test_a_broken_scene_is_left_out_of_the_cells_that_see_it_if_so_asked(
    catalog: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(catalog)
    reading._profiles.clear()
    source = source_of(catalog, choice=SceneChoice(bad="leave-out"))
    block = block_of(source, tmp_path / "run")
    assert list(block) == [cell.name for cell in CELLS]
    for cell in CELLS:
        assert_same(block[cell.name], source.read_cell(cell, SEASON, BINS))
    assert 0 < sum(one.counts.left_out for one in block.values()) < len(CELLS)
