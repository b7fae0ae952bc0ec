"""Exported files become those of the run, each verified before it is written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from gee_pipeline.earthengine.client.fetch_threads import FetchThreads
from gee_pipeline.earthengine.client.session import Session, find_access
from gee_pipeline.earthengine.composites.blocks import Block, file_prefix
from gee_pipeline.earthengine.composites.scene_list import counted_scenes
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.earthengine.composites.storage import (
    Storage,
    StoredFile,
    fetch,
    files_by_cell,
    open_places,
    open_storage,
)
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.errors import (
    CorruptFileError,
    CropmapError,
    IncompleteRunError,
    InputError,
    MismatchError,
    SceneReadError,
)
from gee_pipeline.grid import Cell, inside
from gee_pipeline.source import SceneCounts
from inference.batch.product import COPIES, Product, command_of, product_of, source_of
from inference.record.lock import run_lock
from inference.run.completeness import NAMED, Failure
from inference.run.execute import Progress
from inference.run.ledger import CellRecord, CellState, Ledger, open_ledger, read_ledger
from inference.run.plan import RunPlan
from inference.run.prediction import bounded_gdal
from inference.run.task_record import BlockTask, open_tasks, read_tasks, run_name

MEMORY: Final = 2**30
"""Bytes that the cells under way may take together."""

MOST_AT_ONCE: Final = 8
"""Files that are fetched at once."""

Files = Mapping[tuple[int, int], list[tuple[Block, StoredFile]]]


@dataclass(frozen=True)
class Exported:
    """The files of a run where its tasks wrote them, or where somebody brought them."""

    storage: Storage
    """Where they lie."""
    files: Files
    """By row and column of their cell."""


@dataclass(frozen=True)
class Collected:
    """What was taken in."""

    folder: Path
    """Folder of the run."""
    origin: str
    """Where the files came from."""
    planned: int
    """Cells of the run."""
    taken: int
    """Cells whose file was written now."""
    present: int
    """Cells whose file was there and whole."""
    missing: tuple[Failure, ...]
    """Cells without a file, and what is known of their task."""
    damaged: tuple[Failure, ...]
    """Cells whose files are damaged or could not be read."""
    way_out: str
    """What to do about missing and damaged cells, a full sentence."""
    seconds: float
    """Wall time."""

    @property
    def done(self) -> int:
        """Cells whose file the run has."""
        return self.taken + self.present

    def raise_if_incomplete(self) -> None:
        """Refuse to call a run complete while cells are missing or damaged.

        Raises:
            IncompleteRunError: Names the cells, the reasons and the next command.
        """
        failures = (*self.damaged, *self.missing)
        if not failures:
            return
        named = "".join(f"\n  {failure.name}: {failure.error}" for failure in failures[:NAMED])
        more = f"\n  and {len(failures) - NAMED:,} more" if len(failures) > NAMED else ""
        raise IncompleteRunError(
            f"{len(failures):,} of {self.planned:,} cells could not be taken in from {self.origin}: "
            f"{len(self.missing):,} files are missing and {len(self.damaged):,} damaged.{named}{more}\n"
            f"{self.done:,} cells are kept. {self.way_out}"
        )


def find_exported(
    plan: RunPlan, session: Session | None, destination: Destination, places: str | None = None
) -> Exported:
    """The files that tasks have written for a run so far; none is read.

    Args:
        plan: What `open_or_create` or `going_on` returned.
        session: Session of Earth Engine; None where the files lie in a folder.
        destination: Where the tasks wrote.
        places: Folder into which the files were downloaded; None looks at the destination itself.

    Raises:
        AccessError: The destination is not there or may not be read.
        InputError: There is no such folder of downloads.
    """
    storage = _storage(session, destination, places)
    return Exported(storage, files_by_cell(storage, file_prefix(run_name(plan)), plan.grid.cell_size))


def collect(
    folder: Path,
    plan: RunPlan,
    session: Session | None,
    destination: Destination,
    *,
    places: str | None = None,
    exported: Exported | None = None,
    notice: Callable[[str], None] = lambda text: None,
    progress: Callable[[Progress], None] | None = None,
) -> Collected:
    """Take in the files that tasks have written; what the run has already is kept.

    It can be called while tasks are still at work, and again later. A file that is missing or damaged
    although its task is done is noted, so that `export_by_tasks` exports its block once more.

    Args:
        folder: Run folder of the plan, as `open_or_create` left it.
        plan: What `open_or_create` returned.
        session: Session of Earth Engine; None where the files lie in a folder, and scenes are counted only
            where the run has lists of them.
        destination: Where the tasks wrote.
        places: Folder into which the files were downloaded; None reads the destination itself.
        exported: What `find_exported` found; None looks now.
        notice: Takes one sentence for the user.
        progress: Takes the state of the cells.

    Raises:
        AccessError: The destination is not there or may not be read.
        InputError: Another process works in the folder, or there is no such folder of downloads.
        DiskFullError: The disk has no room; the same call continues.
    """
    start = time.monotonic()
    with run_lock(folder), bounded_gdal():
        exported = exported or find_exported(plan, session, destination, places)
        source = source_of(folder, plan, session)
        product = product_of(folder, plan, source)
        counter = _SceneCounter(source, plan, notice, ask=session is not None)
        intake = _Intake(product, plan, exported, counter)
        outcomes = _Outcomes(len(plan.cells))
        _take_in(intake, plan, folder, outcomes, progress or (lambda state: None))
        missing = _explained(outcomes.missing, folder, plan)
        if places is None:
            _mark_lost(folder, plan, destination, outcomes.lost)
    return Collected(
        folder=folder,
        origin=places or str(destination),
        planned=len(plan.cells),
        taken=outcomes.taken,
        present=outcomes.present,
        missing=missing,
        damaged=tuple(failure for _, failure in sorted(outcomes.damaged.items())),
        way_out=_way_out(folder, plan, destination, places),
        seconds=round(time.monotonic() - start, 3),
    )


@dataclass(frozen=True)
class _Outcome:
    """How it went with a cell."""

    cell: Cell
    kind: Literal["taken", "present", "missing", "damaged"]
    pixels: int = 0
    skipped: bool = False
    """Whether nothing of it is to be mapped."""
    counts: SceneCounts | None = None
    error: str = ""
    lost: bool = False
    """Whether only another export can bring its file."""


class _Outcomes:
    """Counts cells as they come."""

    def __init__(self, planned: int) -> None:
        self.taken = self.present = 0
        self.missing: dict[tuple[int, int], Failure] = {}
        self.damaged: dict[tuple[int, int], Failure] = {}
        self.lost: set[tuple[int, int]] = set()
        self._planned, self._start, self._pixels = planned, time.monotonic(), 0

    def add(self, outcome: _Outcome) -> None:
        place = (outcome.cell.row, outcome.cell.col)
        if outcome.lost:
            self.lost.add(place)
        if outcome.kind == "taken":
            self.taken += 1
            self._pixels += outcome.pixels
        elif outcome.kind == "present":
            self.present += 1
        elif outcome.kind == "missing":
            self.missing[place] = Failure(outcome.cell.name, outcome.error)
        else:
            self.damaged[place] = Failure(outcome.cell.name, outcome.error)

    def progress(self) -> Progress:
        elapsed = max(time.monotonic() - self._start, 1e-6)
        done, failed = self.taken + self.present, len(self.missing) + len(self.damaged)
        left = self._planned - done - failed
        return Progress(
            done=done,
            failed=failed,
            planned=self._planned,
            pixels=self._pixels,
            pixels_per_second=self._pixels / elapsed,
            seconds_left=left * elapsed / self.taken if self.taken else None,
        )


@dataclass(frozen=True)
class _Intake:
    """What is needed to settle one cell."""

    product: Product
    plan: RunPlan
    exported: Exported
    scenes: _SceneCounter

    def settle(self, cell: Cell) -> _Outcome:
        """Take in the file of a cell unless the run has it."""
        pixels = int(inside(self.plan.area, cell.geobox).sum())
        try:
            if self.product.has(cell):
                return _Outcome(cell, "present", pixels)
        except MismatchError as error:
            return _Outcome(cell, "damaged", error=str(error))
        errors: list[CropmapError] = []
        for _, file in self.exported.files.get((cell.row, cell.col), []):
            try:
                return self._take(cell, file, pixels)
            except (CorruptFileError, MismatchError, SceneReadError) as error:
                errors.append(error)
        if not errors:
            return _Outcome(cell, "missing", lost=True)
        lost = all(isinstance(error, CorruptFileError) for error in errors)
        return _Outcome(cell, "damaged", error=str(errors[0]), lost=lost)

    def _take(self, cell: Cell, file: StoredFile, pixels: int) -> _Outcome:
        """Write the run's file of a cell from an exported one."""
        content, counts = fetch(self.exported.storage, file), self.scenes.count(cell)
        skipped = self.product.take(cell, file, content, counts)
        return _Outcome(cell, "taken", pixels, skipped, counts)


