"""Works through a run's cells, notes what happened, and counts the files at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.client.budget import Budget
from gee_pipeline.earthengine.composites.block_scenes import FOLDER as SCENES
from gee_pipeline.errors import DiskFullError
from gee_pipeline.files import size_text
from gee_pipeline.source import BlockSource, ListedSource, PredictingSource, RemoteSource, Source, Spent
from inference.record.lock import run_lock
from inference.run.cell_task import completed, make_block, settle_cell
from inference.run.cell_worker import CellBlock, ReadyCell, WorkerSetup
from inference.run.completeness import (
    RunSummary,
    Standing,
    TakeCell,
    check_completeness,
    find_standing,
    verify_doubtful,
)
from inference.run.ledger import CellRecord, Goal, Ledger, open_ledger, read_ledger
from inference.run.plan import RunPlan
from inference.run.prediction import GDAL_CACHE
from inference.run.prefetch import CellQueue, PlannedCells, fetch_ahead, in_blocks
from inference.run.task_record import read_tasks
from inference.run.worker_plan import WorkerPlan, block_side, cells_in_memory, plan_workers

MEMORY_BUDGET: Final = 2 * 2**30
"""Bytes that the arrays of one worker process may take: 2 GiB."""

_log = logging.getLogger("cropmap.cells")
_log.addHandler(logging.NullHandler())  # who waits for the run is told of all failed cells at its end

_CACHED_PART: Final = 4
"""Of the memory of a process the part in which GDAL may keep blocks of scenes is one out of so many."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int
    """Cells done, those of former runs from the start on; those without a pixel to map are among them."""
    failed: int
    """Cells that failed."""
    planned: int
    """Cells to do."""
    pixels: int
    """Pixels inside the area that this run has worked on; those of former runs do not count."""
    pixels_per_second: float
    """Speed of this run."""
    seconds_left: float | None
    """Time for the cells that remain; None before the first cell of this run."""
    under_way: int = 0
    """Cells that were begun and have not ended."""


def run(
    folder: Path,
    plan: RunPlan,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    device: str = "auto",
    memory_budget: int = MEMORY_BUDGET,
    max_eecu_hours: float | None = None,
    since: Spent | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
    cells_taken: Callable[[], AbstractContextManager[TakeCell]] | None = None,
) -> RunSummary:
    """Work on every planned cell that is not finished; a failed cell does not end the run.

    Args:
        folder: Run folder of the plan, as `open_or_create` left it.
        plan: What `open_or_create` returned; without a model only composites are made.
        scheduler: Address of a running Dask scheduler whose workers share the folder; None works here.
        workers: Worker processes here; 0 is this process without Dask, None by cores or GPUs.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        memory_budget: Bytes that the arrays of one worker process may take.
        max_eecu_hours: Computing time that Earth Engine may take for the whole run; None sets no limit.
        since: What the source had spent before it was asked anything for this run; None is what it has now.
        on_progress: Told the state at the start, and when a cell begins or ends.
        on_notice: Told what the source wants the user to know.
        cells_taken: Entered once all cells are done; it takes each as its file is verified, so that what is
            certified is what is made of it.

    Raises:
        InputError: Another process works in the folder, or the scheduler or device is not there.
        AccessError: The server refuses all cells.
        DiskFullError: The disk is full; the same call continues once there is space.
        IncompleteRunError: The connection to the scheduler was lost.
    """
    start, folder = time.monotonic(), folder.absolute()
    goal: Goal = "map" if plan.model else "composites"
    with run_lock(folder):
        _sweep(folder)
        former = read_ledger(folder, goal, plan.digest, plan.layers)
        standing = find_standing(folder, plan, goal, former)
        tracker = _Tracker(len(plan.cells), int(standing.believed.sum()), on_progress)
        before = former.spent + Spent(eecu_seconds=read_tasks(folder).eecu_seconds)
        reader = _reader(plan)
        setup = _setup(folder, plan, reader, memory_budget)
        expenses = _Expenses(reader, since)
        budget = None if max_eecu_hours is None else Budget(max_eecu_hours, before, expenses.now)
        with _telling_space(folder, plan, reader), open_ledger(folder) as ledger:
            ledger.start(goal, len(plan.cells), plan.digest, plan.layers)
            left = plan.cells[_left(folder, plan, goal, standing, ledger, tracker)]
            with (
                _queue(setup, plan, left, budget) as ready,
                _records(
                    setup, plan, len(left), _Begun(ready, tracker), scheduler, workers, device
                ) as records,
                closing(_noting(records, ledger, expenses, on_notice)) as followed,
            ):
                _follow(followed, ledger, tracker)
        _sweep(folder)  # what workers that died had begun
        whole = not tracker.failed and not (budget and budget.reason)
        with cells_taken() if cells_taken and whole else nullcontext() as take:
            summary = check_completeness(folder, plan, goal, tracker.failed, start, take)
        if whole:
            _note_damage(folder, summary)
        return replace(
            summary,
            remade=tuple(tracker.remade),
            spent=before + expenses.now(),
            stopped=budget.reason if budget else None,
        )


