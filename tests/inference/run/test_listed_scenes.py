"""The record of a run's scenes: how many, when listed, and which finished cells show one that is gone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gee_pipeline.earthengine.composites.block_scenes import BlockScenes, Withdrawn, write_block
from gee_pipeline.earthengine.composites.blocks import Block
from gee_pipeline.earthengine.composites.scene_list import ListedScene
from gee_pipeline.season import TimeBin
from inference.run import ledger as module
from inference.run.completeness import check_completeness
from inference.run.ledger import CellRecord, open_ledger
from inference.run.listed_scenes import listed_scenes
from inference.run.plan import RunPlan
from inference.run.planning import open_or_create
from tests.support.fake_runs import FakeSource, export_plan

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
A, B, C = (ListedScene(1_620_000_000_000 + n, name, scored=name != "B") for n, name in enumerate("ABC"))


def planned(folder: Path) -> RunPlan:
    return open_or_create(folder, export_plan(FakeSource()))[0]


def block(
    col: int, *rows: tuple[ListedScene, int], at: datetime = NOON, gone: tuple[Withdrawn, ...] = ()
) -> BlockScenes:
    span = TimeBin(date(2021, 5, 1), date(2021, 6, 1))
    return BlockScenes(Block(0, col, 4, 4), span, at, {"sentinel-2": rows}, gone)


def done(folder: Path, monkeypatch: pytest.MonkeyPatch, **hours: float) -> None:
    """Cells that were finished some hours after noon."""
    with open_ledger(folder) as ledger:
        ledger.start("composites", len(hours))
        for name, hour in hours.items():
            monkeypatch.setattr(module.time, "time", lambda h=hour: (NOON + timedelta(hours=h)).timestamp())
            ledger.add(CellRecord(name, "done"))


def test_a_run_without_lists_has_no_record(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert listed_scenes(tmp_path, plan) is None
    assert "scenes_listed" not in check_completeness(tmp_path, plan, "composites", {}, 0).completeness


def test_scenes_of_several_blocks_count_once(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    write_block(tmp_path, block(0, (A, 1), (B, 3)))
    write_block(tmp_path, block(4, (B, 1), (C, 1), at=NOON + timedelta(days=2)))
    assert check_completeness(tmp_path, plan, "composites", {}, 0).completeness["scenes_listed"] == {
        "blocks": 2,
        "scenes": 3,
        "without_score": 1,
        "surveyed": ["2026-03-01T12:00:00+00:00", "2026-03-03T12:00:00+00:00"],
        "withdrawn": {},
        "cells_of_withdrawn": 0,
    }


def test_cells_that_were_finished_with_a_scene_that_is_gone_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, later = planned(tmp_path), NOON + timedelta(hours=3)
    gone = Withdrawn("A", ((0, 0), (0, 1), (0, 2)), later)
    write_block(tmp_path, block(0, (B, 7), at=later, gone=(gone,)))
    write_block(tmp_path, block(4, (A, 0b11), (B, 0b111)))  # lists it still
    names = {"r0000_c0000": 1, "r0000_c0001": 4, "r0000_c0003": 1, "r0000_c0004": 1, "r0000_c0006": 5}
    done(tmp_path, monkeypatch, **names)
    found = listed_scenes(tmp_path, plan)
    assert found is not None
    # of the first block the cell before it was noticed, of the second the one that is done and shows it
    assert found.cells == 2
    assert found.to_dict()["withdrawn"] == {"A": "2026-03-01T15:00:00+00:00"}


def test_a_cell_that_was_finished_in_the_second_before_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, later = planned(tmp_path), NOON + timedelta(milliseconds=700)
    gone = Withdrawn("A", ((0, 0), (0, 1)), later)
    write_block(tmp_path, block(0, (B, 7), at=later, gone=(gone,)))
    done(tmp_path, monkeypatch, r0000_c0000=0.4 / 3600, r0000_c0001=0.8 / 3600)
    found = listed_scenes(tmp_path, plan)
    assert found is not None
    assert found.cells == 1


def test_a_cell_is_of_the_time_when_its_composite_was_made_not_of_later_work_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(tmp_path)
    records = [
        CellRecord("made", "done", seconds={"composite": 1}),
        CellRecord("predicted", "done", seconds={"composite": 1}),
        CellRecord("again", "done", seconds={"composite": 1}),
        CellRecord("predicted", "done", seconds={"composite": 1, "predict": 2}),
        CellRecord("again", "failed"),
        CellRecord("again", "done", seconds={"composite": 1, "predict": 2, "fetch": 9}),
        CellRecord("made", "done", reused=True),
        CellRecord("again", "done", seconds={"layers": 3}),
    ]
    with open_ledger(tmp_path) as ledger:
        for hour, record in enumerate(records):
            monkeypatch.setattr(module.time, "time", lambda h=hour: float(h))
            ledger.add(record)
    assert module.read_finish_times(tmp_path) == {"made": 0, "predicted": 1, "again": 5}


def test_a_list_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    at = NOON + timedelta(microseconds=7)
    found = block(4, (A, 0xFFFF), (B, 1), at=at, gone=(Withdrawn("Z", ((0, 0), (3, 3)), at),))
    assert BlockScenes.from_dict(found.to_dict()) == found
    assert found.cells_of("A") == tuple((row, col) for row in range(4) for col in range(4, 8))
    assert found.cells_of("B") == ((0, 4),)
    assert found.cells_of("C") == ()
