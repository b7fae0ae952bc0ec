"""What happened to each cell, one JSON line per event; the files are the truth, this is what is reported
about them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal, get_args

from gee_pipeline.files import room_for
from gee_pipeline.observations import COLUMNS, ValueStatistics
from gee_pipeline.source import SceneCounts, Spent
from inference.record.json_lines import open_lines, read_lines
from inference.record.lock import is_running
from inference.run.plan import read_run_file

LEDGER_FILE: Final = "ledger.jsonl"

Goal = Literal["map", "composites"]
"""What a run makes of its cells; composites that are done are not yet a map."""

CellState = Literal["done", "skipped", "failed"]
"""Skipped: written without a look at scenes, because no pixel of the cell is to be mapped."""


@dataclass(frozen=True)
class CellRecord:
    """How the work on one cell ended."""

    name: str
    """Name of the cell."""
    state: CellState
    """How it ended."""
    pixels: int = 0
    """Pixels inside the area."""
    reused: bool = False
    """True where a former run had finished it."""
    remade: bool = False
    """True where the composite of a former run was damaged and made again."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of each step."""
    scenes: Mapping[str, int] = field(default_factory=dict)
    """What the composite was made of."""
    values: Sequence[Sequence[int]] = ()
    """What its values are like: `ValueStatistics.rows`."""
    file: Sequence[int] = ()
    """Size in bytes and time of change in nanoseconds of its file, when it was written or verified."""
    error: str | None = None
    """Why it failed."""
    kind: str | None = None
    """Name of the error's class."""


@dataclass
class LedgerState:
    """The state of all cells by the ledger, since its goal was last resumed."""

    done: dict[str, int] = field(default_factory=dict)
    """Pixels of each cell that is done or skipped."""
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Size and time of change of the files that are known to be whole and of the run that was asked about."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why cells failed since the last start; those of former starts are tried again."""
    computed: int = 0
    """Cells that were computed, or failed, since the last start."""
    pixels: int = 0
    """Pixels that were computed since the last start."""
    started: float = 0.0
    """Time of the last start, in seconds since 1970."""
    last: float = 0.0
    """Time of the last event."""
    spent: Spent = field(default_factory=Spent)
    """What a server was asked for by all starts, whatever their goal."""
    of_this_run: bool = False
    """Whether the last start was of the run, and made the layers, that were asked about."""

    def start(self, event: Mapping[str, Any]) -> None:
        """Take note of a start: what had failed is pending again."""
        self.failed.clear()
        self.computed = self.pixels = 0
        self.started = self.last = float(event["time"])

    def add(self, event: Mapping[str, Any]) -> None:
        """Take note of a cell."""
        self.last = float(event["time"])
        reused = bool(event.get("reused"))
        self.computed += not reused
        if event["state"] == "failed":
            self.failed[event["cell"]] = str(event.get("error"))
            self.files.pop(event["cell"], None)
            return
        pixels = int(event.get("pixels", 0))
        self.failed.pop(event["cell"], None)
        self.done[event["cell"]] = pixels
        self._note_file(event["cell"], event.get("file"))
        self.pixels += 0 if reused else pixels

    def _note_file(self, name: str, file: Any) -> None:
        self.files.pop(name, None)
        if self.of_this_run and isinstance(file, list) and [type(n) for n in file] == [int, int]:
            self.files[name] = (file[0], file[1])


@dataclass(frozen=True)
class RunStatus:
    """How far a run has come."""

    folder: Path
    """Folder of the run."""
    goal: Goal
    """What it makes."""
    running: bool
    """Whether a process works on it now."""
    planned: int
    """Cells to do."""
    done: int
    """Cells done; those without a pixel to map are among them."""
    failed: int
    """Cells that failed since the run was last started."""
    pixels: int
    """Pixels inside the area of the cells done."""
    pixels_per_second: float | None
    """Speed since the run was last started; None before the first cell."""
    seconds_left: float | None
    """Time for the cells that remain, at the speed of the last start; None before the first cell."""
    failures: tuple[tuple[str, str], ...]
    """Name and error of each failed cell."""


class Ledger:
    """An open ledger; one process writes it."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file

    def start(self, goal: Goal, planned: int, run: str = "", layers: Sequence[str] = ()) -> None:
        """Note that work begins.

        Args:
            goal: What is made of the cells.
            planned: Number of cells.
            run: Digest of the plan by which the cells are finished that are noted from now on.
            layers: Layers on request that they have.

        Raises:
            DiskFullError: The disk has no room.
        """
        more = {key: value for key, value in (("run", run), ("layers", list(layers))) if value}
        self._append({"start": goal, "planned": planned, **more})

    def add(self, record: CellRecord) -> None:
        """Note how a cell ended; fields at their defaults are left out.

        Raises:
            DiskFullError: The disk has no room.
        """
        values = {key: value for key, value in asdict(record).items() if value}
        self._append({"cell": values.pop("name"), **values})

    def spent(self, more: Spent) -> None:
        """Note what a server was asked for since the last note.

        Raises:
            DiskFullError: The disk has no room.
        """
        self._append({"spent": asdict(more)})

    def _append(self, event: dict[str, Any]) -> None:
        line = json.dumps({**event, "time": round(time.time(), 3)}, separators=(",", ":")) + "\n"
        with room_for(self._path, len(line)):
            self._file.write(line.encode())
            self._file.flush()


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change in nanoseconds of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger of a run folder, to append to; a line cut off by a kill is ended first."""
    path = folder / LEDGER_FILE
    with open_lines(path) as file:
        yield Ledger(path, file)


