"""What Earth Engine was asked for and what that cost in computing time."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import ee

from gee_pipeline.earthengine.client.faults import Fault, FaultKind
from gee_pipeline.source import Spent

if TYPE_CHECKING:
    from gee_pipeline.earthengine.client.session import Session


_BATCH: Final = 100
"""Profiles that are read with one request."""

_PATIENCE: Final = 3
"""Times that profiles are asked for before they count as unmeasured."""

_ROW: Final = re.compile(r"\s*(-|\d[\d,]*\.\d+|\d+)\s+\S+\s+\d\S*\s+\S")
"""A line of a profile; others continue with a description."""


class Meter:
    """Counts requests, bytes and computing time of one process; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent = Spent()
        self._pending: list[str] = []
        self._refusals = 0

    @property
    def spent(self) -> Spent:
        """What was spent so far; requests whose profile was not read yet count with no computing time."""
        with self._lock:
            return self._spent

    @property
    def pending(self) -> int:
        """Profiles that were not read yet."""
        with self._lock:
            return len(self._pending)

    def count(self, size: int, profiles: Sequence[str] = (), *, computed: bool = True) -> None:
        """Count one request.

        Args:
            size: Bytes of the answer.
            profiles: Ids of its profiles.
            computed: False where the server refused before it computed anything.
        """
        unmeasured = int(computed and not profiles)
        with self._lock:
            self._spent += Spent(requests=1, bytes=size, unmeasured=unmeasured)
            self._pending += profiles

    def settle(self, session: Session, least: int = 1) -> None:
        """Read the profiles of the requests since the last call and add up their computing time.

        A profile that cannot be read is counted as unmeasured and is not an error.

        Args:
            session: Where the requests were made.
            least: Nothing is read before as many profiles wait.
        """
        with self._lock:
            if len(self._pending) < least:
                return
            ids, self._pending = self._pending, []
        for first in range(0, len(ids), _BATCH):
            self._settle(session, ids[first : first + _BATCH])

    def _settle(self, session: Session, ids: list[str]) -> None:
        try:
            with session.limiter.slot():
                seconds = eecu_seconds(session.value(_profiles(ids), profiled=False))
        except Fault as fault:
            if fault.kind is FaultKind.TOO_MANY:
                session.limiter.too_many()
            self._not_read(session, ids, fault)
            return
        with self._lock:
            self._refusals = 0
            if seconds is None:
                self._spent += Spent(unmeasured=len(ids))
            else:
                self._spent += Spent(eecu_seconds=seconds)

    def _not_read(self, session: Session, ids: list[str], fault: Fault) -> None:
        """Ask later, one by one, or never again."""
        if fault.kind in (FaultKind.NEVER, FaultKind.TOO_LARGE) and len(ids) > 1:
            for one in ids:  # one id that is gone must not cost the others
                self._settle(session, [one])
            return
        with self._lock:
            self._refusals += fault.temporary
            if fault.temporary and self._refusals < _PATIENCE:
                self._pending += ids
            else:
                self._spent += Spent(unmeasured=len(ids))


def eecu_seconds(table: object) -> float | None:
    """Computing time of a profile: the sum of the first column of its text table, in EECU-seconds.

    Args:
        table: What `Profile.getProfiles` gives, a header and one line an algorithm.

    Returns:
        None where the text is not such a table.
    """
    header, _, body = table.lstrip("\n").partition("\n") if isinstance(table, str) else ("", "", "")
    rows = [row[1] for line in body.split("\n") if (row := _ROW.match(line))]
    if not header.strip().startswith("EECU") or not rows:
        return None
    return sum(float(seconds.replace(",", "")) for seconds in rows if seconds != "-")


def _profiles(ids: list[str]) -> ee.ComputedObject:
    return ee.ApiFunction.lookup("Profile.getProfiles").call(ids=ids)
