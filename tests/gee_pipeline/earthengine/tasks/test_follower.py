"""The one loop that starts and follows batch tasks, with tasks that write nothing but their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gee_pipeline.earthengine.client.faults import Fault, FaultKind
from gee_pipeline.earthengine.tasks.answer import TaskAnswer
from gee_pipeline.earthengine.tasks.follower import HOPELESS, REPEATS, TaskFollower
from gee_pipeline.earthengine.tasks.task import Task
from gee_pipeline.errors import AccessError, CropmapError


class Killed(BaseException):
    """The process dies here."""


class Names:
    """Tasks and the servers they run on; a task is done at the first look unless its end is scripted."""

    def __init__(self, ends: Mapping[str, Sequence[str]] | None = None) -> None:
        self.ends = {name: list(messages) for name, messages in (ends or {}).items()}
        self.disk: list[Task[str]] = []
        self.started: dict[str, str] = {}  # request id -> name
        self.most_active = 0
        self.written: list[str] = []
        self.refusals: list[Fault] = []
        self.dies = False

    def label(self, subject: str) -> str:
        return f"of {subject}"

    def request_id(self, task: Task[str]) -> str:
        return f"{task.subject}-{task.attempt}"

    def note(self, task: Task[str]) -> None:
        self.disk.append(task)

    def submit(self, task: Task[str], request_id: str) -> Mapping[str, Any]:
        assert self.disk[-1] == task  # the request is on the disk before it is sent
        if self.refusals:
            raise self.refusals.pop(0)
        self.started[request_id] = task.subject
        if self.dies:
            raise Killed
        return self._at(request_id, "PENDING")

    def operation(self, name: str) -> Mapping[str, Any]:
        messages = self.ends.get(self.started[name], [])
        if not messages:
            return self._at(name, "SUCCEEDED", done=True)
        return self._at(name, "FAILED", done=True, error={"code": 3, "message": messages.pop(0)})

    def operations(self) -> Sequence[Mapping[str, Any]]:
        return [self._at(request_id, "PENDING") for request_id in self.started]

    def forgotten(self, task: Task[str]) -> TaskAnswer:
        raise AssertionError("these servers forget nothing")

    def parts(self, task: Task[str]) -> Sequence[Task[str]]:
        return [Task(f"{task.subject}{half}") for half in "ab"] if len(task.subject) == 1 else []

    def fatal(self, fault: Fault, subject: str | None) -> CropmapError | None:
        return AccessError(fault.message) if fault.kind is FaultKind.ACCESS else None

    def finished(self, task: Task[str]) -> None:
        self.written.append(task.subject)

    def given_up(self, task: Task[str]) -> None:
        pass

    @staticmethod
    def _at(request_id: str, state: str, **more: Any) -> dict[str, Any]:
        return {"name": request_id, "metadata": {"state": state, "description": request_id}, **more}


def followed(
    work: Names, names: str, *, limit: int = 9, tasks: Sequence[Task[str]] | None = None
) -> TaskFollower[str]:
    follower = TaskFollower(work, notice=lambda text: None, limit=limit)
    for task in [Task(name) for name in names] if tasks is None else tasks:
        follower.add(task)

    def count() -> None:
        work.most_active = max(work.most_active, len(follower.active))

    follower.follow(count, wait=True, poll_seconds=0, sleep=lambda seconds: None)
    return follower


def test_every_task_is_written_once_and_no_more_are_active_than_allowed() -> None:
    work = Names()
    assert not followed(work, "ABCDE", limit=2).failed
    assert sorted(work.written) == list("ABCDE")
    assert len(work.started) == 5
    assert work.most_active == 2


def test_a_task_killed_after_its_submission_is_adopted_by_its_request_id() -> None:
    work = Names()
    work.dies = True
    with pytest.raises(Killed):
        followed(work, "A")
    work.dies = False
    assert work.disk[-1].state == "submitting"
    followed(work, "", tasks=[work.disk[-1]])
    assert list(work.started) == ["A-1"]
    assert work.written == ["A"]


def test_a_passing_failure_is_repeated_at_most_so_often() -> None:
    enough = ["Internal error."] * REPEATS
    work = Names({"A": enough, "B": [*enough, "Internal error."]})
    follower = followed(work, "AB")
    assert work.written == ["A"]
    assert [task.subject for task in follower.failed] == ["B"]
    assert follower.failed[0].attempt == 1 + REPEATS


def test_a_task_that_is_too_large_gives_way_to_its_parts() -> None:
    work = Names({"A": ["User memory limit exceeded."], "Bb": [], "Ab": ["Out of memory."]})
    follower = followed(work, "A")
    assert work.written == ["Aa"]
    assert [task.subject for task in follower.failed] == ["Ab"]  # it has no parts


def test_the_same_failure_of_the_first_tasks_starts_no_more() -> None:
    work = Names({name: ["No such bucket."] for name in "ABCDEFGH"})
    follower = followed(work, "ABCDEFGH", limit=1)
    assert len(follower.failed) == HOPELESS
    assert len(work.started) == HOPELESS
    assert len(follower.waiting) == 8 - HOPELESS


def test_a_full_queue_is_tried_later_and_a_refusal_is_on_the_disk() -> None:
    work = Names()
    work.refusals = [
        Fault(FaultKind.NEVER, "Too many tasks already in the queue."),
        Fault(FaultKind.NEVER, "Malformed request.", 400),
    ]
    follower = followed(work, "AB")
    assert [(task.subject, task.message) for task in follower.failed] == [("A", "Malformed request.")]
    assert next(task for task in reversed(work.disk) if task.subject == "A").state == "failed"
    assert work.written == ["B"]


def test_what_no_task_escapes_ends_the_command() -> None:
    work = Names()
    work.refusals = [Fault(FaultKind.ACCESS, "Denied.", 403)]
    with pytest.raises(AccessError, match="Denied"):
        followed(work, "AB")
    assert not work.started
