"""Batch tasks started once and followed to their end.

What is asked for is noted on the disk before it is sent, with the id that marks the request. If the process
dies before Earth Engine's answer is noted, the same id is sent again, and Earth Engine starts no second task.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol

from gee_pipeline.earthengine.client.faults import Fault
from gee_pipeline.earthengine.tasks.answer import Remedy, TaskAnswer, is_repeated, queue_is_full
from gee_pipeline.earthengine.tasks.task import SubjectT, Task
from gee_pipeline.errors import CropmapError

REPEATS: Final = 2
"""Times a task that failed for Earth Engine's own reasons is started again."""

HOPELESS: Final = 3
"""Tasks that fail one after another for the same reason, before any succeeds, until no more are started: a
bucket that may not be written to would fail them all."""

PENDING_LIMIT: Final = 100
"""Tasks that wait or work at once; Earth Engine takes 3,000 of a project."""


class TaskWork(Protocol[SubjectT]):
    """One kind of task: what it writes, how it is asked for, and where it is noted."""

    def label(self, subject: SubjectT) -> str:
        """What follows the words "the task" in messages, such as `of block r0000_c0000_1x8`."""

    def request_id(self, task: Task[SubjectT]) -> str:
        """Marks a request, and names its task; letters, digits and hyphens, at most 60."""

    def note(self, task: Task[SubjectT]) -> None:
        """Put a task on the disk; it is there when this returns.

        Raises:
            DiskFullError: The disk has no room.
        """

    def submit(self, task: Task[SubjectT], request_id: str) -> Mapping[str, Any]:
        """Send the request; Earth Engine's operation.

        Raises:
            Fault: It was refused, or not answered.
        """

    def operation(self, name: str) -> Mapping[str, Any]:
        """Earth Engine's operation of a name.

        Raises:
            Fault: It was refused, or not answered.
        """

    def operations(self) -> Sequence[Mapping[str, Any]]:
        """The operations of the project, newest first.

        Raises:
            Fault: The request was refused, or not answered.
        """

    def forgotten(self, task: Task[SubjectT]) -> TaskAnswer:
        """How a task ended that Earth Engine no longer knows, which it forgets after some days."""

    def parts(self, task: Task[SubjectT]) -> Sequence[Task[SubjectT]]:
        """Smaller tasks, noted already, in place of one that was too large; none where there are none."""

    def fatal(self, fault: Fault, subject: SubjectT | None) -> CropmapError | None:
        """The error that ends the command, where other tasks would fare no better; else None."""

    def finished(self, task: Task[SubjectT]) -> None:
        """Called when a task is done."""

    def given_up(self, task: Task[SubjectT]) -> None:
        """Called when a task ended without what it was to write, and is not started again in this call."""


class _NoRoom(Exception):
    """Nothing more can be submitted now."""


