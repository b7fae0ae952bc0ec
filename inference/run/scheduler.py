"""Work on cells by Dask: on a cluster on this machine, or on one elsewhere.

Imported where there is such a cluster: it takes half a second.
"""

from __future__ import annotations

import gc
import logging
import math
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Client, KilledWorker, LocalCluster, as_completed
from distributed.comm.addressing import get_address_host_port
from distributed.comm.core import CommClosedError
from distributed.security import Security
from filelock import FileLock, Timeout

from gee_pipeline.errors import IncompleteRunError, InputError
from gee_pipeline.grid import cell_name
from inference.run.cell_task import completed, failed, make_block, settle_cell
from inference.run.cell_worker import CellBlock, ReadyCell, WorkerSetup
from inference.run.ledger import CellRecord
from inference.run.prefetch import CellQueue
from inference.run.worker_plan import WorkerPlan

IN_FLIGHT: Final = 2
"""Cells handed out per thread: one in work, one waiting. A million futures would not fit the scheduler."""

_MALLOC: Final = {
    "MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
    "MALLOC_TRIM_THRESHOLD_": 2**30,
    "MALLOC_ARENA_MAX": 1,
}
"""glibc's settings in workers. Dask's own give each freed megabyte back to the system, and the model takes
some for each layer: the page faults cost a fifth of a run's time. 32 MiB is the most glibc accepts. With one
arena what a thread has freed serves the others too: else each keeps the most that it ever needed (25 MB)."""

_LOOK_AGAIN = 5.0
"""Seconds between two looks at the number of threads; clusters grow and shrink."""

SCRATCH: Final = "cropmap-"
"""How the names of temporary folders begin."""

_SCRATCH_LOCK: Final = "cropmap.lock"

_THIS_MACHINE: Final = "127.0.0.1"

_PATIENCE = 10.0
"""Seconds to wait for a scheduler elsewhere."""

_NO_WORKERS = 60
"""Seconds to wait for the first worker of a cluster elsewhere."""

_log = logging.getLogger("cropmap.run")

_BLINK = 0.05
"""Seconds between two looks at what ended and what arrived, while both are waited for."""


def work_on_cluster(setup: WorkerSetup, queue: CellQueue, client: Client) -> Iterator[CellRecord]:
    """Work on cells by Dask, in the order in which they end; few are in flight at a time.

    Args:
        setup: The run; the workers must see its folder.
        queue: The cells.
        client: Connection to the scheduler.

    Raises:
        DiskFullError: The disk has no room.
        IncompleteRunError: The connection to the scheduler was lost.
    """
    window = _Window(setup, client, queue)
    try:
        while True:
            yield from window.fill()
            if window.empty:
                return
            yield from window.ended()
    except CommClosedError as error:
        raise IncompleteRunError(
            f"The connection to the Dask scheduler was lost ({error}). Finished cells are kept: run the same "
            "command again once the scheduler is back."
        ) from error


@contextmanager
def local_client(worker_plan: WorkerPlan) -> Iterator[Client]:
    """A client of a cluster on this machine, which ends with the block.

    Whoever may speak to a scheduler may run any code on its workers. So the cluster listens on this machine
    alone, and answers only who holds the key that is made for it here and written to no lasting file.
    """
    settings = {
        # A cell whose worker died is handed out again by us, alone, so the scheduler gives up on it at once.
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.multiprocessing-method": "spawn",
        # Pages of the state of the work, for any user of this machine to read.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        **{f"distributed.nanny.pre-spawn-environ.{name}": size for name, size in _MALLOC.items()},
    }
    with _hushed(), dask.config.set(settings), _scratch() as scratch, ExitStack() as stack:
        _forget_failed_clients()
        with interrupts_held():
            cluster = stack.enter_context(_local_cluster(worker_plan, scratch))
            client = stack.enter_context(Client(cluster))
            client.forward_logging("cropmap", logging.INFO)
        yield client


