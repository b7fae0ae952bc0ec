"""Composites that are made for many cells together: the same files and records as one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gee_pipeline.errors import DiskFullError
from inference.run import cell_worker, execute
from inference.run.execute import Progress
from inference.run.ledger import status
from inference.run.prefetch import in_blocks
from inference.run.worker_plan import block_side
from tests.support.fake_runs import (
    FakeBlocks,
    FakeListed,
    FakeSource,
    carry_out,
    export_plan,
    map_plan,
    predictions,
)

pytestmark = pytest.mark.slow

CELLS = np.array([(row, col) for row in range(5) for col in range(3)], np.int32)


def test_blocks_hold_each_cell_once_in_squares_row_by_row() -> None:
    blocks = [block.places for block in in_blocks(CELLS, 2)]
    assert blocks[0] == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert blocks[1] == ((0, 2), (1, 2))
    assert [len(block) for block in blocks] == [4, 2, 4, 2, 2, 1]
    assert sorted(place for block in blocks for place in block) == [tuple(cell) for cell in CELLS.tolist()]


def test_a_sparse_plan_has_no_empty_block() -> None:
    assert [block.places for block in in_blocks(CELLS[[0, 14]], 2)] == [((0, 0),), ((4, 2),)]


@pytest.mark.parametrize(
    ("cells", "size", "cores", "side"),
    [
        (1, 256, 2, 4),  # a few cells are one block
        (300, 256, 2, 6),  # four blocks for each core
        (300, 256, 16, 4),  # never smaller than a block of a file
        (84_000, 256, 16, 8),
        (84_000, 1024, 16, 2),
        (4, 1024, 16, 1),
        (84_000, 688, 2, 2),
    ],
)
def test_there_are_some_blocks_for_each_core(
    cells: int, size: int, cores: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.run.worker_plan.CPU_COUNT", cores)
    assert block_side(cells, size) == side


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose cells were read one by one."""
    home = tmp_path_factory.mktemp("alone")
    carry_out(home / "run", map_plan(home, FakeSource())).raise_if_incomplete()
    return home / "run"


def content(run: Path, folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / folder).iterdir())}


def records(run: Path) -> dict[str, dict[str, Any]]:
    """What the ledger says of each cell, but for the times."""
    timed = ("seconds", "time", "file")
    found = {}
    for line in (run / "ledger.jsonl").read_text().splitlines():
        event = json.loads(line)
        if "name" in event or "cell" in event:
            found[event.get("name") or event["cell"]] = {
                key: value for key, value in event.items() if key not in timed
            }
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_files_and_records_are_those_of_cells_alone(tmp_path: Path, alone: Path, workers: int) -> None:
    source, told = FakeBlocks(tmp_path / "calls.txt"), list[Progress]()
    summary = carry_out(
        tmp_path / "run", map_plan(tmp_path, source), workers=workers, on_progress=told.append
    )
    summary.raise_if_incomplete()
    for folder in ("composites", "predictions"):
        assert content(tmp_path / "run", folder) == content(alone, folder)
    assert records(tmp_path / "run") == records(alone)
    assert len(records(alone)) == 6
    assert source.called() == ["block-of-6"]
    assert (told[-1].done, told[-1].under_way) == (6, 0)


def test_composites_alone_are_recorded_with_what_they_were_made_of(tmp_path: Path) -> None:
    for name, source in (("alone", FakeSource()), ("blocks", FakeBlocks(tmp_path / "calls.txt"))):
        carry_out(tmp_path / name, export_plan(source)).raise_if_incomplete()
    assert (tmp_path / "calls.txt").read_text() == "block-of-6\n"
    assert records(tmp_path / "blocks") == records(tmp_path / "alone")
    assert content(tmp_path / "blocks", "composites") == content(tmp_path / "alone", "composites")
    assert status(tmp_path / "blocks").done == 6


