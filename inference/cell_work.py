"""The unit of work: one cell from scenes to its file, the same in a plain loop and in a Dask worker."""

from __future__ import annotations

import threading
import time
import traceback
from pathlib import Path
from typing import Final

from gee_pipeline.errors import CropmapError, DiskFullError
from gee_pipeline.files import room_for
from gee_pipeline.grid import cell_name
from inference.ledger import CellRecord
from inference.mosaic import bounded_gdal
from inference.open_run import Job, OpenRun

ATTEMPTS: Final = 3
"""Times a cell is tried when the operating system reports an error, which may pass."""

PAUSE: Final = 1.0
"""Seconds before the second attempt; doubled before each further one."""

_KEPT = 2
"""Runs a worker keeps open: a shared cluster may serve two at once."""

_open_runs: dict[str, OpenRun] = {}
_opening = threading.Lock()


def settle_cell(job: Job, row: int, col: int) -> CellRecord:
    """Work on a cell until it is done or has failed; a failure is a record, not an exception.

    Args:
        job: The run.
        row: Row of the cell.
        col: Column of the cell.

    Raises:
        DiskFullError: The disk has no room: the one failure that all further cells share.
    """
    for attempt in range(ATTEMPTS):
        try:
            with room_for(job.folder):
                return work_on_cell(job, row, col)
        except DiskFullError:
            raise
        except OSError as error:  # a worker's network or disk may recover
            failure: Exception = error
            time.sleep(PAUSE * 2**attempt if attempt + 1 < ATTEMPTS else 0)
        except Exception as error:  # the border of the batch: whatever it is, it is recorded and counted
            failure = error
            break
    return failed(cell_name(row, col), failure)


def failed(name: str, error: BaseException) -> CellRecord:
    """The record of a cell that failed; an error that is not cropmap's own tells where it arose."""
    text = str(error) or type(error).__name__
    if not isinstance(error, CropmapError) and (frames := traceback.extract_tb(error.__traceback__)):
        text = f"{type(error).__name__}: {text} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    return CellRecord(name, "failed", error=text, kind=type(error).__name__)


def work_on_cell(job: Job, row: int, col: int) -> CellRecord:
    """Make the composite of a cell, and its prediction unless only composites are wanted.

    What a former run finished is kept.

    Args:
        job: The run.
        row: Row of the cell.
        col: Column of the cell.

    Raises:
        SceneReadError: A scene could not be read.
        DiskFullError: The disk has no room.
    """
    opened = _opened(job)
    cell = opened.plan.grid.cell(row, col)
    with bounded_gdal():
        return opened.composite_only(cell) if job.composites_only else opened.map_cell(cell)


def _opened(job: Job) -> OpenRun:
    """The run of a job, opened once a process."""
    with _opening:
        if job.token not in _open_runs:
            while len(_open_runs) >= _KEPT:
                del _open_runs[next(iter(_open_runs))]
            _open_runs[job.token] = OpenRun(job)
        return _open_runs[job.token]