def _note_damage(folder: Path, summary: RunSummary) -> None:
    """Note cells whose files were found damaged at the end: the next start does not believe them."""
    if summary.failures:
        with open_ledger(folder) as ledger:
            for failure in summary.failures:
                ledger.add(CellRecord(failure.name, "failed", error=failure.error, kind=failure.kind))


def _left(
    folder: Path, plan: RunPlan, goal: Goal, standing: Standing, ledger: Ledger, tracker: _Tracker
) -> NDArray[np.bool_]:
    """Which planned cells `(n,)` are left to work on, after a look into the files that are in doubt."""
    left = standing.missing
    doubtful = np.flatnonzero(standing.doubtful)
    for index, record in zip(doubtful, verify_doubtful(folder, plan, goal, standing), strict=True):
        if record is None:
            left[index] = True
        else:
            ledger.add(record)
            tracker.found()
    return left


@contextmanager
def _telling_space(folder: Path, plan: RunPlan, source: Source) -> Iterator[None]:
    """Say of a full disk what all cells that are left take, not only the file that found no room."""
    try:
        yield
    except DiskFullError as error:
        needed = size_text(_space_needed(folder, plan, source))
        raise DiskFullError(f"{error} The cells that are left take about {needed}.") from error


def _space_needed(folder: Path, plan: RunPlan, source: Source) -> float:
    """Bytes of the cells that are left if they are like those done; before the first, bytes of the arrays."""
    planned, needed = len(plan.cells), 0.0
    for kind in ("composites", "predictions"):
        sizes = [path.stat().st_size for path in (folder / kind).glob("*.tif")]
        needed += sum(sizes) / len(sizes) * (planned - len(sizes)) if sizes else 0
    return needed or planned * _cell_bytes(plan, source)


def _setup(folder: Path, plan: RunPlan, reader: Source, memory_budget: int) -> WorkerSetup:
    cache = memory_budget // _CACHED_PART if isinstance(reader, BlockSource) else GDAL_CACHE
    return WorkerSetup(
        folder, reader, composites_only=plan.model is None, memory_budget=memory_budget, gdal_cache=cache
    )


def _reader(plan: RunPlan) -> Source:
    if plan.reader is None:
        raise AssertionError("a plan that is run comes from open_or_create, with its source")
    return plan.reader


