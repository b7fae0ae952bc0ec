"""A limit on computing time at a server that is kept by not beginning what would pass it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from gee_pipeline.errors import InputError
from gee_pipeline.source import Spent

RESERVE: Final = 2.0
"""Cells differ in cost: for each running cell, this many times the mean of the finished ones is reserved."""

HOUR: Final = 3600.0
"""Seconds."""


class Budget:
    """How many EECU-hours a run may take, those of its former starts included."""

    def __init__(self, hours: float, before: Spent, now: Callable[[], Spent]) -> None:
        """A limit.

        Args:
            hours: EECU-hours for the whole run.
            before: What former starts of the run have spent.
            now: Tells what this start has spent so far.
        """
        self._hours, self._before, self._now = hours, before, now
        self._cells = 0
        self.reason: str | None = None
        """Why no further cell was begun; None while there is money."""

    def cell_ended(self) -> None:
        """Take note that a cell has been computed, or has failed."""
        self._cells += 1

    def allows(self, under_way: int) -> bool:
        """Whether one more cell can be begun without danger of passing the limit.

        Before the first cell has ended its cost is unknown, so it goes alone.

        Args:
            under_way: Cells that have begun and not ended.
        """
        spent = (self._before + self._now()).eecu_seconds / HOUR
        if not self._cells:
            return under_way == 0 and self._decide(spent, 0.0, under_way)
        return self._decide(spent, RESERVE * self._mean(), under_way)

    def _decide(self, spent: float, reserve: float, under_way: int) -> bool:
        allowed = spent + reserve * (under_way + 1) <= self._hours and spent < self._hours
        if not allowed and under_way == 0:
            self.reason = f"{spent:.3g} of {self._hours:g} EECU-hours are used and {_more(reserve)}"
        return allowed

    def _mean(self) -> float:
        """EECU-hours of a cell; requests whose cost is unknown count like the others."""
        now = self._now()
        measured = now.requests - now.unmeasured
        if measured <= 0:
            return math.inf if now.requests else 0.0  # a limit that cannot be watched cannot be kept
        return now.eecu_seconds / measured * now.requests / self._cells / HOUR


def require_hours(hours: float | None) -> None:
    """Refuse a limit that is none.

    Args:
        hours: EECU-hours; None sets no limit.

    Raises:
        InputError: It is 0, below, or no number.
    """
    if hours is not None and not hours > 0:
        raise InputError(f"--max-eecu-hours is a number above 0, got {hours}.")


def _more(reserve: float) -> str:
    if math.isinf(reserve):
        return "Earth Engine does not say what a cell costs"
    return f"one more cell may take {reserve:.2g}"
