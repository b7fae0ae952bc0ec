"""Cells of a remote source: fetched ahead in one process, within a budget, and none twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.earthengine.client.budget import RESERVE, Budget
from gee_pipeline.earthengine.client.fetch_threads import FetchThreads
from gee_pipeline.errors import AccessError, BudgetSpentError, IncompleteRunError
from gee_pipeline.source import RemoteSource, Spent
from inference.run.cell_worker import ReadyCell, WorkerSetup
from inference.run.ledger import CellRecord, read_ledger
from inference.run.plan import RunPlan
from inference.run.planning import open_or_create
from inference.run.prefetch import CellIndex, PlannedCells, fetch_ahead
from tests.support.fake_runs import FakeRemote, FakeSource, carry_out, export_plan, map_plan, predictions

pytestmark = pytest.mark.slow


def test_the_fake_is_a_remote_source_and_the_local_one_is_not() -> None:
    assert isinstance(FakeRemote(), RemoteSource)
    assert not isinstance(FakeSource(), RemoteSource)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_remote_source_gives_the_same_map_as_a_local_one(tmp_path: Path, workers: int) -> None:
    local = tmp_path / "local"
    carry_out(local, map_plan(tmp_path, FakeSource())).raise_if_incomplete()
    source = FakeRemote(tmp_path / "calls.txt", delay=0.05)
    told = list[str]()
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, source), workers=workers, on_notice=told.append)
    summary.raise_if_incomplete()
    pixels = [bands_of(tmp_path / name) for name in ("local", "run")]
    assert pixels[0] == pixels[1]
    assert len(source.called()) == len(set(source.called())) == 6
    assert told == ["Earth Engine allows fewer requests at once."]
    assert source.server.most == 3  # cells_ahead


def bands_of(run: Path) -> dict[str, bytes]:
    """Pixels of the predictions; the tags differ, for they name the run's source."""
    found = {}
    for path in sorted((run / "predictions").glob("*.tif")):
        with rasterio.open(path) as file:
            found[path.name] = file.read().tobytes()
    return found


def test_what_was_spent_is_counted_over_all_starts(tmp_path: Path) -> None:
    first = FakeRemote(tmp_path / "calls.txt", broken=("r0000_c0001",))
    with pytest.raises(IncompleteRunError):
        carry_out(tmp_path / "run", map_plan(tmp_path, first)).raise_if_incomplete()
    second = FakeRemote(tmp_path / "calls.txt")
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, second))
    summary.raise_if_incomplete()
    assert second.called()[6:] == ["r0000_c0001"]
    assert summary.spent == Spent(28, 7000, 7 * 36.0, 0)  # six cells, one of them twice
    assert read_ledger(tmp_path / "run", "map").spent == summary.spent


def test_a_finished_run_asks_the_server_for_nothing(tmp_path: Path) -> None:
    carry_out(tmp_path / "run", map_plan(tmp_path, FakeRemote())).raise_if_incomplete()
    before = predictions(tmp_path / "run")
    idle = FakeRemote(tmp_path / "calls.txt")
    carry_out(tmp_path / "run", map_plan(tmp_path, idle)).raise_if_incomplete()
    assert idle.called() == []
    assert predictions(tmp_path / "run") == before


def test_composites_alone_need_no_worker(tmp_path: Path) -> None:
    source = FakeRemote(tmp_path / "calls.txt")
    summary = carry_out(tmp_path / "run", export_plan(source), workers=2)
    assert (summary.done, len(source.called())) == (6, 6)


def test_a_budget_stops_a_run_before_it_is_passed(tmp_path: Path) -> None:
    hours = 4.5 * 36.0 / 3600  # four cells and a half
    source = FakeRemote(tmp_path / "calls.txt")
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, source), max_eecu_hours=hours)
    assert 0 < summary.spent.eecu_seconds <= hours * 3600
    assert summary.done == len(source.called()) < 6
    with pytest.raises(BudgetSpentError, match=r"EECU-hours are used.*--max-eecu-hours HOURS") as caught:
        summary.raise_if_incomplete()
    assert caught.value.exit_code == 3

    more = FakeRemote(tmp_path / "calls.txt")
    ended = carry_out(tmp_path / "run", map_plan(tmp_path, more), max_eecu_hours=1.0)
    ended.raise_if_incomplete()
    assert sorted(more.called()) == sorted(set(more.called()))  # none twice
    assert ended.spent.eecu_seconds == 6 * 36.0