class _SceneCounter:
    """Counts the scenes of cells by the lists of the run; the files themselves do not say."""

    def __init__(
        self, source: EarthEngineSource, plan: RunPlan, notice: Callable[[str], None], *, ask: bool
    ) -> None:
        self._source, self._plan, self._notice, self._ask = source, plan, notice, ask
        self._reported, self._lock = False, threading.Lock()

    def count(self, cell: Cell) -> SceneCounts:
        """What a cell was made of; zeros where that cannot be asked."""
        plan = self._plan
        try:
            scenes = self._source.scenes_of([cell], plan.season, plan.bins, ask=self._ask)
        except CropmapError as error:
            self._tell(str(error))
            return SceneCounts(duplicates_dropped=None)
        return counted_scenes(scenes, plan.recipe, plan.season.hours_ahead)

    def _tell(self, reason: str) -> None:
        with self._lock:
            reported, self._reported = self._reported, True
        if not reported:
            self._notice(f"The scenes of the cells are not counted: {reason}")


def _take_in(
    intake: _Intake, plan: RunPlan, folder: Path, outcomes: _Outcomes, report: Callable[[Progress], None]
) -> None:
    """Settle every planned cell, a few at a time, and note each in the ledger."""
    goal, cells = intake.product.goal, plan.grid.cells(plan.cells)
    former, threads = read_ledger(folder, goal), _at_once(intake.product)
    with open_ledger(folder) as ledger:
        ledger.start(goal, len(plan.cells))
        report(outcomes.progress())
        for outcome in FetchThreads[Cell, _Outcome](intake.settle, cells, threads=threads):
            outcomes.add(outcome)
            if not (outcome.kind == "present" and outcome.cell.name in former.done):
                _note(ledger, outcome)
            report(outcomes.progress())


