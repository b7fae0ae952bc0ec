"""Cells by batch tasks: Earth Engine writes them to a bucket or a Drive while nobody waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import ee

from gee_pipeline.earthengine.client.faults import Fault, FaultKind, access_error
from gee_pipeline.earthengine.client.session import Session
from gee_pipeline.earthengine.composites.blocks import file_prefix
from gee_pipeline.earthengine.composites.tasks import Destination, export_request
from gee_pipeline.earthengine.tasks.answer import TaskAnswer
from gee_pipeline.earthengine.tasks.follower import PENDING_LIMIT, TaskFollower
from gee_pipeline.earthengine.tasks.task import Task
from gee_pipeline.errors import AccessError, IncompleteRunError, InputError
from gee_pipeline.grid import Cell, inside
from inference.batch.product import Product, command_of, product_of, source_of
from inference.record.lock import run_lock
from inference.run.completeness import NAMED
from inference.run.execute import Progress
from inference.run.plan import RunPlan
from inference.run.task_record import BlockExport, BlockTask, TaskWriter, open_tasks, run_name

POLL_SECONDS: Final = 30.0
"""Seconds between two looks at the tasks; each takes minutes at least."""

ImageOf = Callable[[Sequence[Cell]], ee.Image]


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
    session: Session,
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

    They write predictions where a server runs the model of the run, else composites.

    What a former call started is continued; a task is never started twice, also where the former call
    was killed. Tasks that failed or were cancelled are started again.

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
        image_of: The image of some cells; None is what the plan says.

    Raises:
        AccessError: Earth Engine cannot be used.
        InputError: Another process works in the folder, or the limit is none.
        MismatchError: The run has tasks that write elsewhere.
    """
    if limit < 1:
        raise InputError(f"At least one task must be allowed at once, got a limit of {limit}.")
    with run_lock(folder), open_tasks(folder, destination, plan.layers) as writer:
        work = _BlockWork(folder, plan, session, destination, writer, notice, image_of)
        follower = TaskFollower(work, notice=notice, limit=limit)
        for task in work.left():
            follower.add(task)
        report = progress or (lambda state: None)
        follower.follow(
            lambda: report(work.progress(follower)),
            wait=wait,
            poll_seconds=poll_seconds,
            sleep=sleep,
        )
        return work.summary(follower)


