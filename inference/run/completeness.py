"""Completeness of a run: every planned cell's file is opened and counted at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from gee_pipeline.errors import BudgetSpentError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.grid import Cell
from gee_pipeline.map_codes import NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from gee_pipeline.source import Spent
from inference.run.cell_worker import has_composite
from inference.run.ledger import CellRecord, Goal, Observed, read_observed
from inference.run.listed_scenes import ListedScenes, listed_scenes
from inference.run.plan import CONFIG_FILE, RunPlan
from inference.run.prediction import bounded_gdal, prediction_path, read_finished

INPUT_FAULTS: Final = {"SceneReadError", "CorruptFileError", "InputError", "MismatchError", "AccessError"}
"""Errors that trying again does not fix: something the user gave has to change."""

NAMED: Final = 5
"""Failed cells that a message names."""

MUCH_MAPPED: Final = 0.95
"""Share of the pixels to map below which a map says everywhere how little it holds."""

_CHECKERS = 4
"""Threads that look at the files at the end."""


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


def check_completeness(
    folder: Path, plan: RunPlan, goal: Goal, errors: Mapping[str, CellRecord], start: float
) -> RunSummary:
    """Open the file of every planned cell and count.

    Args:
        folder: Run folder.
        plan: The plan that was worked on.
        goal: What was made of the cells.
        errors: What failed, by name of the cell.
        start: When the run began, on the monotonic clock.
    """
    look = _look_at_prediction if goal == "map" else _look_at_composite
    states: Counter[str] = Counter()
    pixels: Counter[int] = Counter()
    failures, unseen = [], 0
    for found in _look_at_all(lambda cell: look(folder, plan, cell), plan):
        if not found.whole:
            failures.append(_failure(found.name, errors.get(found.name)))
            continue
        states["skipped" if found.skipped else "done"] += 1
        pixels.update(dict(found.pixels))
        unseen += found.unseen
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
class _Found:
    """What the file of a cell holds."""

    name: str
    whole: bool
    skipped: bool = False
    pixels: tuple[tuple[int, int], ...] = ()
    unseen: int = 0


def _look_at_all(look: Callable[[Cell], _Found], plan: RunPlan) -> Iterator[_Found]:
    """Look at every cell's file, a few at a time: an executor would queue all of a million at once."""
    cells = plan.grid.cells(plan.cells)
    with bounded_gdal(), ThreadPoolExecutor(_CHECKERS) as pool:
        while block := list(islice(cells, 1_024)):
            yield from pool.map(look, block)


def _look_at_prediction(folder: Path, plan: RunPlan, cell: Cell) -> _Found:
    finished = read_finished(prediction_path(folder, cell), cell, plan.digest)
    if finished is None or not finished.has(plan.layers):
        return _Found(cell.name, whole=False)
    codes, counts = np.unique(finished.bands[0], return_counts=True)
    pixels = tuple(zip(codes.tolist(), counts.tolist(), strict=True))
    unseen = int(((finished.bands[0] == NOT_ENOUGH) & (finished.bands[2] == 0)).sum())
    return _Found(cell.name, True, finished.skipped, pixels, unseen)


def _look_at_composite(folder: Path, plan: RunPlan, cell: Cell) -> _Found:
    try:
        return _Found(cell.name, has_composite(folder, plan, cell))
    except MismatchError:
        return _Found(cell.name, whole=False)


def _failure(name: str, record: CellRecord | None) -> Failure:
    if record is None:
        return Failure(name, "it was not begun, or its file is missing or damaged now")
    return Failure(name, record.error or "unknown", record.kind)
