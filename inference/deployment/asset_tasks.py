"""The tasks that write the assets of a deployment or a map, and their record on the disk."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

from filelock import FileLock, Timeout

from gee_pipeline.earthengine.client.assets import (
    REQUEST_LIMIT,
    AssetRequest,
    asset_access_error,
    is_there,
    require_place,
)
from gee_pipeline.earthengine.client.faults import Fault, FaultKind, request_error
from gee_pipeline.earthengine.client.retry import TRIES, persistently
from gee_pipeline.earthengine.client.session import ExportKind, Session
from gee_pipeline.earthengine.tasks.answer import TaskAnswer
from gee_pipeline.earthengine.tasks.follower import TaskFollower
from gee_pipeline.earthengine.tasks.task import Task
from gee_pipeline.errors import CorruptFileError, CropmapError, EarthEngineError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, read_sealed, write_sealed

T = TypeVar("T")

_WAY_OUT: Final = "Delete it once no task writes the assets."

POLL_SECONDS: Final = 15.0
"""Seconds between two looks at the tasks; each takes a minute at least."""


@dataclass(frozen=True)
class Deployable:
    """What is brought to the servers, as far as tasks and messages need it."""

    kind: str
    """In one word: `forest`, `network`, `map`."""
    digest: str
    """Of the model or map."""
    request_of: Callable[[str, str], AssetRequest]
    """The request for an asset under a name; always the same for the same."""
    too_large: Callable[[int, str], str]
    """The message for a request of some bytes that Earth Engine does not take, with its own words if any."""
    remedy: Callable[[str], str]
    """What to do about what the servers refused, by their words."""


@dataclass(frozen=True)
class DeploymentRecord:
    """What was asked for, as it stands in a file."""

    about: dict[str, Any]
    """What is deployed and how, JSON values; tasks of something else are not continued."""
    token: str
    """Drawn once; part of each request's id: a deployment begun again is not taken for an earlier one."""
    tasks: tuple[Task[str], ...]
    """One an asset, in order."""

    @property
    def assets(self) -> list[str]:
        """What is written, in order."""
        return [task.subject for task in self.tasks]

    @property
    def under_way(self) -> bool:
        """Whether Earth Engine may be at work for it."""
        return any(task.may_be_at_work for task in self.tasks)

    @property
    def unwritten(self) -> list[str]:
        """Assets for which no task works or may work: those that must not be there yet."""
        return [task.subject for task in self.tasks if task.state in ("planned", "failed", "cancelled")]

    @property
    def done(self) -> bool:
        """Whether all assets are written."""
        return all(task.state == "done" for task in self.tasks)

    @property
    def eecu_seconds(self) -> float:
        """What the last tasks of the assets took together."""
        return sum(task.eecu_seconds for task in self.tasks)

    def with_task(self, task: Task[str]) -> DeploymentRecord:
        """The same with the new task of an asset."""
        return replace(self, tasks=tuple(task if t.subject == task.subject else t for t in self.tasks))

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {"about": self.about, "token": self.token, "tasks": [_to_dict(task) for task in self.tasks]}

    @classmethod
    def read(cls, path: Path) -> DeploymentRecord | None:
        """The record of a file; None where there is none.

        Raises:
            CorruptFileError: The file is damaged.
        """
        if not path.exists():
            return None
        try:
            values = read_sealed(path, _WAY_OUT)
            tasks = tuple(_from_dict(task) for task in values["tasks"])
            return cls(values["about"], values["token"], tasks)
        except ODD_VALUES as error:
            raise CorruptFileError(
                f"{path} does not say which tasks were started ({error!r}). {_WAY_OUT}"
            ) from error


def _to_dict(task: Task[str]) -> dict[str, Any]:
    values = asdict(task)
    return {"asset": values.pop("subject"), **values}


def _from_dict(values: dict[str, Any]) -> Task[str]:
    return Task(values["asset"], **{key: value for key, value in values.items() if key != "asset"})