@contextmanager
def _queue(
    setup: WorkerSetup, plan: RunPlan, left: NDArray[np.int32], budget: Budget | None
) -> Iterator[CellQueue]:
    """The cells that are left; those of a remote source are fetched here, ahead of the work on them."""
    if isinstance(setup.source, BlockSource):
        yield PlannedCells(in_blocks(left, block_side(len(left), plan.grid.cell_size)))
        return
    places = ((int(row), int(col)) for row, col in left)
    if not isinstance(setup.source, RemoteSource):
        yield PlannedCells(places)
        return
    wanted = setup.source.cells_ahead(len(plan.bins), plan.grid.cell_size)
    threads = max(1, min(wanted, cells_in_memory(setup.memory_budget, _cell_bytes(plan, setup.source))))
    fetching = fetch_ahead(setup, places, threads=threads, budget=budget)
    try:
        yield fetching
    finally:
        fetching.close()


@contextmanager
def _records(
    setup: WorkerSetup,
    plan: RunPlan,
    cells: int,
    queue: CellQueue,
    scheduler: str | None,
    workers: int | None,
    device: str,
) -> Iterator[Iterator[CellRecord]]:
    """How each cell ends, one after another, by whatever does the work."""
    if setup.fetching_is_all:
        yield work_here(setup, queue)
        return
    if scheduler:
        from inference.run.scheduler import remote_client, work_on_cluster

        setup = replace(_with_scenes_kept(setup, plan), devices=(device,), computing=None)
        with remote_client(scheduler, setup.folder) as client:
            yield work_on_cluster(setup, queue, client)
        return
    worker_plan = plan_workers(
        workers,
        device,
        cells=cells,
        cell_bytes=_cell_bytes(plan, setup.source),
        memory_budget=setup.memory_budget,
        model=plan.model is not None,
    )
    setup = replace(setup, devices=worker_plan.devices, computing=worker_plan.computing)
    if worker_plan.processes == 0:
        yield work_here(setup, queue)
        return
    from inference.run.scheduler import local_client, work_on_cluster

    with local_client(worker_plan) as client:
        yield work_on_cluster(_shared_by_threads(_with_scenes_kept(setup, plan), worker_plan), queue, client)


def _with_scenes_kept(setup: WorkerSetup, plan: RunPlan) -> WorkerSetup:
    """A setup whose workers need not list the scenes of the source again."""
    source = setup.source
    if not isinstance(source, ListedSource):
        return setup
    return replace(setup, source=source.kept(setup.folder, plan.grid.geobox, plan.season, plan.bins))


def work_here(setup: WorkerSetup, queue: CellQueue) -> Iterator[CellRecord]:
    """Work on one cell after another in this process."""
    while work := queue.take(wait=True):
        for cell in make_block(setup, work.places) if isinstance(work, CellBlock) else [work]:
            if isinstance(cell, CellRecord):
                yield cell
            else:
                yield completed(settle_cell(setup, cell.row, cell.col), cell)


def spent(source: Source) -> Spent:
    """What a source has asked a server for in this process; nothing where there is no server."""
    return source.spent() if isinstance(source, RemoteSource) else Spent()


class _Expenses:
    """What the source has spent since it was first asked for the run."""

    def __init__(self, source: Source, since: Spent | None) -> None:
        self._source = source
        self._start = self._noted = spent(source) if since is None else since

    def now(self) -> Spent:
        """Everything since the start."""
        return spent(self._source) - self._start

    def take(self) -> Spent:
        """Everything since the last call."""
        now = spent(self._source)
        more, self._noted = now - self._noted, now
        return more

    def settle(self) -> None:
        """Find out what everything since the start has cost, if there was anything."""
        if isinstance(self._source, RemoteSource) and self.now() != Spent():
            self._source.settle()

    def take_notices(self) -> list[str]:
        return self._source.take_notices() if isinstance(self._source, RemoteSource) else []


def _noting(
    records: Iterator[CellRecord],
    ledger: Ledger,
    expenses: _Expenses,
    on_notice: Callable[[str], None] | None,
) -> Generator[CellRecord]:
    """The same records; what the source spent and has to say is taken note of on the way."""
    tell = on_notice or (lambda text: None)
    try:
        for record in records:
            yield record
            for text in expenses.take_notices():
                tell(text)
            _note(ledger, expenses)
        expenses.settle()
    finally:
        _note(ledger, expenses)


