"""What was asked of the emulator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.support.ee_emulator.grid import Grid

INTERACTIVE: Final = frozenset({"algorithms", "value", "pixels", "export", "operation", "operations"})
"""Kinds that count as requests under way at Earth Engine."""


@dataclass
class LoggedRequest:
    """One request; `status` and what follows it are set when it is answered."""

    kind: str
    """One of `services.KINDS`, or unknown."""
    method: str
    path: str
    """Path and query, as they were sent."""
    body: dict[str, Any] | None
    """JSON of the request, if it had any."""
    headers: dict[str, str]
    """Names in lower case; without the token itself."""
    threads_at_once: int = 0
    """Requests to Earth Engine under way when this one came, itself included (0 for the other kinds)."""
    status: int | None = None
    """Status sent; None as long as there is no answer, and for a connection that was reset."""
    grid: Grid | None = None
    """Grid of a request for pixels or of an export."""
    bands: tuple[str, ...] | None = None
    """Names of the bands that came back."""
    eecu_seconds: float = 0.0
    """Cost charged, made up (see `profiles`)."""
    sent: int = 0
    """Bytes of the answer's body."""


class Log:
    """Requests in the order in which they came; safe in threads."""

    def __init__(self) -> None:
        self._entries: list[LoggedRequest] = []
        self._lock = threading.Lock()
        self._open: set[int] = set()

    def begin(self, entry: LoggedRequest) -> None:
        """Note a request that has come."""
        with self._lock:
            if entry.kind in INTERACTIVE:
                self._open.add(id(entry))
                entry.threads_at_once = len(self._open)
            self._entries.append(entry)

    def end(self, entry: LoggedRequest) -> None:
        """It is no longer under way; said twice, it counts once."""
        with self._lock:
            if id(entry) in self._open:
                self._open.remove(id(entry))

    def of(self, kind: str) -> list[LoggedRequest]:
        """Those of one kind."""
        return [entry for entry in self if entry.kind == kind]

    def most_at_once(self, kind: str = "pixels") -> int:
        """Most requests that were under way when one of this kind came."""
        return max((entry.threads_at_once for entry in self.of(kind)), default=0)

    def clear(self) -> None:
        """Forget what was asked so far."""
        with self._lock:
            self._entries.clear()

    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._lock:
            return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> LoggedRequest:
        return self._entries[index]
