"""Batch tasks: operations that wait, run, and write files or assets."""

from __future__ import annotations

import secrets
import string
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from tests.support.ee_emulator.assets import Assets
from tests.support.ee_emulator.drive import Drive
from tests.support.ee_emulator.exports import (
    AssetExport,
    Export,
    asset_export_of,
    check_request_id,
    export_of,
)
from tests.support.ee_emulator.faults import Refusal
from tests.support.ee_emulator.imports import Import, import_of, ingest
from tests.support.ee_emulator.pixels import Bands, geotiff
from tests.support.ee_emulator.profiles import cost
from tests.support.ee_emulator.storage import Storage
from tests.support.ee_emulator.values import Classifier, Collection

QUEUE_LIMIT: Final = 3000
"""Tasks of a project that may wait."""

_OPEN: Final = frozenset({"PENDING", "RUNNING", "CANCELLING"})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Task:
    """One operation and what it is to do."""

    name: str
    """projects/PROJECT/operations/ID."""
    kind: str
    """EXPORT_IMAGE, EXPORT_FEATURES, EXPORT_CLASSIFIER or INGEST_IMAGE."""
    body: dict[str, Any]
    export: Export | AssetExport | Import
    failure: str | None = None
    """Message with which it is to fail; None lets it do its work."""
    state: str = "PENDING"
    attempt: int = 1
    eecu_seconds: float | None = None
    uris: list[str] = field(default_factory=list)
    error: tuple[int, str] | None = None
    created: str = field(default_factory=_now)
    updated: str = field(default_factory=_now)
    started: str | None = None

    def move(self, state: str) -> None:
        """Enter a state."""
        self.state = state
        self.updated = _now()
        if state == "RUNNING":
            self.started = self.updated

    def fail(self, message: str, code: int = 3) -> None:
        """End without success."""
        self.error = (code, message)
        self.move("FAILED")

    def resource(self) -> dict[str, Any]:
        """The operation as the service tells it."""
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.earthengine.v1.OperationMetadata",
            "state": self.state,
            "description": self.body.get("description", ""),
            "priority": self.body.get("priority", {}).get("value", 100),
            "createTime": self.created,
            "updateTime": self.updated,
            "type": self.kind,
        }
        if self.started:
            metadata |= {"startTime": self.started, "attempt": self.attempt}
        if self.uris:
            metadata["destinationUris"] = self.uris
        if self.eecu_seconds is not None:
            metadata["batchEecuUsageSeconds"] = self.eecu_seconds
        if self.state in _OPEN:
            return {"name": self.name, "metadata": metadata}
        return {
            "name": self.name,
            "metadata": metadata | {"endTime": self.updated},
            "done": True,
        } | self._end()

    def _end(self) -> dict[str, Any]:
        if self.error:
            return {"error": {"code": self.error[0], "message": self.error[1]}}
        return {"response": {"@type": "type.googleapis.com/google.protobuf.Empty"}}


