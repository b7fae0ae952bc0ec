"""Cells by batch tasks: Earth Engine writes them to a bucket or a Drive while nobody waits."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import ee
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.client.faults import Fault, FaultKind, access_error
from gee_pipeline.earthengine.composites.blocks import file_prefix
from gee_pipeline.earthengine.composites.tasks import (
    PENDING_LIMIT,
    Destination,
    Remedy,
    TaskAnswer,
    export_request,
    is_repeated,
    list_operations,
    queue_is_full,
)
from gee_pipeline.errors import IncompleteRunError, InputError
from gee_pipeline.grid import inside
from inference.batch.product import Product, command_of, product_of
from inference.run.completeness import NAMED
from inference.run.execute import Progress
from inference.run.lock import run_lock
from inference.run.plan import RunPlan
from inference.run.task_record import TaskRecord, TaskWriter, open_tasks, run_name

REPEATS: Final = 2
"""Times a task that failed for Earth Engine's own reasons is started again."""

HOPELESS: Final = 3
"""Tasks that fail one after another for the same reason, before any succeeds, until no more are started: a
bucket that may not be written to would fail them all."""

POLL_SECONDS: Final = 30.0
"""Seconds between two looks at the tasks; each takes minutes at least."""

ImageOf = Callable[[GeoBox], ee.Image]


@dataclass(frozen=True)
class TaskFailure:
    """A block without its files, and why."""

    name: str
    """Name of the block: its first cell and its size."""
    cells: int
    """Planned cells in it."""
    message: str
    """Earth Engine's own words."""


@dataclass(frozen=True)
class TaskSummary:
    """How the tasks of a run stand."""

    folder: Path
    """Folder of the run."""
    destination: str
    """Where they write."""
    cells: int
    """Cells to export."""
    cells_done: int
    """Cells whose task is done, or whose file the run has already."""
    done: int
    """Blocks whose task is done."""
    active: int
    """Tasks that wait or work at Earth Engine."""
    waiting: int
    """Blocks whose task is not started yet."""
    failures: tuple[TaskFailure, ...]
    """Blocks whose task failed or was cancelled."""
    eecu_seconds: float
    """Earth Engine compute units times seconds that all tasks took, failed ones too."""
    seconds: float
    """Wall time of this command."""
    command: str
    """What continues the tasks; with `--collect` it takes in what is finished."""

    @property
    def complete(self) -> bool:
        """Whether every cell is exported."""
        return self.cells_done == self.cells

    def raise_if_failed(self) -> None:
        """Refuse to call an export fine whose tasks failed; tasks that are still at work are fine.

        Raises:
            IncompleteRunError: Names the blocks, the reasons and the command that starts them again.
        """
        if not self.failures:
            return
        named = "".join(f"\n  {f.name} ({f.cells} cells): {f.message}" for f in self.failures[:NAMED])
        more = f"\n  and {len(self.failures) - NAMED:,} more" if len(self.failures) > NAMED else ""
        raise IncompleteRunError(
            f"{len(self.failures):,} tasks ended without files:{named}{more}\nMend the reason, then "
            f"'{self.command}' starts them again; '{self.command} --collect' takes in the others."
        )


def export_by_tasks(
    folder: Path,
    plan: RunPlan,
    session: Any,
    destination: Destination,
    *,
    notice: Callable[[str], None] = lambda text: None,
    progress: Callable[[Progress], None] | None = None,
    wait: bool = True,
    limit: int = PENDING_LIMIT,
    sleep: Callable[[float], None] = time.sleep,
    poll_seconds: float = POLL_SECONDS,
    image_of: ImageOf | None = None,
) -> TaskSummary:
    """Start batch tasks for the cells of a run that have no file yet, and follow them to their end.

    They write predictions where the run's model is a forest, else composites.

    What a former call started is taken up again; a task is never started twice, also where the former call
    was killed. Tasks that failed or were cancelled are started anew.

    Args:
        folder: Run folder of the plan, as `open_or_create` left it.
        plan: What `open_or_create` returned.
        session: Session of Earth Engine.
        destination: Where the tasks write.
        notice: Takes one sentence for the user.
        progress: Takes the state of the cells.
        wait: Whether to wait for the end of all tasks; without, those that find room are started.
        limit: Tasks of this run that wait or work at once.
        sleep: Waits a number of seconds.
        poll_seconds: Seconds between two looks at the tasks.
        image_of: The image of some pixels; None is what the plan says.

    Raises:
        AccessError: Earth Engine cannot be used.
        InputError: Another process works in the folder, or the limit is none.
        MismatchError: The run has tasks that write elsewhere.
    """
    if limit < 1:
        raise InputError(f"At least one task must be allowed at once, got a limit of {limit}.")
    with run_lock(folder), open_tasks(folder, destination, plan.layers) as writer:
        export = _Export(folder, plan, session, destination, writer, limit, notice, image_of)
        export.sort()
        while True:
            export.look()
            export.submit()
            (progress or (lambda state: None))(export.progress())
            if not wait or not export.unfinished:
                return export.summary()
            sleep(poll_seconds)


