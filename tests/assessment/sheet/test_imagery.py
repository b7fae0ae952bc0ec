from pathlib import Path

import numpy as np
import pytest

from assessment.sheet.imagery import read_imagery
from gee_pipeline.errors import CorruptFileError, InputError
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
    found = read_imagery(folder, plan, row, col, half=5)
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
    with pytest.raises(CorruptFileError, match=r"r0000_c0000.tif cannot be read"):
        read_imagery(folder, plan, 5, 5, 2)
    path.unlink()
    with pytest.raises(InputError, match=r"cell r0000_c0000.*--no-pages"):
        read_imagery(folder, plan, 5, 5, 2)
