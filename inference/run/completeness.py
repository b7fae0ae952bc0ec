"""Completeness of a run: which cells are finished before it goes on, and a look at every file at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import BudgetSpentError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.grid import Cell, cell_name, inside
from gee_pipeline.map_codes import NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from gee_pipeline.source import Spent
from gee_pipeline.store import composite_path
from inference.run.cell_worker import has_composite
from inference.run.ledger import (
    CellRecord,
    CellState,
    Goal,
    LedgerState,
    Observed,
    read_observed,
    stamp_of,
)
from inference.run.listed_scenes import ListedScenes, listed_scenes
from inference.run.plan import CONFIG_FILE, RunPlan
from inference.run.prediction import PredictionReader, bounded_gdal, count_codes, prediction_path

INPUT_FAULTS: Final = {"SceneReadError", "CorruptFileError", "InputError", "MismatchError", "AccessError"}
"""Errors that trying again does not fix: something the user gave has to change."""

NAMED: Final = 5
"""Failed cells that a message names."""

MUCH_MAPPED: Final = 0.95
"""Share of the pixels to map below which a map says everywhere how little it holds."""

_CHECKERS = 4
"""Threads that look at the files at the end."""

_BLOCK = 64
"""Files that they have looked at, at most, before the first of these is counted and written."""


@dataclass(frozen=True)
class Failure:
    """A planned cell without its file."""

    name: str
    """Name of the cell."""
    error: str
    """Why."""
    kind: str | None = None
    """Name of the error's class."""


@dataclass(frozen=True)
class Coverage:
    """What a map holds of the pixels to map: those of the area without what is not cropland."""

    asked: int
    """Pixels to map."""
    mapped: int
    """Pixels with a class."""
    unseen: int
    """Pixels without a single clear observation: no scene covers them, or clouds always do."""

    @property
    def too_few(self) -> int:
        """Pixels with fewer observations than the model needs, but some."""
        return self.asked - self.mapped - self.unseen

    @property
    def shares(self) -> dict[str, float]:
        """The parts of the pixels to map; they sum up to 1."""
        parts = {"mapped": self.mapped, "too_few_observations": self.too_few, "no_observation": self.unseen}
        return {name: round(pixels / (self.asked or 1), 6) for name, pixels in parts.items()}


@dataclass(frozen=True)
class RunSummary:
    """What stands on the disk after a run: counted by opening every file, not by what workers said."""

    folder: Path
    """Folder of the run."""
    goal: Goal
    """What was made of the cells."""
    planned: int
    """Cells to do."""
    done: int
    """Cells whose file is whole."""
    skipped: int
    """Cells whose file is whole, but for which no scene was read: no pixel of theirs is to be mapped."""
    failures: tuple[Failure, ...]
    """The cells that are missing; planned = done + skipped + missing."""
    pixels: Mapping[int, int]
    """Pixels by map code; empty for composites."""
    unseen: int = field(default=0, kw_only=True)
    """Pixels to map without a single clear observation."""
    seconds: float
    """Wall time of the run."""
    remade: tuple[str, ...] = ()
    """Cells whose stored composite was damaged and has been made again from the scenes."""
    spent: Spent = field(default_factory=Spent)
    """What a server was asked for, by all starts of the run."""
    stopped: str | None = None
    """Why the run ended before its last cell; None where it did not."""
    listed: ListedScenes | None = None
    """The scenes that a server listed; None where scenes are read here."""
    observed: Observed = field(default_factory=Observed)
    """What the composites are like; a scene that was left out counts in each cell."""
    command: str = "predict"
    """The subcommand of cropmap that continues the run."""

    @property
    def failed(self) -> int:
        """Number of missing cells."""
        return len(self.failures)

    @property
    def coverage(self) -> Coverage:
        """How much of what was asked for has a class; nothing was asked of a run of composites."""
        mapped = sum(count for code, count in self.pixels.items() if OUTSIDE < code < NOT_CROPLAND)
        return Coverage(mapped + self.pixels.get(NOT_ENOUGH, 0), mapped, self.unseen)

    @property
    def completeness(self) -> dict[str, Any]:
        """The counts as JSON values."""
        listed = {"scenes_listed": self.listed.to_dict()} if self.listed else {}
        return listed | {
            "planned": self.planned,
            "done": self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "remade": len(self.remade),
            "scenes_left_out": self.observed.scenes.left_out,
            "pixels": {str(code): count for code, count in sorted(self.pixels.items())},
            "coverage": self.coverage.shares,
        }

    def raise_if_incomplete(self) -> None:
        """Refuse to call a run complete while a cell is missing.

        Raises:
            IncompleteRunError: Names the cells and the command that continues; its exit code is 2 where
                something the user gave has to change, else 3.
            BudgetSpentError: The budget did not suffice for all cells.
        """
        if not self.failures:
            return
        if self.stopped:
            raise BudgetSpentError(self._continued())
        error = IncompleteRunError(self._missing())
        if all(failure.kind in INPUT_FAULTS for failure in self.failures):
            error.exit_code = InputError.exit_code
        raise error

    def _missing(self) -> str:
        named = "".join(f"\n  {f.name}: {f.error}" for f in self.failures[:NAMED])
        more = f"\n  and {self.failed - NAMED:,} more" if self.failed > NAMED else ""
        return (
            f"{self.failed:,} of {self.planned:,} cells are missing:{named}{more}\n"
            f"'cropmap status {self.folder}' lists all; finished cells are kept, continue with "
            f"'{self._command}'."
        )

    def _continued(self) -> str:
        return (
            f"The run stopped within its budget: {self.stopped}. {self.failed:,} of {self.planned:,} cells "
            f"are missing, finished cells are kept. Continue with '{self._command} --max-eecu-hours HOURS', "
            "where HOURS counts what is used already."
        )

    @property
    def _command(self) -> str:
        return f"cropmap {self.command} --config {self.folder / CONFIG_FILE}"