class TaskFollower(Generic[SubjectT]):
    """The tasks of one command."""

    def __init__(
        self, work: TaskWork[SubjectT], *, notice: Callable[[str], None], limit: int = PENDING_LIMIT
    ) -> None:
        """Ask nothing yet.

        Args:
            work: What the tasks are.
            notice: Takes one sentence for the user.
            limit: Tasks that wait or work at Earth Engine at once.
        """
        self._work, self._notice, self._limit = work, notice, limit
        self.waiting: deque[Task[SubjectT]] = deque()
        """To be started."""
        self.active: list[Task[SubjectT]] = []
        """At Earth Engine."""
        self.failed: list[Task[SubjectT]] = []
        """Ended without what they were to write; the next call tries again."""
        self._repeats: Counter[SubjectT] = Counter()
        self._succeeded = self._hopeless = False
        self._said: set[str] = set()

    @property
    def unfinished(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self.active) or (bool(self.waiting) and not self._hopeless)

    def add(self, task: Task[SubjectT]) -> None:
        """Take a task that is not done: one at Earth Engine is followed, any other is started."""
        (self.active if task.state == "active" else self.waiting).append(task)

    def follow(
        self,
        after_round: Callable[[], None] = lambda: None,
        *,
        wait: bool,
        poll_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start all tasks and wait for their end.

        Args:
            after_round: Called after each look at the tasks.
            wait: Whether to wait; without, those that find room are started.
            poll_seconds: Seconds between two looks.
            sleep: Waits a number of seconds.

        Raises:
            CropmapError: What `TaskWork.fatal` gave, or `after_round` raised.
        """
        while True:
            self._look()
            self._submit()
            after_round()
            if not wait or not self.unfinished:
                return
            sleep(poll_seconds)

    def _look(self) -> None:
        """Ask how each task stands, and decide what follows."""
        before, self.active = self.active, []
        for task in before:
            try:
                self._settle(task, self._ask(task))
            except Fault as fault:  # it stays active on the disk, and the next call asks again
                self._give_up(task.failed(f"Earth Engine does not say how the task stands: {fault.message}"))

    def _submit(self) -> None:
        """Start as many tasks as there is room for."""
        self._adopt()
        while self.waiting and len(self.active) < self._limit and not self._hopeless:
            try:
                self._send(self.waiting[0])
            except _NoRoom:
                return

    def _adopt(self) -> None:
        """Look for tasks that may have been started without our hearing of it."""
        unheard = [task for task in self.waiting if task.state == "submitting"]
        listed = self._listed() if unheard else {}
        for task in unheard:
            if answer := listed.get(self._work.request_id(task)):
                self.waiting.remove(task)
                self._begin(task, answer)

    def _send(self, task: Task[SubjectT]) -> None:
        """Submit the first that waits; its request's id is on the disk before."""
        if task.state != "submitting":
            task = task.next_attempt()
            self._work.note(task)
            self.waiting[0] = task
        try:
            operation = self._work.submit(task, self._work.request_id(task))
        except Fault as fault:
            self._refused(task, fault)
            return
        self.waiting.popleft()
        self._begin(task, TaskAnswer.of(operation))

    def _refused(self, task: Task[SubjectT], fault: Fault) -> None:
        """What follows where a request did not become a task."""
        if queue_is_full(fault) or fault.temporary:
            self._say_once(f"Earth Engine takes no more tasks now ({fault.message}); they are tried later.")
            raise _NoRoom
        self.waiting.popleft()
        if is_repeated(fault) and (answer := self._listed().get(self._work.request_id(task))):
            self._begin(task, answer)
            return
        refused = task.failed(fault.message)
        self._work.note(refused)
        self._raise_if_fatal(fault, task.subject)
        self._give_up(refused)

    def _begin(self, task: Task[SubjectT], answer: TaskAnswer) -> None:
        """Note a task that Earth Engine has."""
        begun = task.begun(answer)
        self._work.note(begun)
        self._settle(begun, answer)

    def _settle(self, task: Task[SubjectT], answer: TaskAnswer | None) -> None:
        """Put a task where it belongs, by what Earth Engine says of it."""
        if answer is None or answer.state == "active":
            self.active.append(task)
            return
        ended = task.ended(answer)
        self._work.note(ended)
        if answer.state == "done":
            self._succeeded = True
            self._work.finished(ended)
        else:
            self._start_what_helps(ended, answer.remedy)

    def _start_what_helps(self, task: Task[SubjectT], remedy: Remedy) -> None:
        """Start what may help after a failure, or give the task up."""
        if remedy is Remedy.AGAIN and self._repeats[task.subject] < REPEATS:
            self._repeats[task.subject] += 1
            self._notice(
                f"The task {self._work.label(task.subject)} failed ({task.message}) and is started again."
            )
            self.waiting.append(task)
        elif remedy is Remedy.SMALLER and (parts := self._work.parts(task)):
            self.waiting.extendleft(reversed(parts))
        else:
            self._give_up(task)

    def _give_up(self, task: Task[SubjectT]) -> None:
        self.failed.append(task)
        self._work.given_up(task)
        last = [failed.message for failed in self.failed[-HOPELESS:]]
        if not self._succeeded and last == [task.message] * HOPELESS:
            self._hopeless = True
            self._notice(f"{HOPELESS} tasks failed for the same reason; no more are started.")

    def _ask(self, task: Task[SubjectT]) -> TaskAnswer | None:
        """What Earth Engine says of a task; None where it says nothing now.

        Raises:
            Fault: It refuses to say it, however often it is asked.
        """
        try:
            return TaskAnswer.of(self._work.operation(task.operation or ""))
        except Fault as fault:
            if fault.status == 404:
                return self._work.forgotten(task)
            self._raise_if_fatal(fault, task.subject)
            if not fault.temporary:
                raise
            self._say_once(f"Earth Engine does not say how tasks stand now ({fault.message}).")
            return None

    def _listed(self) -> dict[str, TaskAnswer]:
        """The tasks of the project by what they were called; of a name the newest."""
        try:
            answers = [TaskAnswer.of(operation) for operation in self._work.operations()]
        except Fault as fault:
            self._raise_if_fatal(fault, None)
            return {}  # the same id is sent again, and Earth Engine knows it
        return {answer.description: answer for answer in reversed(answers)}

    def _raise_if_fatal(self, fault: Fault, subject: SubjectT | None) -> None:
        if error := self._work.fatal(fault, subject):
            raise error from fault

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._notice(text)