def _local_cluster(worker_plan: WorkerPlan, scratch: Path) -> LocalCluster:
    return LocalCluster(
        n_workers=worker_plan.processes,
        threads_per_worker=worker_plan.threads,
        processes=True,
        host=_THIS_MACHINE,
        security=Security.temporary(),
        dashboard_address=None,
        # Not Dask's 8787, of which a second run would say that it is in use.
        scheduler_kwargs={"dashboard": False, "dashboard_address": f"{_THIS_MACHINE}:0"},
        memory_limit=0,  # the budget is ours; Dask's own limit would kill workers for GDAL's caches
        local_directory=str(scratch),
        silence_logs=logging.CRITICAL,
    )


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the block is over; processes that begin in it leave it to this one.

    Interrupted half-way, Dask and each of its processes would print where they were.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    mask = getattr(signal, "pthread_sigmask", None)  # processes inherit it; Windows has none
    if mask:
        resource_tracker.ensure_running()  # Python 3.11 unblocks the signal where the tracker starts later
        mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if mask:
            mask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, former)
    if came:
        raise KeyboardInterrupt


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder; those that killed runs have left are removed first."""
    sweep_scratch(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=SCRATCH, ignore_cleanup_errors=True) as folder,
        FileLock(Path(folder) / _SCRATCH_LOCK),
    ):
        yield Path(folder)


def sweep_scratch(place: Path) -> None:
    """Remove temporary folders whose process is dead: the operating system has let go of their lock.

    Args:
        place: Where they are.
    """
    for folder in place.glob(f"{SCRATCH}*"):
        lock = folder / _SCRATCH_LOCK
        with suppress(OSError, Timeout):
            if lock.is_file():
                with FileLock(lock, timeout=0):
                    pass
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def remote_client(address: str, folder: Path) -> Iterator[Client]:
    """A client of a running scheduler whose workers see the run folder.

    Args:
        address: For example `tcp://host:8786`, or `tls://host:8786` with certificates as Dask's settings say.
        folder: Run folder, on storage that this machine and all workers share.

    Raises:
        InputError: No scheduler answers, it has no workers, or they cannot use the folder.
    """
    with _connect(address) as client:
        _require_workers(client, address)
        _require_shared(client, folder)
        yield client


def require_scheduler(address: str) -> None:
    """Look for a scheduler before anything is written.

    Args:
        address: For example `tcp://host:8786`, or `tls://host:8786` with certificates as Dask's settings say.

    Raises:
        InputError: No scheduler answers.
    """
    _connect(address).close()


def _connect(address: str) -> Client:
    try:
        get_address_host_port(address, strict=True)  # of a wrong address a client takes 20 s to recover
        _forget_failed_clients()
        return Client(address, timeout=_PATIENCE, set_as_default=False)
    except _UNANSWERED as error:
        raise InputError(
            f"No Dask scheduler answers at {address}: {error}. Start one with 'dask scheduler', give its "
            "address with --scheduler, or omit --scheduler to work on this machine. "
            f"{_on_certificates(address)}"
        ) from error


_UNANSWERED: Final = (OSError, ValueError, TypeError, RuntimeError)
"""What a client raises that no scheduler answers; types and runtime: it has no certificate for tls://."""


def _forget_failed_clients() -> None:
    """Let clients that no scheduler answered end now.

    Python may otherwise end one while Dask starts the loop of the next: both wait for the same lock, and
    after 10 s the next one fails.
    """
    gc.collect()


def _on_certificates(address: str) -> str:
    if address.startswith("tls://"):
        return (
            "A tls:// scheduler wants a certificate, a key and its authority, which Dask's settings "
            "distributed.comm.tls name (docs/trust.md)."
        )
    return "Where the scheduler has certificates, its address begins with tls:// (docs/trust.md)."