T = TypeVar("T")

TakeCell = Callable[[Cell, NDArray[np.uint8]], None]
"""Takes a cell and the bands `(band, y, x)` of its prediction."""


def check_completeness(
    folder: Path,
    plan: RunPlan,
    goal: Goal,
    errors: Mapping[str, CellRecord],
    start: float,
    take: TakeCell | None = None,
) -> RunSummary:
    """Read the file of every planned cell, verify it and count.

    Args:
        folder: Run folder.
        plan: The plan that was worked on.
        goal: What was made of the cells.
        errors: What failed, by name of the cell.
        start: When the run began, on the monotonic clock.
        take: Gets the predictions that are whole, in the order of the plan, until one is not.
    """
    look = cell_check(folder, plan, goal)
    states: Counter[str] = Counter()
    pixels: Counter[int] = Counter()
    failures, unseen = [], 0
    for found in look_at_all(look, plan.grid.cells(plan.cells)):
        if not found.whole:
            failures.append(_failure(found.cell.name, errors.get(found.cell.name)))
            continue
        states["skipped" if found.skipped else "done"] += 1
        pixels.update(found.pixels)
        unseen += found.unseen
        if take and found.bands is not None and not failures:
            take(found.cell, found.bands)
    return RunSummary(
        folder=folder,
        goal=goal,
        planned=len(plan.cells),
        done=states["done"],
        skipped=states["skipped"],
        failures=tuple(failures),
        pixels=dict(sorted(pixels.items())),
        unseen=unseen,
        seconds=round(time.monotonic() - start, 3),
        listed=listed_scenes(folder, plan),
        observed=read_observed(folder),
        command=plan.command,
    )


@dataclass(frozen=True)
class Found:
    """What the file of a cell holds."""

    cell: Cell
    """The cell."""
    whole: bool
    """Whether the file is there, undamaged, and of this run."""
    skipped: bool = False
    """Whether no scene was looked at."""
    bands: NDArray[np.uint8] | None = None
    """`(band, y, x)` of a prediction."""
    pixels: Mapping[int, int] = field(default_factory=dict)
    """Its pixels by code."""
    unseen: int = 0
    """Its pixels to map without a single clear observation."""


def cell_check(folder: Path, plan: RunPlan, goal: Goal) -> Callable[[Cell], Found]:
    """What reads the file of a cell and verifies all that the plan needs of it.

    Args:
        folder: Run folder.
        plan: The plan.
        goal: What is made of the cells.
    """
    if goal == "composites":
        return lambda cell: _look_at_composite(folder, plan, cell)
    reader = PredictionReader(plan.digest)
    return lambda cell: _look_at_prediction(reader, folder, plan, cell)