def _note(ledger: Ledger, outcome: _Outcome) -> None:
    if outcome.kind in ("taken", "present"):
        scenes = asdict(outcome.counts) if outcome.counts else {}
        state: CellState = "skipped" if outcome.skipped else "done"
        reused = outcome.kind == "present"
        ledger.add(CellRecord(outcome.cell.name, state, outcome.pixels, reused=reused, scenes=scenes))
    elif outcome.kind == "damaged":
        ledger.add(CellRecord(outcome.cell.name, "failed", error=outcome.error))


def _at_once(product: Product) -> int:
    """Cells whose values fit the memory together."""
    return max(1, min(MOST_AT_ONCE, MEMORY // (COPIES * product.cell_bytes)))


def _storage(session: Session | None, destination: Destination, places: str | None) -> Storage:
    if places is not None:
        return open_places(places)
    if session is None:
        raise InputError(
            f"Reading {destination} needs credentials, and no session of Earth Engine was opened. Download "
            "the files and name their folder with --downloads."
        )
    access = find_access(session.settings)
    return open_storage(destination, access.credentials, access.project)


def _explained(
    missing: Mapping[tuple[int, int], Failure], folder: Path, plan: RunPlan
) -> tuple[Failure, ...]:
    """The cells without files, each with what is known of its task."""
    if not missing:
        return ()
    tasks = read_tasks(folder)
    reasons = dict.fromkeys(missing, "there is no file of it, and no task is known")
    for task in tasks.leaves(plan.cells) if tasks.records else ():
        for place in _places(task, plan) & reasons.keys():
            reasons[place] = _standing(task)
    return tuple(replace(failure, error=reasons[place]) for place, failure in sorted(missing.items()))


def _standing(task: BlockTask) -> str:
    """Why a cell of a block may have no file."""
    if task.state in ("done", "lost"):
        return "its task is done, but the file is not there"
    if task.state == "active":
        return "its task is still at work"
    if task.state in ("failed", "cancelled"):
        return f"its task failed: {task.message}"
    return "its task is not started yet"


def _mark_lost(folder: Path, plan: RunPlan, destination: Destination, lost: set[tuple[int, int]]) -> None:
    """Note blocks whose tasks are done and whose files are not there or damaged, to be exported again."""
    tasks = read_tasks(folder)
    if not lost or (tasks.destination, tasks.layers) != (str(destination), plan.layers):
        return
    with open_tasks(folder, destination, plan.layers) as writer:
        for task in list(tasks.leaves(plan.cells)):
            if task.state == "done" and _places(task, plan) & lost:
                writer.note(replace(task, state="lost"))


def _places(task: BlockTask, plan: RunPlan) -> set[tuple[int, int]]:
    return {(int(row), int(col)) for row, col in task.subject.block.cells(plan.cells)}


def _way_out(folder: Path, plan: RunPlan, destination: Destination, places: str | None) -> str:
    if places is not None:
        return f"Put the missing files into {places} and run the same command again."
    command = command_of(folder, plan, destination)
    return (
        f"'{command}' waits for tasks that are still at work and exports what is missing or damaged once "
        f"more; then '{command} --collect' takes it in."
    )
