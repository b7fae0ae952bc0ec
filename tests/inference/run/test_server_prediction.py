"""Predictions that a server makes: taken cell by cell into a run, ahead and within a budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from gee_pipeline.errors import IncompleteRunError, MismatchError
from gee_pipeline.grid import Cell, inside
from gee_pipeline.layers import LayerName
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from gee_pipeline.source import PredictingSource, SceneCounts, Spent
from inference.models.crop_class import CropClass
from inference.run.cropland import CroplandMask
from inference.run.execute import Progress
from inference.run.ledger import read_ledger, status
from inference.run.plan import RunPlan, load_plan
from inference.run.planning import open_or_create, plan_run
from tests.support.fake_runs import RECIPE, SEASON, SIZE, FakeRemote, aoi, carry_out, polygon

CELLS = 6
BARE = "r0000_c0000"


@dataclass(frozen=True)
class Model:
    """What a plan takes from a forest."""

    classes: tuple[CropClass, ...] = tuple(CropClass(k, f"crop {k}", "#336699") for k in (1, 2, 3))
    recipe: Recipe = RECIPE
    digest: str = "0123456789abcdef"


@dataclass(frozen=True)
class FakeServed(FakeRemote):
    """A source whose server classifies."""

    highest: int = 3
    """Highest class code it gives."""

    def read_prediction(
        self, cell: Cell, season: Season, layers: tuple[LayerName, ...] = ()
    ) -> tuple[NDArray[np.uint8], SceneCounts]:
        super().read_cell(cell, season, range(1))
        return served(cell, self.highest, bare=cell.name in self.bare), SceneCounts(3, 1, 2, None)


def served(cell: Cell, highest: int = 3, *, bare: bool = False) -> NDArray[np.uint8]:
    """What the fake server says of the whole square of a cell."""
    chance = np.random.default_rng([cell.row, cell.col])
    codes = chance.choice(np.array([*range(1, highest + 1), 254, 255], np.uint8), cell.geobox.shape)
    confidence, clear = chance.integers(0, 101, codes.shape), chance.integers(0, 13, codes.shape)
    confidence[codes > 3], clear[codes == 254] = 255, 255
    if bare:
        return np.full((3, *codes.shape), [[[254]], [[255]], [[255]]], np.uint8)
    return np.stack([codes, confidence, clear]).astype(np.uint8)


def forest_plan(folder: Path, source: FakeServed, cropland: CroplandMask | None = None) -> RunPlan:
    path = folder / "arkansas.safetensors"
    path.write_bytes(b"trees")
    return plan_run(
        aoi(), SEASON, RECIPE, source, checkpoint=Model(), checkpoint_path=path, kind="forest",
        cropland=cropland, cell_size=SIZE,
    )  # fmt: skip


def predictions(folder: Path) -> dict[str, NDArray[np.uint8]]:
    found = {}
    for path in sorted((folder / "predictions").glob("*.tif")):
        with rasterio.open(path) as file:
            found[path.stem] = file.read()
    return found


def test_a_source_that_classifies_is_told_from_others() -> None:
    assert isinstance(FakeServed(), PredictingSource)
    assert not isinstance(FakeRemote(), PredictingSource)


@pytest.mark.parametrize("workers", [0, 3])
def test_what_the_server_says_is_kept_within_the_area_and_no_composite_is_made(
    tmp_path: Path, workers: int
) -> None:
    run, source = tmp_path / "run", FakeServed(tmp_path / "calls.txt", delay=0.02, bare=(BARE,))
    plan = forest_plan(tmp_path, source)
    summary = carry_out(run, plan, workers=workers)
    summary.raise_if_incomplete()
    assert (summary.done, summary.skipped) == (CELLS - 1, 1)
    assert source.server.most == 3  # cells_ahead: in this process, whatever the workers
    assert not (run / "composites").exists()
    for cell in plan.grid.cells(plan.cells):
        found, said = predictions(run)[cell.name], served(cell, bare=cell.name == BARE)
        area = inside(polygon(), cell.geobox)
        for y, x in np.ndindex(area.shape):
            assert found[:, y, x].tolist() == (said[:, y, x].tolist() if area[y, x] else [0, 255, 255])


def test_a_mask_of_this_machine_is_laid_on_what_the_server_says(tmp_path: Path) -> None:
    plan = forest_plan(tmp_path, FakeServed())
    crop = np.random.default_rng(3).random(plan.grid.geobox.shape) < 0.5
    crop[:, :SIZE] = False  # a column of cells without any
    with rasterio.open(
        tmp_path / "mask.tif", "w", driver="GTiff", dtype="uint8", count=1, width=crop.shape[1],
        height=crop.shape[0], crs=str(plan.grid.geobox.crs), transform=plan.grid.geobox.transform,
    ) as file:  # fmt: skip
        file.write(crop.astype(np.uint8), 1)
    source = FakeServed(tmp_path / "calls.txt")
    masked = forest_plan(tmp_path, source, CroplandMask.parse(str(tmp_path / "mask.tif")))
    carry_out(tmp_path / "run", masked).raise_if_incomplete()
    assert sorted(source.called()) == [c.name for c in plan.grid.cells(plan.cells) if c.col > 0]
    for cell in plan.grid.cells(plan.cells):
        part = crop[cell.row * SIZE :, cell.col * SIZE :][:SIZE, :SIZE]
        found, area = predictions(tmp_path / "run")[cell.name], inside(polygon(), cell.geobox)
        np.testing.assert_array_equal(found[:, area & part], served(cell)[:, area & part])
        assert (found[:, area & ~part] == [[254], [255], [255]]).all()


def test_an_interrupted_run_goes_on_and_asks_for_no_cell_twice(tmp_path: Path) -> None:
    run, broken = tmp_path / "run", "r0000_c0001"
    first = FakeServed(tmp_path / "calls.txt", broken=(broken,))
    with pytest.raises(IncompleteRunError, match=r"continue with 'cropmap forest predict --config"):
        carry_out(run, forest_plan(tmp_path, first)).raise_if_incomplete()
    assert (status(run).done, status(run).failed) == (CELLS - 1, 1)
    damaged = run / "predictions" / "r0001_c0001.tif"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    second = FakeServed(tmp_path / "more.txt")
    summary = carry_out(run, forest_plan(tmp_path, second))
    summary.raise_if_incomplete()
    assert sorted(second.called()) == [broken, "r0001_c0001"]
    assert summary.spent == Spent((CELLS + 2) * 4, (CELLS + 2) * 1000, (CELLS + 2) * 36.0)


def test_what_an_interrupted_run_spent_is_kept(tmp_path: Path) -> None:
    run, first = tmp_path / "run", FakeServed(tmp_path / "calls.txt")

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(run, forest_plan(tmp_path, first), on_progress=stop)
    assert read_ledger(run, "map").spent.requests >= 2 * 4
    second = FakeServed(tmp_path / "more.txt")
    carry_out(run, forest_plan(tmp_path, second)).raise_if_incomplete()
    assert len(second.called()) <= CELLS - 2


def test_a_budget_stops_a_run_before_it_is_passed(tmp_path: Path) -> None:
    hours = 4.5 * 36.0 / 3600  # four cells and a half
    source = FakeServed(tmp_path / "calls.txt")
    summary = carry_out(tmp_path / "run", forest_plan(tmp_path, source), max_eecu_hours=hours)
    assert 0 < summary.spent.eecu_seconds <= hours * 3600
    assert summary.done == len(source.called()) < CELLS


def test_a_code_that_the_forest_does_not_know_is_refused(tmp_path: Path) -> None:
    summary = carry_out(tmp_path / "run", forest_plan(tmp_path, FakeServed(highest=4)))
    assert {failure.kind for failure in summary.failures} == {"MismatchError"}
    assert "gave the code 4, which the run's model with 3 classes" in summary.failures[0].error


def test_the_run_keeps_the_forest_and_says_what_it_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    opened, _ = open_or_create(run, forest_plan(tmp_path, FakeServed()))
    assert (run / "forest.safetensors").read_bytes() == b"trees"
    found = load_plan(run)
    assert found.digest == opened.digest
    assert found.model is not None
    assert (found.model.kind, found.model.path) == ("forest", run / "forest.safetensors")
    assert (found.command, found.model.name) == ("forest predict", "arkansas.safetensors")


def test_another_forest_or_deployment_does_not_go_on_with_a_run(tmp_path: Path) -> None:
    plan = forest_plan(tmp_path, FakeServed())
    open_or_create(tmp_path / "run", plan)
    other = FakeServed(about=FakeServed().about | {"deployment": {"forest": "other"}})
    with pytest.raises(MismatchError, match="source deployment: None in the run"):
        open_or_create(tmp_path / "run", forest_plan(tmp_path, other))
