"""The batch tasks of a run on disk: what was asked for, what Earth Engine calls it, and how it ended.

A line goes to the disk before a task is submitted, with the id that marks the request. If the process dies
before Earth Engine's answer is noted, the same id is sent again, and Earth Engine starts no second task.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, get_args

import numpy as np
import shapely
from numpy.typing import NDArray

from gee_pipeline.earthengine.composites.blocks import Block, plan_blocks
from gee_pipeline.earthengine.composites.tasks import SMALLEST_TILE, TILE, Destination
from gee_pipeline.earthengine.tasks.task import Task, TaskState
from gee_pipeline.errors import MismatchError
from gee_pipeline.files import ODD_VALUES, room_for
from inference.record.json_lines import open_lines, read_lines
from inference.run.plan import RunPlan

TASKS_FILE: Final = "tasks.jsonl"

_FORMAT: Final = 1

_STARTED = ("submitting", "active", "done", "lost")
"""States of tasks that Earth Engine has or may have begun."""


@dataclass(frozen=True)
class BlockExport:
    """Cells of a run that one task writes."""

    block: Block
    """The cells."""
    tile: int = TILE
    """Pixels along one side of the squares that are computed at a time."""

    @property
    def divisible(self) -> bool:
        """Whether a smaller task than this could be asked for."""
        return self.block.rows * self.block.cols > 1 or self.tile > SMALLEST_TILE

    def smaller(self, planned: NDArray[np.int32]) -> list[BlockExport]:
        """Smaller blocks in smaller squares; a single cell has its squares only.

        Args:
            planned: Rows and columns `(n, 2)` of the planned cells.
        """
        tile = max(self.tile // 2, SMALLEST_TILE)
        if self.block.rows * self.block.cols == 1:
            return [replace(self, tile=tile)]
        return [BlockExport(block, tile) for block in self.block.quarters(planned)]


BlockTask = Task[BlockExport]
"""The last task for a block."""


def block_task_to_dict(task: BlockTask) -> dict[str, Any]:
    """A task as JSON values; what is not known is omitted."""
    values = {
        "block": task.subject.block.name,
        "state": task.state,
        "tile": task.subject.tile,
        "attempt": task.attempt,
        "operation": task.operation,
        "message": task.message,
        "eecu": round(task.eecu_seconds, 3),
    }
    return {key: value for key, value in values.items() if value}


def block_task_from_dict(values: dict[str, Any]) -> BlockTask:
    """The task that `block_task_to_dict` wrote.

    Raises:
        ValueError: It is of no known state.
    """
    if values["state"] not in get_args(TaskState):
        raise ValueError(f"a task is not {values['state']!r}")
    return Task(
        BlockExport(Block.named(values["block"]), int(values["tile"])),
        state=values["state"],
        attempt=int(values.get("attempt", 0)),
        operation=values.get("operation"),
        message=values.get("message", ""),
        eecu_seconds=float(values.get("eecu", 0)),
    )


@dataclass
class Tasks:
    """All tasks of a run for one destination."""

    destination: str = ""
    """Where they write."""
    token: str = ""
    """Drawn once; part of each request's id, so that a run begun again is not taken for the one before."""
    layers: tuple[str, ...] = ()
    """Layers on request that they write; with others the tasks are others."""
    eecu_before: float = 0.0
    """What tasks of earlier lists took."""
    records: dict[Block, BlockTask] = field(default_factory=dict)
    """The last task of each block that was ever asked for or split."""
    eecu: dict[tuple[Block, int], float] = field(default_factory=dict)
    """What each task took, by block and attempt."""

    @property
    def eecu_seconds(self) -> float:
        """What all tasks took together, failed ones too."""
        return self.eecu_before + sum(self.eecu.values())

    def add(self, task: BlockTask) -> None:
        """Take note of a task."""
        block = task.subject.block
        self.records[block] = task
        if task.eecu_seconds:
            self.eecu[block, task.attempt] = task.eecu_seconds

    def leaves(self, planned: NDArray[np.int32]) -> Iterator[BlockTask]:
        """The tasks that together hold each planned cell once: split blocks give way to their parts.

        Args:
            planned: Rows and columns `(n, 2)` of the planned cells.
        """
        for block in plan_blocks(planned):
            yield from self._below(self._of(BlockExport(block)), planned)

    def _below(self, task: BlockTask, planned: NDArray[np.int32]) -> Iterator[BlockTask]:
        if task.state != "split":
            yield task
            return
        for part in task.subject.smaller(planned):
            yield from self._below(self._of(part), planned)

    def _of(self, subject: BlockExport) -> BlockTask:
        return self.records.get(subject.block, Task(subject))