class _Full(Exception):
    """Nothing more can be submitted now."""


class _Export:
    """The tasks of one call."""

    def __init__(
        self,
        folder: Path,
        plan: RunPlan,
        session: Any,
        destination: Destination,
        writer: TaskWriter,
        limit: int,
        notice: Callable[[str], None],
        image_of: ImageOf | None,
    ) -> None:
        self._folder, self._plan, self._session = folder, plan, session
        self._destination, self._writer, self._limit, self._notice = destination, writer, limit, notice
        self._product: Product = product_of(folder, plan)
        self._image_of = image_of or self._product.image
        self._run = run_name(plan)
        self._waiting: deque[TaskRecord] = deque()
        self._active: list[TaskRecord] = []
        self._finished: list[TaskRecord] = []
        self._failed: list[TaskRecord] = []
        self._repeats: Counter[str] = Counter()
        self._reasons: list[str] = []
        self._hopeless = False
        self._told: set[str] = set()
        self._cells_done = self._cells_new = self._pixels = 0
        self._start = time.monotonic()

    @property
    def unfinished(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self._active) or (bool(self._waiting) and not self._hopeless)

    def sort(self) -> None:
        """Find out what is left of former calls, and what was never started."""
        for record in self._writer.tasks.leaves(self._plan.cells):
            if record.state == "done" or (record.state != "active" and self._collected(record)):
                self._finish(record, new=False)
            elif record.state == "active":
                self._active.append(record)
            elif record.state == "lost":
                self._export_again(record)
            else:
                self._waiting.append(record)

    def look(self) -> None:
        """Ask how each task stands, and decide what follows."""
        former, self._active = self._active, []
        for record in former:
            try:
                self._settle(record, self._ask(record))
            except Fault as fault:  # it stays active in the record, and the next call asks again
                said = f"Earth Engine does not tell how its task stands: {fault.message}"
                self._failed.append(replace(record, message=said))
                self._notice(f"Block {record.block.name}: {said}")

    def submit(self) -> None:
        """Start as many tasks as there is room for."""
        self._adopt()
        while self._waiting and len(self._active) < self._limit and not self._hopeless:
            try:
                self._send(self._waiting[0])
            except _Full:
                return

    def progress(self) -> Progress:
        """The state of the cells."""
        elapsed = max(time.monotonic() - self._start, 1e-6)
        failed = sum(self._size(record) for record in self._failed)
        left = len(self._plan.cells) - self._cells_done - failed
        return Progress(
            done=self._cells_done,
            failed=failed,
            planned=len(self._plan.cells),
            pixels=self._pixels,
            pixels_per_second=self._pixels / elapsed,
            seconds_left=left * elapsed / self._cells_new if self._cells_new else None,
        )

    def summary(self) -> TaskSummary:
        """How the tasks stand now."""
        return TaskSummary(
            folder=self._folder,
            destination=str(self._destination),
            cells=len(self._plan.cells),
            cells_done=self._cells_done,
            done=len(self._finished),
            active=len(self._active),
            waiting=len(self._waiting),
            failures=tuple(TaskFailure(r.block.name, self._size(r), r.message) for r in self._failed),
            eecu_seconds=round(self._writer.tasks.eecu_seconds, 3),
            seconds=round(time.monotonic() - self._start, 3),
            command=command_of(self._folder, self._plan, self._destination),
        )

    def _send(self, waiting: TaskRecord) -> None:
        """Submit the first that waits; its request's id is on the disk before."""
        record = waiting
        if record.state != "submitting":
            record = record.next_attempt()
            self._writer.note(record)
            self._waiting[0] = record
        try:
            operation = self._session.start_export(self._request(record), self._request_id(record))
        except Fault as fault:
            self._refused(record, fault)
            return
        self._waiting.popleft()
        self._begin(record, TaskAnswer.of(operation))

    def _refused(self, record: TaskRecord, fault: Fault) -> None:
        """What follows where a request did not become a task."""
        if queue_is_full(fault) or fault.temporary:
            self._tell_once(f"Earth Engine takes no more tasks now ({fault.message}); they are tried later.")
            raise _Full
        self._require_access(fault)
        self._waiting.popleft()
        if is_repeated(fault) and (answer := self._listed().get(self._request_id(record))):
            self._begin(record, answer)
            return
        refused = replace(record, state="failed", message=fault.message)
        self._writer.note(refused)
        self._give_up(refused)

    def _adopt(self) -> None:
        """Look for tasks that may have been started without our hearing of it."""
        unheard = [record for record in self._waiting if record.state == "submitting"]
        listed = self._listed() if unheard else {}
        for record in unheard:
            if answer := listed.get(self._request_id(record)):
                self._waiting.remove(record)
                self._begin(record, answer)

    def _begin(self, record: TaskRecord, answer: TaskAnswer) -> None:
        """Note a task that Earth Engine has."""
        begun = replace(record, state="active", operation=answer.name)
        self._writer.note(begun)
        self._settle(begun, answer)

    def _settle(self, record: TaskRecord, answer: TaskAnswer | None) -> None:
        """Put a task where it belongs, by what Earth Engine says of it."""
        if answer is None or answer.state == "active":
            self._active.append(record)
            return
        message = "it was cancelled at Earth Engine" if answer.state == "cancelled" else answer.message
        ended = replace(record, state=answer.state, message=message, eecu_seconds=answer.eecu_seconds)
        self._writer.note(ended)
        if answer.state == "done":
            self._finish(ended)
        else:
            self._mend(ended, answer.cure)

    def _mend(self, record: TaskRecord, cure: Remedy) -> None:
        """Start what may help after a failure, or give the block up."""
        if cure is Remedy.AGAIN and self._repeats[record.block.name] < REPEATS:
            self._repeats[record.block.name] += 1
            self._waiting.append(record)
        elif cure is Remedy.SMALLER and record.divisible:
            self._split(record)
        else:
            self._give_up(record)

    def _split(self, record: TaskRecord) -> None:
        parts = record.smaller(self._plan.cells)
        self._notice(
            f"Block {record.block.name} was too much for one task ({record.message}) and is exported in "
            f"{len(parts)} parts, in squares of {parts[0].tile} pixels."
        )
        if record.block != parts[0].block:
            self._writer.note(replace(record, state="split", message="", eecu_seconds=0))
        for part in parts:
            self._writer.note(part)
        self._waiting.extendleft(reversed(parts))

    def _export_again(self, record: TaskRecord) -> None:
        """Have the part of a block whose files are missing or damaged exported once more."""
        there = [
            self._product.has(cell) for cell in self._plan.grid.cells(record.block.cells(self._plan.cells))
        ]
        if all(there):
            self._finish(record, new=False)
        elif not any(there):
            self._waiting.append(record)
        else:
            self._writer.note(replace(record, state="split"))
            for block in record.block.quarters(self._plan.cells):
                part = TaskRecord(block, state="lost", tile=record.tile)
                self._writer.note(part)
                self._export_again(part)

    def _finish(self, record: TaskRecord, new: bool = True) -> None:
        self._finished.append(record)
        self._cells_done += self._size(record)
        if new:
            self._cells_new += self._size(record)
            self._pixels += self._pixels_of(record)

    def _give_up(self, record: TaskRecord) -> None:
        """A block that has no files at the end of this call; the next call tries again."""
        self._failed.append(record)
        self._reasons.append(record.message)
        self._notice(f"The task of block {record.block.name} ended without files: {record.message}")
        if not self._cells_new and self._reasons[-HOPELESS:] == [record.message] * HOPELESS:
            self._hopeless = True
            self._notice(f"{HOPELESS} tasks failed for the same reason; no more are started.")

    def _ask(self, record: TaskRecord) -> TaskAnswer | None:
        """What Earth Engine says of a task; None where it says nothing now.

        Raises:
            Fault: It refuses to say it, however often it is asked.
        """
        name = record.operation or ""
        try:
            return TaskAnswer.of(self._session.operation(name))
        except Fault as fault:
            if fault.status == 404:  # it forgets old tasks; `collect` will see whether the files are there
                return TaskAnswer(name, description="", state="done")
            self._require_access(fault)
            if not fault.temporary:
                raise
            self._tell_once(f"Earth Engine does not tell the state of tasks now ({fault.message}).")
            return None

    def _listed(self) -> dict[str, TaskAnswer]:
        """The tasks of the project by what they were called; of a name the one listed first."""
        try:
            answers = [TaskAnswer.of(operation) for operation in list_operations()]
        except Fault as fault:
            self._require_access(fault)
            return {}  # the same id is sent again, and Earth Engine knows it
        return {answer.description: answer for answer in reversed(answers)}

    def _require_access(self, fault: Fault) -> None:
        if fault.kind is FaultKind.ACCESS:
            raise access_error(fault, self._session.project) from fault

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._notice(text)

    def _request(self, record: TaskRecord) -> dict[str, Any]:
        geobox = record.block.geobox(self._plan.grid)
        return export_request(
            self._image_of(geobox),
            geobox,
            file_size=self._plan.grid.cell_size,
            tile=record.tile,
            destination=self._destination,
            file_prefix=file_prefix(self._run, record.block),
            description=self._request_id(record),
            nodata=self._product.nodata,
        )

    def _request_id(self, record: TaskRecord) -> str:
        """Marks a request, and names its task; letters, digits and hyphens, at most 60."""
        block = record.block.name.replace("_", "-")
        return f"cropmap-{self._run}-{block}-{self._writer.tasks.token}-{record.attempt}"

    def _collected(self, record: TaskRecord) -> bool:
        """Whether the run has the files of a block already, from wherever."""
        cells = self._plan.grid.cells(record.block.cells(self._plan.cells))
        return all(self._product.has(cell) for cell in cells)

    def _size(self, record: TaskRecord) -> int:
        return len(record.block.cells(self._plan.cells))

    def _pixels_of(self, record: TaskRecord) -> int:
        cells = self._plan.grid.cells(record.block.cells(self._plan.cells))
        return sum(int(inside(self._plan.area, cell.geobox).sum()) for cell in cells)