def look_at_all(look: Callable[[Cell], T], cells: Iterator[Cell]) -> Iterator[T]:
    """Look at the files of cells, a few at a time: an executor would queue all of a million at once."""
    with ThreadPoolExecutor(_CHECKERS) as pool:
        while block := list(islice(cells, _BLOCK)):
            yield from pool.map(_bounded(look), block)


def _bounded(look: Callable[[Cell], T]) -> Callable[[Cell], T]:
    def bounded(cell: Cell) -> T:
        with bounded_gdal():  # the settings of GDAL are a thread's own
            return look(cell)

    return bounded


def _look_at_prediction(reader: PredictionReader, folder: Path, plan: RunPlan, cell: Cell) -> Found:
    finished = reader.read(prediction_path(folder, cell), cell)
    if finished is None or not finished.has(plan.layers):
        return Found(cell, whole=False)
    return Found(cell, True, finished.skipped, finished.bands, *count_codes(finished.bands))


def _look_at_composite(folder: Path, plan: RunPlan, cell: Cell) -> Found:
    try:
        return Found(cell, has_composite(folder, plan, cell))
    except MismatchError:
        return Found(cell, whole=False)


@dataclass(frozen=True)
class Standing:
    """How the planned cells stand, `(n,)` each, in the order of the plan.

    A file is believed without a look when its size and time of change are those that the ledger noted when
    this very run had written or verified it; what is in it is verified once, when all cells are there. Other
    files are verified at once.
    """

    believed: NDArray[np.bool_]
    """Files that are as the ledger left them."""
    doubtful: NDArray[np.bool_]
    """Files that are there, of which it says nothing, or something else."""

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Cells without a file."""
        return ~(self.believed | self.doubtful)


def find_standing(folder: Path, plan: RunPlan, goal: Goal, ledger: LedgerState) -> Standing:
    """How the planned cells stand, by one look for each file and none into it.

    Args:
        folder: Run folder.
        plan: The plan.
        goal: What is made of the cells.
        ledger: What the ledger says about this goal and plan.
    """
    believed, there = (np.zeros(len(plan.cells), bool) for _ in range(2))
    place = cell_path(folder, goal, plan.grid.cell(0, 0)).parent
    for index, (row, col) in enumerate(plan.cells.tolist()):
        name = cell_name(row, col)
        stamp = stamp_of(place / f"{name}.tif")
        there[index] = stamp is not None
        believed[index] = stamp is not None and stamp == ledger.files.get(name)
    return Standing(believed, there & ~believed)


def verify_doubtful(
    folder: Path, plan: RunPlan, goal: Goal, standing: Standing
) -> Iterator[CellRecord | None]:
    """A record of each cell whose file is in doubt, in the order of the plan; None where it is not finished.

    Args:
        folder: Run folder.
        plan: The plan.
        goal: What is made of the cells.
        standing: What `find_standing` found.
    """
    check = cell_check(folder, plan, goal)

    def look(cell: Cell) -> tuple[Found, tuple[int, int] | None]:
        stamp = stamp_of(cell_path(folder, goal, cell))  # before the look: a later change is seen
        return check(cell), stamp

    for found, stamp in look_at_all(look, plan.grid.cells(plan.cells[standing.doubtful])):
        yield _verified(found, plan, stamp or ()) if found.whole else None


def cell_path(folder: Path, goal: Goal, cell: Cell) -> Path:
    """The file that a run makes of a cell."""
    return prediction_path(folder, cell) if goal == "map" else composite_path(folder, cell)


def _verified(found: Found, plan: RunPlan, stamp: tuple[int, ...]) -> CellRecord:
    if found.bands is None:
        pixels = int(inside(plan.area, found.cell.geobox).sum())
    else:
        pixels = sum(count for code, count in found.pixels.items() if code != OUTSIDE)
    state: CellState = "skipped" if found.skipped else "done"
    return CellRecord(found.cell.name, state, pixels, reused=True, file=stamp)


def _failure(name: str, record: CellRecord | None) -> Failure:
    if record is None:
        return Failure(name, "it was not begun, or its file is missing or damaged now")
    return Failure(name, record.error or "unknown", record.kind)
