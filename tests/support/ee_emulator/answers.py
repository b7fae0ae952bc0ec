"""What the emulator may be told to answer instead of the truth, or on top of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Manner(Enum):
    """How an answer travels."""

    WHOLE = "whole"
    SILENT = "silent"
    """Taken, and never answered until the emulator closes."""
    TRUNCATED = "truncated"
    """Half of the bytes that Content-Length names."""
    TRICKLE = "trickle"
    """A byte now and then: each read succeeds, the whole never comes."""
    CLOSED = "closed"
    """The connection is reset without a byte."""


@dataclass(frozen=True)
class Answer:
    """One answer; without a fault it is what the emulator computes."""

    manner: Manner = Manner.WHOLE
    status: int = 200
    message: str = ""
    """Message of an error, for a status other than 200."""
    details: tuple[dict[str, Any], ...] = ()
    """Google's error details."""
    delay: float = 0.0
    """Seconds until the answer begins."""
    gate: threading.Barrier | None = None
    """The answer begins when as many requests as the barrier holds wait at it."""
    body: bytes | None = None
    """Bytes sent in place of what was computed."""
    change: Callable[[bytes], bytes] | None = None
    """Applied to the computed bytes."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers added to the answer."""

    @classmethod
    def ok(cls) -> Answer:
        """The true answer."""
        return cls()

    @classmethod
    def error(
        cls, status: int, message: str, *, details: tuple[dict[str, Any], ...] = (), delay: float = 0.0
    ) -> Answer:
        """An error in Google's envelope; nothing is computed."""
        return cls(status=status, message=message, details=details, delay=delay)

    @classmethod
    def slow(cls, seconds: float) -> Answer:
        """The true answer, later."""
        return cls(delay=seconds)

    @classmethod
    def together(cls, count: int) -> list[Answer]:
        """The true answers to `count` requests, none before all of them have come."""
        return [cls(gate=threading.Barrier(count, timeout=60))] * count

    @classmethod
    def silent(cls) -> Answer:
        """No answer, ever."""
        return cls(Manner.SILENT)

    @classmethod
    def truncated(cls) -> Answer:
        """The first half of the true answer, then the connection ends."""
        return cls(Manner.TRUNCATED)

    @classmethod
    def trickle(cls) -> Answer:
        """One byte each 50 ms, so that no read times out, and never the whole."""
        return cls(Manner.TRICKLE)

    @classmethod
    def close(cls) -> Answer:
        """The connection is reset."""
        return cls(Manner.CLOSED)

    @classmethod
    def garbage(cls) -> Answer:
        """Status 200, and bytes that are neither JSON, nor NPY, nor GeoTIFF."""
        return cls(body=bytes(range(256)) * 4)

    @classmethod
    def bytes(cls, body: bytes) -> Answer:
        """Status 200 and these bytes."""
        return cls(body=body)

    @classmethod
    def changed(cls, change: Callable[[bytes], bytes]) -> Answer:
        """The true answer after `change`."""
        return cls(change=change)

    @classmethod
    def restricted(cls) -> Answer:
        """The true answer of a project beyond its noncommercial quota."""
        return cls(headers={"x-earth-engine-quota-status": "parallelism_restricted=true"})
