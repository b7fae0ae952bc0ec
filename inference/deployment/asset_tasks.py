"""The tasks that write the assets of a deployment: started once, followed to their end.

What was asked for is on the disk before it is sent, with the id that marks the request. If the process dies
before Earth Engine's answer is noted, the same id is sent again, and Earth Engine starts no second task.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

from filelock import FileLock, Timeout

from gee_pipeline.earthengine.client.faults import Fault, FaultKind, request_error
from gee_pipeline.earthengine.client.retry import TRIES, persistently
from gee_pipeline.earthengine.client.session import Session
from gee_pipeline.earthengine.composites.tasks import Remedy, TaskAnswer, is_repeated, list_operations
from gee_pipeline.earthengine.forest.classifier_assets import (
    REQUEST_LIMIT,
    AssetRequest,
    answered,
    asset_access_error,
)
from gee_pipeline.earthengine.forest.deploy_options import Way
from gee_pipeline.errors import CorruptFileError, EarthEngineError, InputError, MismatchError
from gee_pipeline.files import read_json, write_json
from inference.deployment.deployment import DeployedSizes, remedy_for, too_large

AssetState = Literal["planned", "submitting", "active", "done", "failed"]
"""Submitting: the request's id is on disk, Earth Engine's answer is not."""

POLL_SECONDS: Final = 15.0
"""Seconds between two looks at the tasks; each takes a minute at least."""

REPEATS: Final = 2
"""Times a task that failed for Earth Engine's own reasons is started again."""


@dataclass(frozen=True)
class AssetTask:
    """An asset and the last task for it."""

    asset: str
    """What is written, `projects/P/assets/NAME`."""
    state: AssetState = "planned"
    """How it stands with the task."""
    attempt: int = 0
    """Tasks for this asset so far, over all starts of the command."""
    operation: str | None = None
    """Earth Engine's name of the task."""
    message: str = ""
    """Earth Engine's own words on a failure."""
    eecu_seconds: float = 0.0
    """Earth Engine compute units times seconds that it took."""

    def next_attempt(self) -> AssetTask:
        """The record of a new task, before it is submitted."""
        return AssetTask(self.asset, "submitting", self.attempt + 1)


@dataclass(frozen=True)
class DeploymentRecord:
    """What was asked for, as it stands in a file."""

    about: dict[str, Any]
    """What is deployed and how, JSON values; tasks of something else are not taken up."""
    token: str
    """Drawn once; part of each request's id, so that a deployment begun anew is not taken for the former."""
    tasks: tuple[AssetTask, ...]
    """One an asset, in order."""

    @property
    def assets(self) -> list[str]:
        """What is written, in order."""
        return [task.asset for task in self.tasks]

    @property
    def under_way(self) -> bool:
        """Whether Earth Engine may be at work for it."""
        return any(task.state in ("submitting", "active") for task in self.tasks)

    def with_task(self, task: AssetTask) -> DeploymentRecord:
        """The same with the new record of an asset."""
        return replace(self, tasks=tuple(task if t.asset == task.asset else t for t in self.tasks))

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {"about": self.about, "token": self.token, "tasks": [asdict(task) for task in self.tasks]}

    @classmethod
    def read(cls, path: Path) -> DeploymentRecord | None:
        """The record of a file; None where there is none.

        Raises:
            CorruptFileError: The file is damaged.
        """
        if not path.exists():
            return None
        try:
            values = read_json(path)
            tasks = tuple(AssetTask(**task) for task in values["tasks"])
            return cls(values["about"], values["token"], tasks)
        except (KeyError, TypeError) as error:
            raise CorruptFileError(
                f"{path} does not tell which tasks were started ({error!r}). Delete it once no task writes "
                "the assets any more."
            ) from error