@contextmanager
def _hushed() -> Iterator[None]:
    """Dask reports closed connections while it ends; what matters to the user comes back as records."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Window:
    """The cells in flight: a few a thread.

    The cells of a block come before the next block, so that few composites wait for their prediction. A cell
    whose worker died may have been the neighbour of the one that killed it: it is tried again at the end,
    with no other cell in flight.
    """

    def __init__(self, setup: WorkerSetup, client: Client, queue: CellQueue) -> None:
        self._running = as_completed(loop=client.loop)
        self._setup, self._client, self._queue = setup, client, queue
        self._cells: dict[str, ReadyCell] = {}
        self._blocks: dict[str, CellBlock] = {}
        self._ready: list[ReadyCell] = []
        self._suspects: list[ReadyCell] = []
        self._alone = False
        self._looked, self._size = -math.inf, 2

    @property
    def empty(self) -> bool:
        """Whether no cell is in flight."""
        return not (self._cells or self._blocks)

    def fill(self) -> Iterator[CellRecord]:
        """Hand out cells until there are enough in flight; at the end the suspects, one at a time.

        Yields the records of cells that need no worker.
        """
        while self._has_room:
            cell = self._ready.pop(0) if self._ready else self._queue.take(wait=self.empty)
            if cell is None:
                break
            if isinstance(cell, CellRecord):
                yield cell
            else:
                self._submit(cell)
        if self.empty and self._suspects:
            self._alone = True
            self._submit(self._suspects.pop(0))

    def ended(self) -> Iterator[CellRecord]:
        """The records of cells that ended; waits for one, or for room and a cell to hand out."""
        if self._has_room and not self._queue.ended:
            batch = self._running.next_batch(block=False)
            if not batch:
                time.sleep(_BLINK)
        else:
            batch = [next(self._running)]
        for future in batch:
            if block := self._blocks.pop(future.key, None):
                yield from self._block_outcome(future, block)
            elif record := self._outcome(future):
                yield record

    @property
    def _has_room(self) -> bool:
        return not self._alone and len(self._cells) + len(self._blocks) < self._wanted()

    def _block_outcome(self, future: Any, block: CellBlock) -> Iterator[CellRecord]:
        """The records of cells that a block is done with; the others are ready, all if its worker died.

        Raises:
            DiskFullError: The disk of a worker has no room.
        """
        died = self._died(future)
        for cell in [ReadyCell(*place) for place in block.places] if died else future.result():
            if isinstance(cell, CellRecord):
                yield cell
            else:
                self._ready.append(cell)

    def _died(self, future: Any) -> BaseException | None:
        """What the worker of a cell or block died of; None where it did its work.

        Raises:
            DiskFullError: The disk of a worker has no room.
        """
        error = None if future.status == "finished" else _why(future)
        # Lost: the worker died after the cell, before its record was fetched; the file is there to be found.
        lost = future.status == "lost" and self._client.status == "running"
        if error and not (lost or isinstance(error, KilledWorker)):
            raise error
        return error

    def _outcome(self, future: Any) -> CellRecord | None:
        """How a cell ended; None where it will be tried again.

        Raises:
            DiskFullError: The disk of a worker has no room.
        """
        cell = self._cells.pop(future.key)
        error = self._died(future)
        if error is None:
            return completed(future.result(), cell)
        if not self._alone:
            self._suspects.append(cell)
            _log.warning(
                "The worker of cell %s died; it is tried again at the end, alone.",
                cell_name(cell.row, cell.col),
            )
            return None
        return failed(cell_name(cell.row, cell.col), _explain(error))

    def _submit(self, cell: ReadyCell | CellBlock) -> None:
        token = self._setup.token
        future: Any
        if isinstance(cell, CellBlock):
            key = f"block-{cell_name(*cell.places[0])}-{token}"
            future = self._client.submit(make_block, self._setup, cell.places, key=key, pure=False)
            self._blocks[key] = cell
        else:
            key = f"{cell_name(cell.row, cell.col)}-{int(self._alone)}-{token}"
            future = self._client.submit(settle_cell, self._setup, cell.row, cell.col, key=key, pure=False)
            self._cells[key] = cell
        self._running.add(future)

    def _wanted(self) -> int:
        if time.monotonic() - self._looked > _LOOK_AGAIN:
            self._size = max(2, IN_FLIGHT * sum(self._client.nthreads().values()))
            self._looked = time.monotonic()
        return self._size


def _why(future: Any) -> BaseException:
    error: BaseException | None = future.exception() if future.status == "error" else None
    return error or IncompleteRunError(
        f"The Dask scheduler gave up a cell ({future.status}): the cluster was stopped. Finished cells are "
        "kept; the same command continues the run."
    )


def _explain(error: BaseException) -> BaseException:
    return RuntimeError(
        f"the workers on this cell died, mostly for lack of memory ({error}). Fewer --workers or a smaller "
        "--memory leave more for each"
    )


def _require_workers(client: Client, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_NO_WORKERS)
    except TimeoutError as error:
        raise InputError(
            f"The Dask scheduler at {address} has no worker after {_NO_WORKERS} s. Start some with "
            f"'dask worker {address}', in an environment with cropmap installed."
        ) from error


def _require_shared(client: Client, folder: Path) -> None:
    try:
        blind = [worker for worker, sees in client.run(_sees, str(folder)).items() if not sees]
    except ImportError as error:
        raise InputError(
            f"The Dask workers cannot import cropmap ({error}). Install the same version where they run."
        ) from error
    if blind:
        raise InputError(
            f"A run folder must lie on storage that all Dask workers share; {folder} is not to be seen from "
            f"{', '.join(blind[:3])}. Choose another --out, for example on a network disk."
        )


def _sees(folder: str) -> bool:
    return (Path(folder) / "run.json").is_file()