def begin(path: Path, about: dict[str, Any], assets: Sequence[str]) -> DeploymentRecord:
    """The record to continue with, or a new one, not yet on the disk.

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
            "Tasks of another such command are under way, with another "
            f"{', '.join(differing) or 'asset'}: {found.about} to {', '.join(found.assets)}. Finish them "
            f"with the same command as before, or delete {path} to give them up."
        )
    return DeploymentRecord(about, secrets.token_hex(4), tuple(Task(asset) for asset in assets))


def remedy_for_asset(message: str) -> str:
    """What to do about an asset that was not written.

    Args:
        message: Earth Engine's own words.
    """
    if "overwrite" in message.lower() or "already exists" in message.lower():
        return "Choose another name with --asset, or replace what is there with --overwrite."
    return "Mend the reason; the same command starts again what is missing."


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
            f"One process at a time writes these assets, and another one holds {lock.lock_file}. Wait for it."
        ) from error
    try:
        yield
    finally:
        lock.release()


class AssetTasks:
    """Tasks that write the assets of one deployment."""

    def __init__(
        self,
        path: Path,
        record: DeploymentRecord,
        session: Session,
        subject: Deployable,
        *,
        notice: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask nothing yet.

        Args:
            path: File of the record.
            record: As `begin` gave it.
            session: Session of Earth Engine.
            subject: What is brought to the servers.
            notice: Takes one sentence for the user.
            sleep: Waits a number of seconds.
        """
        self._path, self.record, self._session = path, record, session
        self._subject = subject
        self._notice, self._sleep = notice, sleep

    def require_sizes(self) -> None:
        """Refuse requests that are larger than Earth Engine takes, before the first is sent.

        Raises:
            InputError: Naming size, limit and the ways out.
        """
        for task in self.record.tasks:
            size = self._subject.request_of(task.subject, self.request_id(task)).bytes
            if size > REQUEST_LIMIT:
                raise InputError(self._subject.too_large(size, ""))

    def run(self, *, wait: bool, poll_seconds: float = POLL_SECONDS) -> None:
        """Have every asset written.

        Args:
            wait: Whether to wait for the end of the tasks; without, they are started.
            poll_seconds: Seconds between two looks.

        Raises:
            AccessError: Earth Engine does not let us in, or not to the assets.
            InputError: A request is larger than Earth Engine takes.
            EarthEngineError: A task failed or was cancelled, or a request was not answered in all tries.
        """
        follower = TaskFollower(self, notice=self._notice)
        for task in self.record.tasks:
            if task.state != "done" or not self._is_there(task):  # deleted since
                follower.add(task)
        follower.follow(
            lambda: self._raise_if_failed(follower.failed),
            wait=wait,
            poll_seconds=poll_seconds,
            sleep=self._sleep,
        )

    def write(
        self,
        kind: ExportKind,
        compare: Callable[[float], T],
        *,
        overwrite: bool,
        wait: bool,
        poll_seconds: float = POLL_SECONDS,
    ) -> T | None:
        """Have every asset written, and what lies there then compared; what is refused is so before tasks.

        Args:
            kind: What these are.
            compare: Compares the servers with this machine; takes the EECU-seconds of the tasks.
            overwrite: Whether assets that exist are replaced.
            wait: As for `run`.
            poll_seconds: As for `run`.

        Returns:
            What `compare` gave; None while tasks are at work.

        Raises:
            MismatchError: The servers answer otherwise; nothing is left to continue.
            InputError: An asset cannot be written there, or a request is larger than Earth Engine takes.
            AccessError: Earth Engine does not let us in, or not to the assets.
            EarthEngineError: A task failed, or a request was not answered in all tries.
        """
        require_place(self._session, self.record.unwritten, kind, overwrite=overwrite, sleep=self._sleep)
        self.require_sizes()
        self.run(wait=wait, poll_seconds=poll_seconds)
        if not self.record.done:
            return None
        try:
            done = compare(self.record.eecu_seconds)
        except MismatchError:
            self.forget()  # continuing would only find the same difference
            raise
        self.forget()
        return done

    def forget(self) -> None:
        """Leave nothing to continue: all is done."""
        self._path.unlink(missing_ok=True)

    def label(self, subject: str) -> str:
        """The asset."""
        return f"that writes {subject}"

    def request_id(self, task: Task[str]) -> str:
        """The model, the number of the asset and the attempt."""
        number = self.record.assets.index(task.subject) + 1
        model = f"{self._subject.kind}-{self._subject.digest}"
        return f"cropmap-{model}-{self.record.token}-{number}-{task.attempt}"

    def note(self, task: Task[str]) -> None:
        """The record with the task, written as a whole; a task that has begun is announced."""
        self.record = self.record.with_task(task)
        write_sealed(self._path, self.record.to_dict())
        if task.state == "active":
            self._notice(f"Earth Engine writes {task.subject}.")

    def submit(self, task: Task[str], request_id: str) -> Mapping[str, Any]:
        """The request of the asset."""
        request = self._subject.request_of(task.subject, request_id)
        return self._asked(lambda: request.start(self._session))

    def operation(self, name: str) -> Mapping[str, Any]:
        """Asked again after faults that pass."""
        return self._asked(lambda: self._session.operation(name))

    def operations(self) -> Sequence[Mapping[str, Any]]:
        """Asked again after faults that pass."""
        return self._asked(self._session.operations)

    def forgotten(self, task: Task[str]) -> TaskAnswer:
        """Done where its asset is there."""
        name = task.operation or ""
        if self._is_there(task):
            return TaskAnswer(name, description="", state="done")
        return TaskAnswer(name, description="", state="failed", message="Earth Engine forgot the task")

    def parts(self, task: Task[str]) -> tuple[()]:
        """An asset is written whole."""
        return ()

    def fatal(self, fault: Fault, subject: str | None) -> CropmapError | None:
        """A lack of access, or an asset that is too large: each holds about as much."""
        asset = subject or self.record.assets[0]
        if fault.kind is FaultKind.ACCESS:
            return asset_access_error(fault, asset)
        if fault.kind is FaultKind.TOO_LARGE:
            task = next(task for task in self.record.tasks if task.subject == asset)
            size = self._subject.request_of(asset, self.request_id(task)).bytes
            return InputError(self._subject.too_large(size, fault.message))
        return None

    def finished(self, task: Task[str]) -> None:
        """The record says so."""

    def given_up(self, task: Task[str]) -> None:
        """The error says so."""

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return persistently(ask, sleep=self._sleep, random=Random())
        except Fault as fault:
            if fault.temporary:
                raise request_error(fault, TRIES) from fault
            raise

    def _is_there(self, task: Task[str]) -> bool:
        """Whether there is an asset of a task's name."""
        return is_there(self._session, task.subject, sleep=self._sleep)

    def _raise_if_failed(self, failed: Sequence[Task[str]]) -> None:
        if not failed:
            return
        named = "; ".join(f"{task.subject}: {task.message.rstrip('.')}" for task in failed)
        remedies = dict.fromkeys(self._subject.remedy(task.message) for task in failed)
        raise EarthEngineError(f"Not written at Earth Engine: {named}. {' '.join(remedies)}")
