"""What a run that goes on believes, looks at, and finds out at the end."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gee_pipeline.grid import Cell
from inference.run import prediction
from inference.run.completeness import RunSummary
from inference.run.execute import Progress
from inference.run.prediction import PredictionReader, prediction_path, read_finished
from tests.support.fake_runs import FakeSource, carry_out, export_plan, map_plan, predictions

pytestmark = pytest.mark.slow


class Run:
    """A finished run, and how often its files were read since."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.source = home / "run", FakeSource(home / "calls.txt")
        self.plan = map_plan(home, self.source)
        carry_out(self.folder, self.plan).raise_if_incomplete()
        self.before = predictions(self.folder)
        self.reads: list[str] = []
        self.reads_until_begun: int | None = None
        self.home, read = home, PredictionReader.read

        def counted(reader: PredictionReader, path: Path, cell: Cell) -> prediction.Finished | None:
            self.reads.append(cell.name)
            return read(reader, path, cell)

        monkeypatch.setattr(PredictionReader, "read", counted)

    def again(self, **options: Any) -> RunSummary:
        self.reads.clear()
        self.reads_until_begun = None

        def begun(progress: Progress) -> None:
            if progress.done == progress.planned and self.reads_until_begun is None:
                self.reads_until_begun = len(self.reads)

        return carry_out(self.folder, map_plan(self.home, self.source), on_progress=begun, **options)

    def path(self, name: str) -> Path:
        return self.folder / "predictions" / f"{name}.tif"

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "ledger.jsonl").read_text().splitlines()]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def test_finished_cells_are_believed_and_each_file_is_read_once_at_the_end(run: Run) -> None:
    summary = run.again()
    assert run.reads_until_begun == 0
    assert sorted(run.reads) == sorted(path.removesuffix(".tif") for path in run.before)
    assert (summary.done, len(run.source.called())) == (6, 6)


def test_a_file_that_is_touched_is_looked_into_once(run: Run) -> None:
    os.utime(run.path("r0000_c0001"), ns=(1, 1))
    run.again().raise_if_incomplete()
    assert run.reads_until_begun == 1
    assert run.lines()[-1]["file"] == [run.path("r0000_c0001").stat().st_size, 1]
    run.again().raise_if_incomplete()
    assert run.reads_until_begun == 0
    assert (len(run.source.called()), predictions(run.folder)) == (6, run.before)


@pytest.mark.parametrize("damage", ["cut", "swapped"])
def test_a_file_that_changed_behind_the_ledger_is_made_again(run: Run, damage: str) -> None:
    path, other = run.path("r0000_c0001"), run.path("r0001_c0001")
    path.write_bytes(path.read_bytes()[:-40] if damage == "cut" else other.read_bytes())
    run.again().raise_if_incomplete()
    assert predictions(run.folder) == run.before


def test_damage_of_the_same_size_and_time_is_found_at_the_end_and_made_again_by_the_next(run: Run) -> None:
    path = run.path("r0000_c0001")
    then, content = path.stat().st_mtime_ns, bytearray(path.read_bytes())
    middle = content.index(b"CROPMAP_CRC32") + len(b'CROPMAP_CRC32">')
    content[middle] = ord("0") + (content[middle] - ord("0") + 1) % 10
    path.write_bytes(content)
    os.utime(path, ns=(then, then))
    taken: list[str] = []

    @contextmanager
    def cells_taken() -> Any:
        yield lambda cell, bands: taken.append(cell.name)

    summary = run.again(cells_taken=cells_taken)
    assert [failure.name for failure in summary.failures] == ["r0000_c0001"]
    assert taken == ["r0000_c0000"]  # no map is made of the others
    run.again().raise_if_incomplete()
    assert predictions(run.folder) == run.before


def test_lines_of_another_plan_or_of_none_are_not_believed(run: Run) -> None:
    ledger = run.folder / "ledger.jsonl"
    lines = run.lines()
    for former in ({}, {"run": "of another plan"}):
        starts = [{k: v for k, v in line.items() if k != "run"} | former for line in lines if "start" in line]
        cells = [line for line in lines if "start" not in line]
        ledger.write_text("".join(json.dumps(line) + "\n" for line in [*starts, *cells]))
        run.again().raise_if_incomplete()
        assert run.reads_until_begun == 6
    assert (len(run.source.called()), predictions(run.folder)) == (6, run.before)


def test_no_finished_cell_is_sent_to_a_worker(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    path = run.path("r0000_c0001")
    path.unlink()
    os.utime(run.path("r0001_c0000"), ns=(1, 1))  # in doubt, but whole

    def noted(setup: Any, row: int, col: int) -> Any:
        sent.append(f"r{row:04d}_c{col:04d}")
        return settle(setup, row, col)

    from inference.run import execute

    settle = execute.settle_cell
    monkeypatch.setattr(execute, "settle_cell", noted)
    run.again().raise_if_incomplete()
    assert sent == ["r0000_c0001"]


def test_the_cells_are_taken_as_they_are_verified(run: Run) -> None:
    taken: dict[str, Any] = {}

    @contextmanager
    def cells_taken() -> Any:
        yield lambda cell, bands: taken.update({cell.name: bands})

    run.again(cells_taken=cells_taken)
    cells = list(run.plan.grid.cells(run.plan.cells))
    assert list(taken) == [cell.name for cell in cells]
    for cell in cells:
        found = read_finished(prediction_path(run.folder, cell), cell, run.plan.digest)
        assert found is not None
        np.testing.assert_array_equal(taken[cell.name], found.bands)


def test_composites_are_believed_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource(tmp_path / "calls.txt")
    carry_out(tmp_path / "run", export_plan(source)).raise_if_incomplete()
    looked: list[Cell] = []
    from inference.run import completeness

    whole = completeness.has_composite

    def counted(folder: Path, plan: Any, cell: Cell) -> bool:
        looked.append(cell)
        return whole(folder, plan, cell)

    monkeypatch.setattr(completeness, "has_composite", counted)
    path = tmp_path / "run" / "composites" / "r0000_c0001.tif"
    path.write_bytes(path.read_bytes()[:-9])
    carry_out(tmp_path / "run", export_plan(source)).raise_if_incomplete()
    assert len(looked) == 1 + 6
    assert len(source.called()) == 6 + 1
