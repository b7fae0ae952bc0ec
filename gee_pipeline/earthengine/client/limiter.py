"""One limit of requests under way for the whole job, which gives way when the server says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

START: Final = 16
"""Requests under way at once until the server has shown what it bears."""

SETTLING: Final = 5.0
"""Seconds after a halving in which further refusals answer requests of before it, and count no more."""

PATIENCE: Final = 60.0
"""Seconds of success before one more request is let through at a time."""


class Limiter:
    """Lets a number of requests through at a time: halved by "too many", one more a minute of success.

    So a job shares a project's quota with others (additive increase, multiplicative decrease; Chiu and
    Jain 1989), and every thread that asks goes through the same gate.
    """

    def __init__(
        self, start: int = START, most: int = 32, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with a limit.

        Args:
            start: Requests at once in the beginning; never more than `most`.
            most: Requests at once that are never exceeded.
            clock: Seconds that only grow.
        """
        self._limit = min(start, most)
        self._most = most
        self._under_way = 0
        self._clock = clock
        self._halved = float("-inf")
        self._changed = clock()
        self._gate = threading.Condition()

    @property
    def limit(self) -> int:
        """Requests that may be under way at once."""
        with self._gate:
            return self._limit

    @property
    def under_way(self) -> int:
        """Requests that are under way."""
        with self._gate:
            return self._under_way

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A place among the requests under way; waits for one."""
        with self._gate:
            self._gate.wait_for(lambda: self._under_way < self._limit)
            self._under_way += 1
        try:
            yield
            self._succeeded()
        finally:
            with self._gate:
                self._under_way -= 1
                self._gate.notify_all()

    def too_many(self) -> None:
        """Halve the limit, once for all answers of a few seconds."""
        with self._gate:
            now = self._clock()
            if now - self._halved >= SETTLING:
                self._limit = max(1, self._limit // 2)
                self._halved = now
            self._changed = now

    def restrict(self, most: int) -> None:
        """Never again let more than `most` through at a time."""
        with self._gate:
            self._most = min(self._most, most)
            self._limit = min(self._limit, self._most)

    def _succeeded(self) -> None:
        with self._gate:
            now = self._clock()
            if now - self._changed >= PATIENCE and self._limit < self._most:
                self._limit += 1
                self._changed = now