def read_ledger(folder: Path, goal: Goal, run: str = "", layers: Sequence[str] = ()) -> LedgerState:
    """What the ledger of a run folder says about one goal; lines that are not ours are passed over.

    Args:
        folder: Run folder.
        goal: Which goal.
        run: Digest of the plan whose files are asked about; those of another plan are not known to be whole.
        layers: Layers on request that these must have.
    """
    state, heard = LedgerState(), False
    for event in _events(folder / LEDGER_FILE):
        if "spent" in event:
            state.spent += Spent(**event["spent"])
        elif "start" in event:
            heard = event["start"] == goal
            if heard:
                state.start(event)
                had = event.get("layers", [])
                state.of_this_run = bool(run) and event.get("run") == run and set(layers) <= set(had)
        elif heard:
            state.add(event)
    return state


@dataclass(frozen=True)
class Observed:
    """What the composites of a run are like, as far as its ledger says it."""

    cells: int = 0
    """Cells whose values were counted."""
    values: ValueStatistics | None = None
    """Of all these cells; None before the first."""
    scenes: SceneCounts = field(default_factory=SceneCounts)
    """Of all these cells; a scene counts in each cell."""
    without_scenes: int = 0
    """Cells of these that no scene shows."""


def read_observed(folder: Path) -> Observed:
    """What the composites of a run folder are like; a cell that was made twice counts once."""
    seen, values, scenes, without = set(), None, SceneCounts(), 0
    for event in filter(_is_observed, _events(folder / LEDGER_FILE)):
        if event["cell"] not in seen:
            seen.add(event["cell"])
            found = ValueStatistics.from_rows(event["values"])
            values = found if values is None else values + found
            counts = SceneCounts(**event["scenes"])
            scenes, without = scenes + counts, without + (counts.scenes == 0)
    return Observed(len(seen), values, scenes, without)


def read_finish_times(folder: Path) -> dict[str, float]:
    """When the scenes of each cell were composited last, in seconds since 1970."""
    times: dict[str, float] = {}
    for event in _events(folder / LEDGER_FILE):
        if "cell" in event and event["state"] != "failed" and (event["cell"] not in times or _is_made(event)):
            times[event["cell"]] = float(event["time"])
    return times


def _is_made(event: Mapping[str, Any]) -> bool:
    """Whether a cell was made of scenes, and not of its stored composite."""
    steps = set(event.get("seconds") or ())
    return not event.get("reused") and ("fetch" in steps or not steps & {"predict", "layers"})


def status(folder: Path) -> RunStatus:
    """How far a run has come; also while it is running, and after it died.

    Raises:
        InputError: The folder holds no run.
        CorruptFileError: run.json is damaged.
    """
    values = read_run_file(folder)
    goal: Goal = "map" if values["model"] else "composites"
    state, planned = read_ledger(folder, goal), int(values["cells"])
    running = is_running(folder)
    # A running run may be in the middle of a long cell; one that died took no longer than it lived.
    elapsed = (time.time() if running else state.last) - state.started
    rate = state.computed / elapsed if state.computed and elapsed > 0 else None
    return RunStatus(
        folder=folder,
        goal=goal,
        running=running,
        planned=planned,
        done=len(state.done),
        failed=len(state.failed),
        pixels=sum(state.done.values()),
        pixels_per_second=state.pixels / elapsed if rate else None,
        seconds_left=(planned - len(state.done) - len(state.failed)) / rate if rate else None,
        failures=tuple(state.failed.items()),
    )


def _events(path: Path) -> Iterator[dict[str, Any]]:
    return filter(_is_ours, read_lines(path))


def _is_ours(event: Mapping[str, Any]) -> bool:
    """Whether a line is one of those that `Ledger` writes."""
    if not _is_number(event.get("time")):
        return False
    if "spent" in event:
        return isinstance(event["spent"], dict) and _is_spent(event["spent"])
    if "start" in event:
        return event["start"] in get_args(Goal) and isinstance(event.get("layers", []), list)
    whole = type(event.get("pixels", 0)) is int
    return isinstance(event.get("cell"), str) and event.get("state") in get_args(CellState) and whole


def _is_observed(event: Mapping[str, Any]) -> bool:
    """Whether a line says what a composite is like."""
    rows, scenes = event.get("values"), event.get("scenes")
    if not rows or not isinstance(rows, list) or not isinstance(scenes, dict):
        return False
    whole = all(isinstance(row, list) and len(row) == len(COLUMNS) for row in rows)
    known = set(scenes) <= set(SceneCounts.__dataclass_fields__)
    if not whole or not known:
        return False
    return all(type(n) is int for row in rows for n in row) and all(
        n is None or type(n) is int for n in scenes.values()
    )


def _is_spent(values: Mapping[str, Any]) -> bool:
    return set(values) <= set(Spent.__dataclass_fields__) and all(map(_is_number, values.values()))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