def test_a_budget_that_former_starts_used_up_begins_nothing(tmp_path: Path) -> None:
    first = FakeRemote(broken=("r0000_c0001",))
    carry_out(tmp_path / "run", map_plan(tmp_path, first))
    second = FakeRemote(tmp_path / "calls.txt")
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, second), max_eecu_hours=0.05)
    assert second.called() == []
    with pytest.raises(BudgetSpentError, match=r"0\.06 of 0\.05 EECU-hours"):
        summary.raise_if_incomplete()


def test_a_budget_that_cannot_be_watched_stops_after_one_cell(tmp_path: Path) -> None:
    source = FakeRemote(tmp_path / "calls.txt", measured=False)
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, source), max_eecu_hours=100.0)
    assert len(source.called()) == 1
    with pytest.raises(BudgetSpentError, match="does not say what a cell costs"):
        summary.raise_if_incomplete()


@given(st.integers(0, 8), st.floats(0.1, 50), st.floats(0.001, 1))
def test_cells_of_equal_cost_never_pass_the_budget(under_way: int, cost: float, hours: float) -> None:
    done = 5
    now = Spent(done, 0, done * cost, 0)
    budget = Budget(hours, Spent(), lambda: now)
    for _ in range(done):
        budget.cell_ended()
    if budget.allows(under_way):
        assert done * cost + (under_way + 1) * cost <= hours * 3600
    elif under_way == 0:
        assert budget.reason
        assert (done + RESERVE) * cost > hours * 3600


def test_a_refusal_of_all_cells_ends_the_run_at_once(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="crop-maps"):
        carry_out(tmp_path / "run", map_plan(tmp_path, FakeRemote(refusing=True)))


def test_a_cell_without_cropland_of_the_source_is_skipped(tmp_path: Path) -> None:
    source = FakeRemote(bare=("r0000_c0000",))
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, source))
    assert (summary.done, summary.skipped) == (5, 1)
    with_mask = np.frombuffer(bands_of(tmp_path / "run")["r0000_c0000.tif"], np.uint8).reshape(3, 32, 32)
    assert set(np.unique(with_mask[0])) <= {0, 254}


def test_a_fetch_that_is_closed_begins_no_further_cell(tmp_path: Path) -> None:
    source = FakeRemote(tmp_path / "calls.txt", delay=0.2)
    plan = map_plan(tmp_path, source)
    with fetching(tmp_path / "run", plan, source) as ahead:
        while not source.called():
            time.sleep(0.01)
        ahead.close()
        arrived = [cell for cell in iter(lambda: ahead.take(wait=True), None)]
    assert len(arrived) == len(source.called()) == 1


def test_taking_without_waiting_says_that_there_is_nothing_yet(tmp_path: Path) -> None:
    source = FakeRemote(delay=0.2)
    plan = map_plan(tmp_path, source)
    with fetching(tmp_path / "run", plan, source) as ahead:
        assert ahead.take(wait=False) is None
        assert not ahead.ended
        assert len([cell for cell in iter(lambda: ahead.take(wait=True), None)]) == 6
        assert ahead.ended


@contextmanager
def fetching(
    folder: Path, plan: RunPlan, source: FakeRemote
) -> Iterator[FetchThreads[CellIndex, ReadyCell | CellRecord]]:
    """One thread that fetches the cells of a plan."""
    opened, _ = open_or_create(folder, plan)
    places = ((int(row), int(col)) for row, col in opened.cells)
    ahead = fetch_ahead(WorkerSetup(folder, source, composites_only=True), places, threads=1, budget=None)
    yield ahead
    ahead.close()


def test_planned_cells_come_in_order_and_end() -> None:
    queue = PlannedCells([(0, 1), (2, 3)])
    cells: Iterator[Any] = iter(lambda: queue.take(wait=True), None)
    assert [(cell.row, cell.col) for cell in cells] == [(0, 1), (2, 3)]
    assert queue.ended
