"""What Earth Engine says of batch tasks, and what the end of one means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gee_pipeline.earthengine.client.faults import Fault


class Remedy(Enum):
    """What may help a task that failed."""

    AGAIN = "again"
    """The same task: the error was Earth Engine's own, or it had too much to do."""
    SMALLER = "smaller"
    """A part of the block, computed in smaller squares: memory, size, or time. Google has run a task that
    timed out five times already (developers.google.com/earth-engine/guides/processing_environments)."""
    NONE = "none"
    """Nothing that cropmap can do."""


AnswerState = Literal["active", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class TaskAnswer:
    """What Earth Engine says of a task."""

    name: str
    """Name of the operation, `projects/.../operations/...`."""
    description: str
    """What the task was called when it was submitted."""
    state: AnswerState
    """Active covers waiting, working and being cancelled."""
    message: str = ""
    """Earth Engine's own words on a failure."""
    remedy: Remedy = Remedy.NONE
    """What may help after a failure."""
    eecu_seconds: float = 0.0
    """Earth Engine compute units times seconds that it took so far."""

    @classmethod
    def of(cls, operation: Mapping[str, Any]) -> TaskAnswer:
        """The answer in an operation as the REST API gives it."""
        metadata, error = operation.get("metadata", {}), operation.get("error", {})
        state = _state(str(metadata.get("state")), done=bool(operation.get("done")), failed=bool(error))
        message = str(error.get("message") or "Earth Engine gave no reason") if state == "failed" else ""
        return cls(
            name=str(operation["name"]),
            description=str(metadata.get("description", "")),
            state=state,
            message=message,
            remedy=remedy_of(message, error.get("code")) if state == "failed" else Remedy.NONE,
            eecu_seconds=float(metadata.get("batchEecuUsageSeconds") or 0),
        )


def remedy_of(message: str, code: int | None = None) -> Remedy:
    """What may help after a failure.

    Args:
        message: Earth Engine's own words.
        code: Number of the canonical error, where it is known (google.rpc.Code).
    """
    text = message.lower()
    if any(words in text for words in _TOO_MUCH):
        return Remedy.SMALLER
    if code in _PASSING_CODES or any(words in text for words in _PASSING):
        return Remedy.AGAIN
    return Remedy.SMALLER if code == _DEADLINE else Remedy.NONE


def queue_is_full(fault: Fault) -> bool:
    """Whether Earth Engine takes no more tasks of the project now."""
    text = fault.message.lower()
    return "too many tasks" in text or ("queue" in text and "tasks" in text)


def is_repeated(fault: Fault) -> bool:
    """Whether Earth Engine says that it had a request's id before."""
    text = fault.message.lower()
    return fault.status == 409 or ("request" in text and any(w in text for w in ("already", "duplicate")))


_TOO_MUCH = ("memory", "too large", "too many pixels", "too many bands", "timed out", "timeout", "deadline")
_PASSING = ("internal error", "too many concurrent", "unavailable", "try again", "backend")

_PASSING_CODES = (10, 13, 14)
"""Aborted, internal, unavailable (google.rpc.Code)."""

_DEADLINE = 4
"""Deadline exceeded."""

_STATES: dict[str, AnswerState] = {
    "PENDING": "active",
    "RUNNING": "active",
    "CANCELLING": "active",
    "SUCCEEDED": "done",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
}


def _state(name: str, *, done: bool, failed: bool) -> AnswerState:
    if name in _STATES:
        return _STATES[name]
    if not done:
        return "active"
    return "failed" if failed else "done"