class _BlockWork:
    """Tasks that write blocks of cells of a run."""

    def __init__(
        self,
        folder: Path,
        plan: RunPlan,
        session: Session,
        destination: Destination,
        writer: TaskWriter,
        notice: Callable[[str], None],
        image_of: ImageOf | None,
    ) -> None:
        self._folder, self._plan, self._session = folder, plan, session
        self._destination, self._writer, self._notice = destination, writer, notice
        self._source = source_of(folder, plan, session)
        self._product: Product = product_of(folder, plan, self._source)
        self._image_of = image_of or self._product.image
        self._run = run_name(plan)
        self._blocks_done = self._cells_done = self._cells_new = self._pixels = 0
        self._start = time.monotonic()

    def left(self) -> list[BlockTask]:
        """What earlier calls left to do, and what was never started."""
        tasks: list[BlockTask] = []
        for task in self._writer.tasks.leaves(self._plan.cells):
            if task.state == "done" or (task.state != "active" and self._collected(task)):
                self._count(task)
            elif task.state == "lost":
                tasks += self._again(task)
            else:
                self._renew_scenes(task)
                tasks.append(task)
        return tasks

    def _renew_scenes(self, task: BlockTask) -> None:
        """List the scenes of a block again where its task failed because one of them is gone."""
        plan = self._plan
        if self._source.list_again(task.message, self._cells(task), plan.season, plan.bins):
            for text in self._source.take_notices():
                self._notice(text)

    def label(self, subject: BlockExport) -> str:
        """The block."""
        return f"of block {subject.block.name}"

    def request_id(self, task: BlockTask) -> str:
        """The run, the block and the attempt."""
        block = task.subject.block.name.replace("_", "-")
        return f"cropmap-{self._run}-{block}-{self._writer.tasks.token}-{task.attempt}"

    def note(self, task: BlockTask) -> None:
        """A line in the list of the run's tasks."""
        self._writer.note(task)

    def submit(self, task: BlockTask, request_id: str) -> Mapping[str, Any]:
        """An export of the block's image."""
        geobox = task.subject.block.geobox(self._plan.grid)
        request = export_request(
            self._image_of(self._cells(task)),
            geobox,
            file_size=self._plan.grid.cell_size,
            tile=min(task.subject.tile, self._product.square),
            destination=self._destination,
            file_prefix=file_prefix(self._run, task.subject.block),
            description=request_id,
            nodata=self._product.nodata,
        )
        return self._session.start_export(request, request_id)

    def operation(self, name: str) -> Mapping[str, Any]:
        """Asked once; the next look asks again."""
        return self._session.operation(name)

    def operations(self) -> Sequence[Mapping[str, Any]]:
        """Asked once; without an answer the same request is sent again."""
        return self._session.operations()

    def forgotten(self, task: BlockTask) -> TaskAnswer:
        """Done; `collect` will see whether the files are there."""
        return TaskAnswer(task.operation or "", description="", state="done")

    def parts(self, task: BlockTask) -> list[BlockTask]:
        """Smaller blocks, or the same cell in smaller squares."""
        if not task.subject.divisible:
            return []
        block, smaller = task.subject.block, task.subject.smaller(self._plan.cells)
        if smaller[0].block == block:  # a single cell, in smaller squares
            parts = [replace(task, subject=smaller[0], state="planned")]
        else:
            self._writer.note(replace(task, state="split", message="", eecu_seconds=0))
            parts = [Task(part) for part in smaller]
        for part in parts:
            self._writer.note(part)
        self._notice(
            f"Block {block.name} was too much for one task ({task.message}) and is exported in "
            f"{len(parts)} parts, in squares of {parts[0].subject.tile} pixels."
        )
        return parts

    def fatal(self, fault: Fault, subject: BlockExport | None) -> AccessError | None:
        """A lack of access, which no block escapes."""
        return access_error(fault, self._session.project) if fault.kind is FaultKind.ACCESS else None

    def finished(self, task: BlockTask) -> None:
        """Count its cells and pixels."""
        self._count(task)
        self._cells_new += self._size(task)
        self._pixels += sum(int(inside(self._plan.area, cell.geobox).sum()) for cell in self._cells(task))

    def given_up(self, task: BlockTask) -> None:
        """Say so."""
        self._notice(f"The task of block {task.subject.block.name} ended without files: {task.message}")

    def progress(self, follower: TaskFollower[BlockExport]) -> Progress:
        """The state of the cells."""
        elapsed = max(time.monotonic() - self._start, 1e-6)
        without = sum(self._size(task) for task in follower.failed)
        left = len(self._plan.cells) - self._cells_done - without
        return Progress(
            done=self._cells_done,
            failed=without,
            planned=len(self._plan.cells),
            pixels=self._pixels,
            pixels_per_second=self._pixels / elapsed,
            seconds_left=left * elapsed / self._cells_new if self._cells_new else None,
            under_way=sum(self._size(task) for task in follower.active),
        )

    def summary(self, follower: TaskFollower[BlockExport]) -> TaskSummary:
        """How the tasks stand now."""
        return TaskSummary(
            folder=self._folder,
            destination=str(self._destination),
            cells=len(self._plan.cells),
            cells_done=self._cells_done,
            done=self._blocks_done,
            active=len(follower.active),
            waiting=len(follower.waiting),
            failures=tuple(
                TaskFailure(task.subject.block.name, self._size(task), task.message)
                for task in follower.failed
            ),
            eecu_seconds=round(self._writer.tasks.eecu_seconds, 3),
            seconds=round(time.monotonic() - self._start, 3),
            command=command_of(self._folder, self._plan, self._destination),
        )

    def _again(self, task: BlockTask) -> list[BlockTask]:
        """Tasks for the part of a block whose files are missing or damaged."""
        there = [self._product.has(cell) for cell in self._cells(task)]
        if all(there):
            self._count(task)
            return []
        if not any(there):
            return [task]
        self._writer.note(replace(task, state="split"))
        tasks: list[BlockTask] = []
        for block in task.subject.block.quarters(self._plan.cells):
            part = Task(BlockExport(block, task.subject.tile), state="lost")
            self._writer.note(part)
            tasks += self._again(part)
        return tasks

    def _collected(self, task: BlockTask) -> bool:
        """Whether the run has the files of a block already, from wherever."""
        return all(self._product.has(cell) for cell in self._cells(task))

    def _count(self, task: BlockTask) -> None:
        self._blocks_done += 1
        self._cells_done += self._size(task)

    def _cells(self, task: BlockTask) -> list[Cell]:
        return list(self._plan.grid.cells(task.subject.block.cells(self._plan.cells)))

    def _size(self, task: BlockTask) -> int:
        return len(task.subject.block.cells(self._plan.cells))
