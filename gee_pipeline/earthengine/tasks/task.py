"""A batch task as it is noted on the disk: what it writes, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from gee_pipeline.earthengine.tasks.answer import TaskAnswer

SubjectT = TypeVar("SubjectT")
"""What a task writes: cells of a run, an asset."""

TaskState = Literal["planned", "submitting", "active", "done", "lost", "failed", "cancelled", "split"]
"""Submitting: the request's id is on disk, Earth Engine's answer is not. Lost: done, but what it wrote was
found missing or damaged. Split: smaller tasks take its place."""


@dataclass(frozen=True)
class Task(Generic[SubjectT]):
    """What is to be written, and the last task for it."""

    subject: SubjectT
    """What is written."""
    state: TaskState = "planned"
    """How the task stands."""
    attempt: int = 0
    """Tasks for this subject so far, over all starts of the command."""
    operation: str | None = None
    """Earth Engine's name of the task."""
    message: str = ""
    """Earth Engine's own words on a failure."""
    eecu_seconds: float = 0.0
    """Earth Engine compute units times seconds that this task took; earlier attempts are not in it."""

    @property
    def may_be_at_work(self) -> bool:
        """Whether Earth Engine has this task, or may have it without our knowing."""
        return self.state in ("submitting", "active")

    def next_attempt(self) -> Task[SubjectT]:
        """A new task, before it is submitted."""
        return Task(self.subject, "submitting", self.attempt + 1)

    def begun(self, answer: TaskAnswer) -> Task[SubjectT]:
        """The task once Earth Engine has it."""
        return replace(self, state="active", operation=answer.name)

    def ended(self, answer: TaskAnswer) -> Task[SubjectT]:
        """The task after its end."""
        message = "it was cancelled at Earth Engine" if answer.state == "cancelled" else answer.message
        return replace(self, state=answer.state, message=message, eecu_seconds=answer.eecu_seconds)

    def failed(self, message: str) -> Task[SubjectT]:
        """The task after Earth Engine refused it."""
        return replace(self, state="failed", message=message)