class Tasks:
    """The project's operations; safe in threads."""

    def __init__(
        self,
        project: str,
        render: Callable[[Export], Callable[[Any], Bands]],
        evaluate: Callable[[dict[str, Any]], Any],
        storage: Storage,
        drive: Drive,
        assets: Assets,
        *,
        queue_limit: int = QUEUE_LIMIT,
        at_once: int | None = None,
        auto_advance: bool = True,
    ) -> None:
        self.queue_limit = queue_limit
        self.at_once = at_once
        """Tasks that run at the same time; None is as many as there are."""
        self.auto_advance = auto_advance
        """Whether each look at a task moves it on by one state, after the answer."""
        self.failures: deque[str | None] = deque()
        """Messages with which the next new tasks fail, in order; None succeeds."""
        self._project = project
        self._render = render
        self._evaluate = evaluate
        self._storage = storage
        self._drive = drive
        self._assets = assets
        self._tasks: dict[str, Task] = {}
        self._requests: dict[str, Task] = {}
        self._lock = threading.RLock()

    def __iter__(self) -> Any:
        with self._lock:
            return iter(tuple(self._tasks.values()))

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, body: dict[str, Any], kind: str) -> Task:
        """The task of a request.

        The same request with the same requestId comes back as the task that it made the first time.

        Raises:
            Refusal: The request is wrong, the queue is full, or the id belongs to another request.
        """
        request_id = body.get("requestId", "")
        with self._lock:
            if request_id:
                check_request_id(request_id)
            if known := self._requests.get(request_id):
                return self._same(known, body)
            export = self._understood(body, kind)
            if sum(task.state == "PENDING" for task in self) >= self.queue_limit:
                raise Refusal(
                    429,
                    f"Too many tasks already in the queue ({self.queue_limit}). Please wait for some of "
                    "them to complete.",
                )
            failure = self.failures.popleft() if self.failures else None
            task = Task(self._new_name(), kind, body, export, failure)
            self._tasks[task.name] = task
            if request_id:
                self._requests[request_id] = task
            return task

    def look(self, name: str) -> dict[str, Any]:
        """The operation; it moves on afterwards if tasks advance by themselves."""
        with self._lock:
            task = self._task(name)
            told = task.resource()
            if self.auto_advance:
                self._step(task)
            return told

    def listing(self, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of the operations, newest first; all move on after the last page."""
        with self._lock:
            newest = list(reversed(self._tasks.values()))
            first, size = int(query.get("pageToken", 0)), int(query.get("pageSize", 0)) or 500
            answer: dict[str, Any] = {"operations": [t.resource() for t in newest[first : first + size]]}
            if first + size < len(newest):
                answer["nextPageToken"] = str(first + size)
            elif self.auto_advance:
                self.advance()
            return answer

    def cancel(self, name: str) -> dict[str, Any]:
        """Ask for its end: at once while it waits, at the next step when it runs."""
        with self._lock:
            task = self._task(name)
            if task.state == "PENDING":
                self._cancelled(task)
            elif task.state == "RUNNING":
                task.move("CANCELLING")
            return {}

    def advance(self, steps: int = 1) -> None:
        """Move every task on by this many states."""
        with self._lock:
            for _ in range(steps):
                for task in tuple(self._tasks.values()):
                    self._step(task)

    @property
    def eecu_seconds(self) -> float:
        """Cost of all tasks that have run."""
        return sum(task.eecu_seconds or 0.0 for task in self)

    def _understood(self, body: dict[str, Any], kind: str) -> Export | AssetExport | Import:
        if kind == "INGEST_IMAGE":
            return import_of(body, self._project)
        if kind == "EXPORT_IMAGE":
            return export_of(body)
        return asset_export_of(body, self._project, table=kind == "EXPORT_FEATURES")

    def _same(self, task: Task, body: dict[str, Any]) -> Task:
        if task.body != body:
            raise Refusal(400, "A different Operation was already started with the given request_id.")
        return task

    def _new_name(self) -> str:
        letters = string.ascii_uppercase + "234567"
        return f"projects/{self._project}/operations/{''.join(secrets.choice(letters) for _ in range(24))}"

    def _task(self, name: str) -> Task:
        if name not in self._tasks:
            raise Refusal(404, f"Operation '{name}' not found.")
        return self._tasks[name]

    def _step(self, task: Task) -> None:
        if task.state == "PENDING" and self._room():
            task.move("RUNNING")
        elif task.state == "RUNNING":
            self._finish(task)
        elif task.state == "CANCELLING":
            self._cancelled(task)

    def _room(self) -> bool:
        return self.at_once is None or sum(task.state == "RUNNING" for task in self) < self.at_once

    def _cancelled(self, task: Task) -> None:
        task.error = (1, "Cancelled.")
        task.move("CANCELLED")

    def _finish(self, task: Task) -> None:
        if task.failure is not None:
            task.fail(task.failure)
            return
        try:
            if isinstance(task.export, Export):
                self._write(task, task.export)
            elif isinstance(task.export, Import):
                self._ingest(task, task.export)
            else:
                self._keep(task, task.export)
        except Refusal as refusal:
            task.fail(refusal.message)
        else:
            task.move("SUCCEEDED")

    def _write(self, task: Task, export: Export) -> None:
        grid = export.grid
        if grid.width * grid.height > export.max_pixels:
            raise Refusal(
                400,
                f"Export too large: specified {grid.width * grid.height} pixels (max: {export.max_pixels}). "
                "Specify higher maxPixels value if you intend to export a large area.",
            )
        if export.bucket in self._storage.missing_buckets:
            raise Refusal(404, f"Cannot write to bucket {export.bucket} (does not exist).")
        draw = self._render(export)
        samples = 0
        for name, part in export.files():
            bands = draw(part)
            _check_types(bands)
            samples += len(bands) * part.width * part.height
            if not export.skip_empty or any(np.any(np.asarray(mask) > 0) for _, _, mask in bands):
                self._save(export, name, geotiff(bands, part, export.nodata))
        task.eecu_seconds = cost(samples)
        task.uris = [_destination(export)]

    def _keep(self, task: Task, export: AssetExport) -> None:
        content = self._evaluate(export.expression)
        wanted: type = Collection if task.kind == "EXPORT_FEATURES" else Classifier
        if not isinstance(content, wanted):
            raise Refusal(400, f"{task.kind} takes a {wanted.__name__}, not a {type(content).__name__}.")
        self._assets.write(export.name, content, overwrite=export.overwrite)
        task.eecu_seconds = cost(0)
        task.uris = [f"https://code.earthengine.google.com/?asset={export.name}"]

    def _ingest(self, task: Task, asked: Import) -> None:
        self._assets.write(asked.name, ingest(asked, self._storage.get), overwrite=asked.overwrite)
        task.uris = [f"https://code.earthengine.google.com/?asset={asked.name}"]

    def _save(self, export: Export, name: str, data: bytes) -> None:
        if export.bucket is not None:
            self._storage.put(export.bucket, name, data)
        else:
            self._drive.put(export.folder, name, data)


def _check_types(bands: Bands) -> None:
    types = list(dict.fromkeys(str(values.dtype).title() for _, values, _ in bands))
    if len(types) > 1:
        raise Refusal(
            400,
            "Exported bands must have compatible data types; found inconsistent types: "
            f"{types[0]} and {types[1]}.",
        )


def _destination(export: Export) -> str:
    if export.bucket is None:
        return f"https://drive.google.com/#folders/{export.folder or 'root'}"
    folder = export.prefix.rpartition("/")[0]
    return f"https://console.developers.google.com/storage/browser/{export.bucket}/{folder}" + "/" * bool(
        folder
    )
