"""The unit of work: one cell from scenes to its file, the same in a plain loop and in a Dask worker."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from gee_pipeline.errors import AccessError, CropmapError, DiskFullError, PlaceError
from gee_pipeline.files import room_for
from gee_pipeline.grid import cell_name
from gee_pipeline.incoming.addresses import without_secrets
from inference.run.cell_worker import CellWorker, ReadyCell, WorkerSetup
from inference.run.ledger import CellRecord
from inference.run.prediction import bounded_gdal

ATTEMPTS: Final = 3
"""Times a cell is tried when the operating system reports an error, which may pass."""

PAUSE: Final = 1.0
"""Seconds before the second attempt; doubled before each further one."""

_KEPT = 2
"""Runs a worker keeps open: a shared cluster may serve two at once."""

T = TypeVar("T")

_log = logging.getLogger("cropmap.run")

_workers: dict[str, CellWorker] = {}
_opening = threading.Lock()


def settle_cell(setup: WorkerSetup, row: int, col: int) -> CellRecord:
    """Work on a cell until it is done or has failed; a failure is a record, not an exception.

    Args:
        setup: The run.
        row: Row of the cell.
        col: Column of the cell.

    Raises:
        DiskFullError: The disk has no room: a failure that all further cells share.
        AccessError: The server refuses all cells.
    """
    return _settled(setup, cell_name(row, col), lambda: work_on_cell(setup, row, col))


def make_block(setup: WorkerSetup, places: Sequence[tuple[int, int]]) -> list[ReadyCell | CellRecord]:
    """Make the composites of neighbouring cells together; what is then left to do of each cell.

    A cell for which that fails is left to its own turn, which tries it alone and records why it fails.

    Args:
        setup: The run.
        places: Rows and columns of the cells.

    Raises:
        DiskFullError: The disk has no room.
    """
    made: dict[str, ReadyCell | CellRecord] = {}
    try:
        with room_for(setup.folder), bounded_gdal(setup.gdal_cache):
            worker = _worker_of(setup)
            for cell in worker.make_block([worker.plan.grid.cell(*place) for place in places]):
                name = cell.name if isinstance(cell, CellRecord) else cell_name(cell.row, cell.col)
                made[name] = cell
    except (DiskFullError, PlaceError, AccessError):
        raise
    except Exception as error:  # the border of the batch: each cell is tried alone
        _log.info("Cells from %s on are composited one by one: %r", cell_name(*places[0]), error)
    return [made.get(cell_name(*place), ReadyCell(*place)) for place in places]


def fetch_cell(setup: WorkerSetup, row: int, col: int) -> ReadyCell | CellRecord:
    """Bring to the disk what a server makes of a cell; a record where that is all, or where it failed.

    Args:
        setup: The run.
        row: Row of the cell.
        col: Column of the cell.

    Raises:
        DiskFullError: The disk has no room.
        AccessError: The server refuses all cells.
    """
    if setup.fetching_is_all:
        return settle_cell(setup, row, col)
    return _settled(setup, cell_name(row, col), lambda: _fetch(setup, row, col))


def completed(record: CellRecord, ready: ReadyCell) -> CellRecord:
    """The record of a cell with what fetching it took."""
    if ready.reused:
        return record
    seconds = {**record.seconds, "fetch": ready.seconds}
    return replace(record, remade=record.remade or ready.remade, seconds=seconds)


def _fetch(setup: WorkerSetup, row: int, col: int) -> ReadyCell:
    worker = _worker_of(setup)
    with bounded_gdal(setup.gdal_cache):
        return worker.fetch(worker.plan.grid.cell(row, col))


def _settled(setup: WorkerSetup, name: str, work: Callable[[], T]) -> T | CellRecord:
    """What some work on a cell returns, or the record of its failure."""
    for attempt in range(ATTEMPTS):
        try:
            with room_for(setup.folder):
                return work()
        except (DiskFullError, PlaceError, AccessError):
            raise
        except OSError as error:  # a worker's network or disk may recover
            failure: Exception = error
            _log.info("Cell %s: try %d failed: %s", name, attempt + 1, error)
            time.sleep(PAUSE * 2**attempt if attempt + 1 < ATTEMPTS else 0)
        except Exception as error:  # the border of the batch: whatever it is, it is recorded and counted
            failure = error
            break
    return failed(name, failure)


def failed(name: str, error: BaseException) -> CellRecord:
    """The record of a cell that failed; an error that is not cropmap's own says where it arose."""
    text = str(error) or type(error).__name__
    if not isinstance(error, CropmapError) and (frames := traceback.extract_tb(error.__traceback__)):
        text = f"{type(error).__name__}: {text} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    return CellRecord(name, "failed", error=without_secrets(text), kind=type(error).__name__)


def work_on_cell(setup: WorkerSetup, row: int, col: int) -> CellRecord:
    """Make the composite of a cell, and its prediction unless only composites are wanted.

    Where a server classifies, the prediction alone. What a former run finished is kept.

    Args:
        setup: The run.
        row: Row of the cell.
        col: Column of the cell.

    Raises:
        SceneReadError: A scene could not be read.
        DiskFullError: The disk has no room.
    """
    worker = _worker_of(setup)
    cell = worker.plan.grid.cell(row, col)
    with bounded_gdal(setup.gdal_cache):
        return worker.composite_only(cell) if setup.composites_only else worker.map_cell(cell)


def _worker_of(setup: WorkerSetup) -> CellWorker:
    """The worker of a run, opened once a process."""
    with _opening:
        if setup.token not in _workers:
            while len(_workers) >= _KEPT:
                del _workers[next(iter(_workers))]
            logging.getLogger("cropmap").setLevel(logging.INFO)  # the log of a run has reads tried again too
            _workers[setup.token] = CellWorker(setup)
        return _workers[setup.token]