def test_a_broken_scene_is_told_of_its_cell_as_if_alone(tmp_path: Path, alone: Path) -> None:
    broken = FakeBlocks(tmp_path / "calls.txt", broken=("r0000_c0001",))
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, broken))
    assert [(cell.name, cell.error) for cell in summary.failures] == [
        ("r0000_c0001", "scene S2A_r0000_c0001 cannot be read")
    ]
    assert broken.called() == ["block-of-6", "r0000_c0001"]
    again = FakeBlocks(tmp_path / "calls.txt")
    carry_out(tmp_path / "run", map_plan(tmp_path, again)).raise_if_incomplete()
    assert again.called()[2:] == ["r0000_c0001"]  # nothing else was read again
    assert predictions(tmp_path / "run") == predictions(alone)


def test_a_block_whose_worker_died_is_worked_on_cell_by_cell(tmp_path: Path, alone: Path) -> None:
    deadly = FakeBlocks(tmp_path / "calls.txt", deadly=("r0001_c0001",))
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, deadly), workers=2)
    assert [cell.name for cell in summary.failures] == ["r0001_c0001"]
    assert "workers on this cell died" in summary.failures[0].error
    expected = {name: data for name, data in predictions(alone).items() if name != "r0001_c0001.tif"}
    assert predictions(tmp_path / "run") == expected


@pytest.mark.parametrize(("workers", "place"), [(0, "from-the-catalog"), (2, "from-the-list")])
def test_workers_of_a_cluster_never_read_the_catalog(tmp_path: Path, workers: int, place: str) -> None:
    source = FakeListed(tmp_path / "calls.txt", broken=("r0000_c0001",))
    carry_out(tmp_path / "run", map_plan(tmp_path, source), workers=workers)
    assert set(source.called()) == {place, "block-of-6", "r0000_c0001"}


def test_what_goes_wrong_in_a_block_costs_no_cell(
    tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Any, cells: Any) -> Any:
        raise MemoryError("no room for so many cells")

    monkeypatch.setattr(cell_worker.CellWorker, "make_block", failing)
    source = FakeBlocks(tmp_path / "calls.txt")
    carry_out(tmp_path / "run", map_plan(tmp_path, source)).raise_if_incomplete()
    assert len(source.called()) == 6
    assert predictions(tmp_path / "run") == predictions(alone)


def test_what_a_worker_that_died_had_begun_to_write_is_gone_at_the_end(
    tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = cell_worker.CellWorker.make_block

    def leaving(self: Any, cells: Any) -> Any:
        left = tmp_path / "run" / "predictions" / "r0000_c0001.tif.host.1.part"
        left.parent.mkdir(exist_ok=True)
        left.touch()
        return make(self, cells)

    monkeypatch.setattr(cell_worker.CellWorker, "make_block", leaving)
    source = FakeBlocks(tmp_path / "calls.txt")
    carry_out(tmp_path / "run", map_plan(tmp_path, source)).raise_if_incomplete()
    assert predictions(tmp_path / "run") == predictions(alone)


def test_a_disk_that_fills_up_in_a_block_stops_the_run_and_it_continues(
    tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, written = cell_worker.write_composite, list[Path]()

    def full(path: Path, *arguments: Any) -> None:
        if len(written) == 2:
            raise DiskFullError("The disk is full.")
        written.append(path)
        original(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(cell_worker, "write_composite", full)
        with pytest.raises(DiskFullError):
            carry_out(tmp_path / "run", map_plan(tmp_path, FakeBlocks()))
    assert len(content(tmp_path / "run", "composites")) == 2
    source = FakeBlocks(tmp_path / "calls.txt")
    carry_out(tmp_path / "run", map_plan(tmp_path, source)).raise_if_incomplete()
    assert source.called() == ["block-of-4"]
    assert predictions(tmp_path / "run") == predictions(alone)


def test_a_process_has_a_part_of_its_memory_for_what_gdal_keeps(tmp_path: Path) -> None:
    plan = export_plan(FakeBlocks())
    assert execute._setup(tmp_path, plan, FakeBlocks(), 2**30).gdal_cache == 2**28
    assert execute._setup(tmp_path, plan, FakeSource(), 2**30).gdal_cache == 2**26
