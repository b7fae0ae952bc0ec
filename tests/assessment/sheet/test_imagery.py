from pathlib import Path

import numpy as np
import pytest

from assessment.sheet.imagery import MOST_OPEN, Composites, read_imagery
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import Recipe
from gee_pipeline.source import Composite, SceneCounts
from gee_pipeline.store import composite_path, write_composite
from tests.support.fake_runs import SEASON, SIZE, FakeSource, export_plan

RECIPE = Recipe.of(bands=("B2", "B3", "B4", "B8"), window=(121, 140))
NODATA = -9999


@pytest.fixture
def run(tmp_path: Path):
    """A plan, and one array `(bin, band, y, x)` of all its cells; those not planned are gaps."""
    plan = export_plan(FakeSource(), recipe=RECIPE)
    rows, cols = plan.grid.shape
    rng = np.random.default_rng(0)
    shape = (len(plan.bins), 4, rows * SIZE, cols * SIZE)
    whole = np.full(shape, NODATA, np.int16)
    for cell in plan.grid.cells(plan.cells):
        values = rng.integers(0, 4000, (*shape[:2], SIZE, SIZE)).astype(np.int16)
        values[np.broadcast_to(rng.random((shape[0], 1, SIZE, SIZE)) < 0.3, values.shape)] = NODATA
        whole[:, :, cell.row * SIZE : (cell.row + 1) * SIZE, cell.col * SIZE : (cell.col + 1) * SIZE] = values
        composite = Composite(values, cell.geobox, plan.bins, RECIPE.bands, SceneCounts(1, 0, 0))
        write_composite(composite_path(tmp_path, cell), composite, RECIPE, SEASON, {"kind": "fake"})
    return tmp_path, plan, whole


@pytest.mark.parametrize("place", [(16, 16), (31, 32), (0, 0), (40, 63)])
def test_a_point_has_its_series_and_what_is_around_it_over_the_borders_of_cells(run, place) -> None:
    folder, plan, whole = run
    row, col = place
    with Composites(folder, plan) as composites:
        found = read_imagery(composites, row, col, half=5)
    values = whole[:, :, row, col]
    np.testing.assert_allclose(found.series, np.where(values == NODATA, np.nan, values / 10_000))
    around = np.pad(whole, ((0, 0), (0, 0), (5, 5), (5, 5)), constant_values=NODATA)
    chips = around[:, [2, 1, 0], row : row + 11, col : col + 11]
    np.testing.assert_array_equal(found.chips, chips)
    assert found.bins == tuple(plan.bins)


def test_a_composite_that_is_gone_or_damaged_is_named(run) -> None:
    folder, plan, _ = run
    path = composite_path(folder, plan.grid.cell(0, 0))
    path.write_bytes(b"damaged")
    composites = Composites(folder, plan)
    with pytest.raises(CorruptFileError, match=r"r0000_c0000.tif cannot be read"):
        read_imagery(composites, 5, 5, 2)
    path.unlink()
    with pytest.raises(InputError, match=r"cell r0000_c0000.*--no-pages"):
        read_imagery(composites, 5, 5, 2)


def test_composites_stay_open_for_the_next_points_and_no_more_than_a_few(run, monkeypatch) -> None:
    folder, plan, _ = run
    opened, closed = [], []

    class File:
        def __init__(self, path) -> None:
            opened.append(path)
            self.path = path

        def close(self) -> None:
            closed.append(self.path)

    monkeypatch.setattr("assessment.sheet.imagery.rasterio.open", File)
    with Composites(folder, plan) as composites:
        cells = [Cell(0, col, None) for col in range(MOST_OPEN + 1)]
        for cell in (cells[0], cells[1], cells[0], *cells[2:], cells[0]):
            composites.open(cell)
        paths = [composite_path(folder, cell) for cell in cells]
        assert opened == paths
        assert closed == [paths[1]]  # the first one was used since
    assert sorted(closed) == sorted(paths)