class TaskWriter:
    """Open tasks of a run; one process writes them."""

    def __init__(self, path: Path, file: IO[bytes], tasks: Tasks) -> None:
        self._path, self._file, self.tasks = path, file, tasks

    def begin(self, destination: str, layers: Sequence[str] = ()) -> None:
        """Start a new list of tasks."""
        token = secrets.token_hex(4)
        more = {"layers": list(layers)} if layers else {}
        self._append({"format": _FORMAT, "destination": destination, "token": token, **more})
        self.tasks = Tasks(destination, token, tuple(layers), self.tasks.eecu_seconds)

    def note(self, task: BlockTask) -> None:
        """Put a task on the disk; it is there when this returns.

        Raises:
            DiskFullError: The disk has no room.
        """
        self._append(block_task_to_dict(task))
        self.tasks.add(task)

    def _append(self, values: dict[str, Any]) -> None:
        line = json.dumps({**values, "time": round(time.time(), 3)}, separators=(",", ":")) + "\n"
        with room_for(self._path, len(line)):
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())


@contextmanager
def open_tasks(folder: Path, destination: Destination, layers: Sequence[str] = ()) -> Iterator[TaskWriter]:
    """The tasks of a run, to continue with; new where there are none that write the same.

    Args:
        folder: Run folder.
        destination: Where the tasks write.
        layers: Layers on request that they write.

    Raises:
        MismatchError: The run has tasks that write elsewhere.
    """
    tasks = require_destination(folder, destination)
    with open_lines(folder / TASKS_FILE) as file:
        writer = TaskWriter(folder / TASKS_FILE, file, tasks)
        if (tasks.destination, tasks.layers) != (str(destination), tuple(layers)):
            writer.begin(str(destination), layers)
        yield writer


def require_destination(folder: Path, destination: Destination) -> Tasks:
    """What is known of the tasks of a run, none of which writes elsewhere.

    Raises:
        MismatchError: The run has tasks that write elsewhere.
    """
    tasks = read_tasks(folder)
    started = any(task.state in _STARTED for task in tasks.records.values())
    if started and tasks.destination != str(destination):
        raise MismatchError(
            f"The tasks of the run in {folder} write to {tasks.destination}, --to is {destination} now. Go "
            f"on with --to {tasks.destination}, or delete {folder / TASKS_FILE} to export everything once "
            "more."
        )
    return tasks


def read_tasks(folder: Path) -> Tasks:
    """What is known of the tasks of a run; lines that are cut off, or not ours, are passed over."""
    tasks = Tasks()
    for values in read_lines(folder / TASKS_FILE):
        with suppress(*ODD_VALUES):
            if "destination" in values:
                layers, before = tuple(values.get("layers", [])), tasks.eecu_seconds
                tasks = Tasks(str(values["destination"]), str(values["token"]), layers, before)
            else:
                tasks.add(block_task_from_dict(values))
    return tasks


def run_name(plan: RunPlan) -> str:
    """Twelve hex digits for what tasks write for a plan, in the names of its files and tasks.

    A checkpoint or a cropland mask that a later map brings changes nothing in composites; what a model on
    the servers says is the model's own.
    """
    grid, recipe = plan.grid, plan.recipe.composite_part
    identity = {
        "grid": [str(grid.geobox.crs), list(grid.geobox.transform)[:6], list(grid.geobox.shape)],
        "cell_size": grid.cell_size,
        "area": hashlib.sha256(shapely.to_wkb(plan.area)).hexdigest(),
        "season": plan.season.start.isoformat(),
        "recipe": recipe.composite_digest,
        "bins": [plan.bins.start, plan.bins.stop],
        "source": dict(plan.source),
    }
    if plan.model and (kind := plan.model.on_servers):
        identity |= {kind: plan.model.digest}
        identity |= {"layers": list(plan.layers)} if plan.layers else {}
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