def begin(path: Path, about: dict[str, Any], assets: Sequence[str]) -> DeploymentRecord:
    """The record to go on with, or a new one, not yet on the disk.

    Args:
        path: Its file.
        about: What is deployed and how.
        assets: What is to be written.

    Raises:
        MismatchError: Tasks of another deployment may be at work.
        CorruptFileError: The file is damaged.
    """
    found = DeploymentRecord.read(path)
    if found and found.about == about and found.assets == list(assets):
        return found
    if found and found.under_way:
        differing = sorted(k for k in {*about, *found.about} if about.get(k) != found.about.get(k))
        raise MismatchError(
            "Another deployment of this forest is under way, with another "
            f"{', '.join(differing) or 'asset'}: {found.about} to {', '.join(found.assets)}. Finish it with "
            f"the same command as before, or delete {path} to give it up."
        )
    return DeploymentRecord(about, secrets.token_hex(4), tuple(AssetTask(asset) for asset in assets))


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a deployment: one process at a time starts its tasks.

    Args:
        path: File of the record.

    Raises:
        InputError: Another process holds it.
    """
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=1)
    except Timeout as error:
        raise InputError(
            f"One process at a time deploys a forest, and another one holds {lock.lock_file}. Wait for it."
        ) from error
    try:
        yield
    finally:
        lock.release()


class AssetTasks:
    """The tasks of one deployment in this process."""

    def __init__(
        self,
        path: Path,
        record: DeploymentRecord,
        session: Session,
        request_of: Callable[[str, str], AssetRequest],
        sizes: DeployedSizes,
        way: Way,
        *,
        notice: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask nothing yet.

        Args:
            path: File of the record.
            record: As `begin` gave it.
            session: Session of Earth Engine.
            request_of: The request for an asset under a name; always the same for the same.
            sizes: Of the forest, for messages.
            way: How it comes to the servers.
            notice: Takes one sentence for the user.
            sleep: Waits a number of seconds.
        """
        self._path, self.record, self._session = path, record, session
        self._request_of, self._sizes, self._way = request_of, sizes, way
        self._notice, self._sleep = notice, sleep
        self._repeats: Counter[str] = Counter()

    @property
    def unwritten(self) -> list[str]:
        """Assets for which no task works or may work: those that must not be there yet."""
        return [task.asset for task in self.record.tasks if task.state in ("planned", "failed")]

    @property
    def done(self) -> bool:
        """Whether all assets are written."""
        return all(task.state == "done" for task in self.record.tasks)

    @property
    def eecu_seconds(self) -> float:
        """What the last tasks of the assets took together."""
        return sum(task.eecu_seconds for task in self.record.tasks)

    def require_sizes(self) -> None:
        """Refuse requests that are larger than Earth Engine takes, before the first is sent.

        Raises:
            InputError: Naming size, limit and the ways out.
        """
        for task in self.record.tasks:
            size = self._request_of(task.asset, self._name(task)).bytes
            if size > REQUEST_LIMIT:
                raise InputError(too_large(self._sizes, self._way, size))

    def start(self) -> None:
        """Have a task at work for each asset that is not written.

        Raises:
            AccessError: Earth Engine does not let us in, or not to the assets.
            InputError: A request is larger than Earth Engine takes.
            EarthEngineError: A request was refused, or not answered in all tries.
        """
        unheard = any(task.state == "submitting" for task in self.record.tasks)
        listed = self._listed() if unheard else {}
        for task in self.record.tasks:
            if task.state == "done" and not self._is_there(task):  # deleted since
                self._send(task)
            elif task.state == "submitting" and (answer := listed.get(self._name(task))):
                self._begun(task, answer)
            elif task.state in ("planned", "submitting", "failed"):
                self._send(task)

    def look(self) -> None:
        """Ask once how each task stands; one that failed for Earth Engine's own reasons is started again.

        Raises:
            AccessError: Earth Engine does not let us in any more.
            EarthEngineError: A task failed or was cancelled; the others are at work or done.
        """
        for task in self.record.tasks:
            if task.state == "active":
                self._settle(task, self._asked(task))
        if failed := [task for task in self.record.tasks if task.state == "failed"]:
            raise EarthEngineError(self._failure(failed))

    def follow(self, poll_seconds: float = POLL_SECONDS) -> None:
        """Wait for the end of all tasks; raises as `look` does.

        Args:
            poll_seconds: Seconds between two looks.
        """
        while not self.done:
            self._sleep(poll_seconds)
            self.look()

    def forget(self) -> None:
        """Leave nothing to go on with: all is done."""
        self._path.unlink(missing_ok=True)

    def _send(self, task: AssetTask) -> None:
        """Submit a task; its request's id is on the disk before."""
        if task.state != "submitting":
            task = task.next_attempt()
            self._note(task)
        request = self._request_of(task.asset, self._name(task))
        try:
            operation = persistently(lambda: self._ask(request), sleep=self._sleep, random=Random())
        except Fault as fault:
            self._refused(task, request, fault)
        else:
            self._begun(task, TaskAnswer.of(operation))

    def _ask(self, request: AssetRequest) -> dict[str, Any]:
        return self._session.start_export(request.body, request.name, request.kind)

    def _refused(self, task: AssetTask, request: AssetRequest, fault: Fault) -> None:
        """What follows where a request did not become a task; a temporary fault leaves that open."""
        if fault.temporary:
            raise request_error(fault, TRIES) from fault
        if is_repeated(fault) and (answer := self._listed().get(request.name)):
            self._begun(task, answer)
            return
        failed = replace(task, state="failed", message=fault.message)
        self._note(failed)
        if fault.kind is FaultKind.ACCESS:
            raise asset_access_error(fault, task.asset) from fault
        if fault.kind is FaultKind.TOO_LARGE:
            raise InputError(too_large(self._sizes, self._way, request.bytes, fault.message)) from fault
        raise EarthEngineError(self._failure([failed])) from fault

    def _begun(self, task: AssetTask, answer: TaskAnswer) -> None:
        """Note a task that Earth Engine has."""
        self._note(replace(task, state="active", operation=answer.name))
        self._notice(f"Earth Engine writes {task.asset}.")

    def _asked(self, task: AssetTask) -> TaskAnswer:
        """How a task stands."""
        name = task.operation or ""
        try:
            operation = persistently(
                lambda: self._session.operation(name), sleep=self._sleep, random=Random()
            )
        except Fault as fault:
            if fault.status == 404:  # Earth Engine forgets tasks after some days
                return self._forgotten(task)
            if fault.kind is FaultKind.ACCESS:
                raise asset_access_error(fault, task.asset) from fault
            raise request_error(fault, TRIES) from fault
        return TaskAnswer.of(operation)

    def _forgotten(self, task: AssetTask) -> TaskAnswer:
        """A task of which only its asset can tell."""
        name = task.operation or ""
        if self._is_there(task):
            return TaskAnswer(name, description="", state="done")
        return TaskAnswer(name, description="", state="failed", message="Earth Engine forgot the task")

    def _is_there(self, task: AssetTask) -> bool:
        """Whether there is an asset of a task's name."""
        ask = functools.partial(self._session.asset, task.asset)
        return answered(self._session, ask, task.asset, sleep=self._sleep) is not None

    def _settle(self, task: AssetTask, answer: TaskAnswer) -> None:
        """Note how a task ended, and start it again where that may help."""
        if answer.state == "active":
            return
        message = "it was cancelled at Earth Engine" if answer.state == "cancelled" else answer.message
        state: AssetState = "done" if answer.state == "done" else "failed"
        ended = replace(task, state=state, message=message, eecu_seconds=answer.eecu_seconds)
        self._note(ended)
        if state == "failed" and answer.cure is Remedy.AGAIN and self._repeats[task.asset] < REPEATS:
            self._repeats[task.asset] += 1
            self._notice(f"The task that writes {task.asset} failed ({message}) and is started again.")
            self._send(ended)

    def _listed(self) -> dict[str, TaskAnswer]:
        """The tasks of the project by what they were called."""
        asset = self.record.assets[0]
        operations = answered(self._session, list_operations, asset, sleep=self._sleep)
        return {answer.description: answer for answer in map(TaskAnswer.of, reversed(operations))}

    def _name(self, task: AssetTask) -> str:
        """Marks the request of a task and names it; letters, digits and hyphens, at most 60."""
        number = self.record.assets.index(task.asset) + 1
        forest = self.record.about["forest"]
        return f"cropmap-forest-{forest}-{self.record.token}-{number}-{task.attempt}"

    def _note(self, task: AssetTask) -> None:
        """Put the record of a task on the disk; it is there when this returns."""
        self.record = self.record.with_task(task)
        write_json(self._path, self.record.to_dict())

    def _failure(self, failed: Sequence[AssetTask]) -> str:
        named = "; ".join(f"{task.asset}: {task.message.rstrip('.')}" for task in failed)
        cures = dict.fromkeys(remedy_for(task.message, self._sizes.confidence) for task in failed)
        return f"Not written at Earth Engine: {named}. {' '.join(cures)}"
