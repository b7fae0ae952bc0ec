import json
import time
from pathlib import Path

import pytest

from gee_pipeline.errors import DiskFullError, InputError
from gee_pipeline.source import Spent
from inference.record.lock import run_lock
from inference.run.ledger import CellRecord, Ledger, open_ledger, read_ledger, read_observed, status
from inference.run.planning import open_or_create
from tests.support.fake_runs import FakeSource, export_plan, map_plan


def write(folder: Path, *records: CellRecord, goal: str = "composites") -> None:
    with open_ledger(folder) as ledger:
        ledger.start(goal, 6)  # type: ignore[arg-type]
        for record in records:
            ledger.add(record)


def test_a_ledger_reads_back_what_happened(tmp_path: Path) -> None:
    write(
        tmp_path,
        CellRecord("a", "done", pixels=10),
        CellRecord("b", "failed", error="no scene", kind="SceneReadError"),
        CellRecord("c", "skipped", pixels=5),
        CellRecord("d", "done", pixels=7, reused=True),
    )
    state = read_ledger(tmp_path, "composites")
    assert state.done == {"a": 10, "c": 5, "d": 7}
    assert state.failed == {"b": "no scene"}
    assert state.computed == 3  # d had been there
    assert state.pixels == 15


def test_one_line_a_cell(tmp_path: Path) -> None:
    write(tmp_path, CellRecord("a", "done", pixels=10, seconds={"composite": 1.5}, scenes={"scenes": 3}))
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert len(lines) == 2
    event = json.loads(lines[1])
    assert event.pop("time") == pytest.approx(time.time(), abs=60)
    assert event == {
        "cell": "a",
        "state": "done",
        "pixels": 10,
        "seconds": {"composite": 1.5},
        "scenes": {"scenes": 3},
    }


def test_values_of_cells_add_up_and_a_cell_counts_once(tmp_path: Path) -> None:
    rows = [[4, 1, 0, 0, 0, 100, 3_000], [4, 0, 0, 0, 0, 80, 2_000]]
    scenes = {"scenes": 3, "empty": 1}
    write(
        tmp_path,
        CellRecord("a", "done", scenes=scenes, values=rows),
        CellRecord("b", "done", scenes=scenes, values=rows),
        CellRecord("c", "done", reused=True),
        CellRecord("d", "done", scenes={"scenes": 0}, values=[[0] * 7] * 2),
        CellRecord("a", "done", remade=True, scenes=scenes, values=rows),
    )
    found = read_observed(tmp_path)
    assert (found.cells, found.without_scenes) == (3, 1)
    assert found.values is not None
    assert found.values.rows == [[2 * n for n in row] for row in rows]
    assert (found.scenes.scenes, found.scenes.empty) == (6, 2)
    assert read_observed(tmp_path / "nowhere").values is None


@pytest.mark.parametrize(
    "odd",
    [
        {"scenes": 3},
        {"scenes": None},
        {"scenes": {"dollars": 3}},
        {"scenes": {"empty": "3"}},
        {"values": 3},
        {"values": [[1, 2]]},
        {"values": [[1] * 14]},
        {"values": [["1", 0, 0, 0, 0, 0, 0]]},
    ],
)
def test_statistics_that_are_not_ours_are_passed_over(tmp_path: Path, odd: dict[str, object]) -> None:
    good = {"scenes": {"scenes": 3, "duplicates_dropped": None}, "values": [[4, 1, 0, 0, 0, 100, 3_000]]}
    lines = [{"time": 1.0, "cell": name, "state": "done", **good} for name in "ab"]
    lines[1] |= odd
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_observed(tmp_path)
    assert (found.cells, found.scenes.scenes) == (1, 3)
    assert found.values is not None
    assert found.values.rows == good["values"]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_a_kill_cut_off_is_passed_over(tmp_path: Path, cut: int) -> None:
    write(tmp_path, CellRecord("a", "done", pixels=10), CellRecord("b", "done", pixels=20))
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    kept = {"a": 10} | ({"b": 20} if cut == 1 else {})  # only its line end is missing
    assert read_ledger(tmp_path, "composites").done == kept
    with open_ledger(tmp_path) as ledger:
        ledger.add(CellRecord("c", "done", pixels=30))
    assert read_ledger(tmp_path, "composites").done == kept | {"c": 30}