def _note(ledger: Ledger, expenses: _Expenses) -> None:
    if (more := expenses.take()) != Spent():
        ledger.spent(more)


def _shared_by_threads(setup: WorkerSetup, worker_plan: WorkerPlan) -> WorkerSetup:
    """On a CPU each thread may have a batch of its own; on a GPU they take turns."""
    if worker_plan.devices[0] != "cpu":
        return setup
    return replace(setup, memory_budget=setup.memory_budget // worker_plan.threads)


def _follow(records: Iterator[CellRecord], ledger: Ledger, tracker: _Tracker) -> None:
    """Note each cell and tell the progress."""
    tracker.tell()
    for record in records:
        ledger.add(record)
        tracker.ended(record)
        tracker.tell()


class _Tracker:
    """Counts cells as they begin and end; those of former runs are done, the speed is that of this run."""

    def __init__(self, planned: int, done: int, on_progress: Callable[[Progress], None] | None) -> None:
        self.failed: dict[str, CellRecord] = {}
        self.remade: list[str] = []
        self._planned, self._start, self._on_progress = planned, time.monotonic(), on_progress
        self._done = done
        self._under_way = self._worked = self._pixels = 0
        self._being_fetched: Callable[[], int] = lambda: 0

    def fetched_by(self, count: Callable[[], int]) -> None:
        """Count also what a server makes before its turn comes."""
        self._being_fetched = count

    def found(self) -> None:
        """Count a cell that a former run had finished."""
        self._done += 1
        self.tell()

    def begun(self, cells: int) -> None:
        self._under_way += cells

    def ended(self, record: CellRecord) -> None:
        self._under_way -= 1
        if record.state == "failed":
            self.failed[record.name] = record
            _log.error("Cell %s failed: %s", record.name, record.error)
        else:
            self._done += 1
        if record.remade:
            self.remade.append(record.name)
        if not record.reused:
            self._worked += 1
            self._pixels += record.pixels

    def tell(self) -> None:
        if self._on_progress:
            self._on_progress(self._progress())

    def _progress(self) -> Progress:
        elapsed = max(time.monotonic() - self._start, 1e-6)
        remaining = self._planned - self._done - len(self.failed)
        return Progress(
            done=self._done,
            failed=len(self.failed),
            planned=self._planned,
            pixels=self._pixels,
            pixels_per_second=self._pixels / elapsed,
            seconds_left=remaining * elapsed / self._worked if self._worked else None,
            under_way=self._under_way + self._being_fetched(),
        )


class _Begun:
    """A queue whose cells are counted as they are handed out."""

    def __init__(self, queue: CellQueue, tracker: _Tracker) -> None:
        self._queue, self._tracker = queue, tracker
        tracker.fetched_by(lambda: queue.under_way)

    @property
    def ended(self) -> bool:
        return self._queue.ended

    @property
    def under_way(self) -> int:
        return self._queue.under_way

    def take(self, wait: bool) -> ReadyCell | CellBlock | CellRecord | None:
        cell = self._queue.take(wait)
        if cell is not None:
            self._tracker.begun(len(cell.places) if isinstance(cell, CellBlock) else 1)
            if not isinstance(cell, CellRecord):
                self._tracker.tell()
        return cell


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed had begun to write."""
    for place in (folder, folder / SCENES, folder / "composites", folder / "predictions"):
        for part in place.glob("*.part"):
            if part.is_file():
                part.unlink(missing_ok=True)


def _cell_bytes(plan: RunPlan, source: Source) -> int:
    """Bytes of what a source gives of one cell: its composite, or its prediction."""
    pixels = plan.grid.cell_size**2
    if isinstance(source, PredictingSource):
        return pixels * len(plan.bands)
    return pixels * len(plan.bins) * len(plan.recipe.bands) * np.dtype(np.int16).itemsize