def test_a_cell_that_failed_is_pending_after_the_next_start(tmp_path: Path) -> None:
    write(tmp_path, CellRecord("a", "done"), CellRecord("b", "failed", error="no"))
    write(tmp_path)
    state = read_ledger(tmp_path, "composites")
    assert (list(state.done), state.failed, state.computed) == (["a"], {}, 0)


def test_composites_that_are_done_are_not_yet_a_map(tmp_path: Path) -> None:
    write(tmp_path, CellRecord("a", "done"), goal="composites")
    write(tmp_path, CellRecord("b", "done"), goal="map")
    write(tmp_path, CellRecord("c", "done"), goal="composites")
    assert list(read_ledger(tmp_path, "map").done) == ["b"]
    assert list(read_ledger(tmp_path, "composites").done) == ["a", "c"]


@pytest.mark.slow
def test_a_ledger_of_a_million_cells_is_read_in_seconds(tmp_path: Path) -> None:
    start = '{"start":"map","planned":1000000,"time":1.0}\n'
    line = '{"cell":"r%04d_c%04d","state":"done","pixels":65536,"time":2.0}\n'
    rows = 100  # a tenth, to keep the test short
    text = start + "".join(line % (row, col) for row in range(rows) for col in range(1_000))
    (tmp_path / "ledger.jsonl").write_text(text)
    started = time.process_time()
    assert len(read_ledger(tmp_path, "map").done) == 100_000
    assert time.process_time() - started < 5


def test_a_full_disk_is_told_when_the_ledger_cannot_grow(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full, a file that is always full")
    with Path("/dev/full").open("wb", buffering=0) as file:
        ledger = Ledger(tmp_path / "ledger.jsonl", file)
        with pytest.raises(DiskFullError, match=r"is full.*ledger\.jsonl.*same command"):
            ledger.add(CellRecord("a", "done"))


def test_status_of_a_new_run(tmp_path: Path) -> None:
    plan = export_plan(FakeSource())
    open_or_create(tmp_path / "run", plan)
    found = status(tmp_path / "run")
    assert (found.planned, found.done, found.failed, found.pixels) == (len(plan.cells), 0, 0, 0)
    assert (found.seconds_left, found.pixels_per_second, found.running) == (None, None, False)


def test_status_tells_speed_and_time_left_of_a_run_that_died(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    open_or_create(folder, map_plan(tmp_path, FakeSource()))
    events = [
        {"start": "map", "planned": 6, "time": 1_000.0},
        {"cell": "r0000_c0000", "state": "done", "pixels": 900, "time": 1_010.0},
        {"cell": "r0000_c0001", "state": "failed", "error": "scene x is broken", "time": 1_020.0},
    ]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    found = status(folder)
    assert (found.goal, found.planned, found.done, found.failed, found.running) == ("map", 6, 1, 1, False)
    assert found.pixels_per_second == pytest.approx(900 / 20)
    assert found.seconds_left == pytest.approx(4 * 20 / 2)  # four cells at ten seconds each
    assert found.failures == (("r0000_c0001", "scene x is broken"),)


def test_status_sees_that_a_process_is_at_work(tmp_path: Path) -> None:
    open_or_create(tmp_path / "run", export_plan(FakeSource()))
    with run_lock(tmp_path / "run"):
        assert status(tmp_path / "run").running
    assert not status(tmp_path / "run").running


def test_a_folder_without_a_run_has_no_status(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        status(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        '{"time": 1, "cell": "x"}',  # no state
        '{"time": 1, "cell": ["x"], "state": "done"}',
        '{"time": 1, "cell": "x", "state": "done", "pixels": "many"}',
        '{"time": "noon", "cell": "x", "state": "done"}',
        '{"time": NaN, "start": "composites"}',
        '{"time": 1, "start": ["map"]}',
        '{"time": 1, "spent": {"dollars": 3}}',
        '{"time": 1, "spent": 3}',
        '{"time": 1, "spent": {"requests": "3"}}',
        '{"level": "info", "time": 1}',
        "[" * 10_000,
        '{"time": ' + "9" * 9_000 + "}",
    ],
)
def test_a_line_that_is_not_ours_is_passed_over(tmp_path: Path, line: str) -> None:
    write(tmp_path, CellRecord("a", "done", pixels=10))
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write(line + "\n")
    with open_ledger(tmp_path) as ledger:
        ledger.add(CellRecord("c", "done", pixels=30))
    found = read_ledger(tmp_path, "composites")
    assert (found.done, found.failed, found.spent) == ({"a": 10, "c": 30}, {}, Spent())
