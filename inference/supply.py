"""Where the cells of a run come from: the plan itself, or a server, from which they are fetched ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from typing import Final, Protocol

from inference.budget import Budget
from inference.cell_work import fetch_cell
from inference.ledger import CellRecord
from inference.open_run import Job, Ready

Place = tuple[int, int]
"""Row and column of a cell."""

_GLANCE: Final = 0.5
"""Seconds between two looks for Ctrl-C, which some systems do not deliver to a thread that waits."""


class Supply(Protocol):
    """Cells that are ready to be worked on, one after another."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""

    def take(self, wait: bool) -> Ready | CellRecord | None:
        """The next cell, or the record of one that needs no work any more.

        Args:
            wait: Whether to wait for it; without, None says that there is none yet.

        Returns:
            None also where nothing more will come.
        """


class Planned:
    """The cells of a plan; the workers read their scenes themselves."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.ended = False
        self._places = iter(places)

    def take(self, wait: bool) -> Ready | None:
        """The next cell; there is never anything to wait for."""
        place = next(self._places, None)
        self.ended = place is None
        return None if place is None else Ready(*place)


class FetchAhead:
    """Cells whose composites a server makes: threads of this process fetch some while others are worked on.

    The threads are daemons, so that Ctrl-C need not wait for a server.
    """

    def __init__(self, job: Job, places: Iterable[Place], *, threads: int, budget: Budget | None) -> None:
        """Begin to fetch.

        Args:
            job: The run.
            places: Rows and columns of its cells.
            threads: Cells to fetch at a time.
            budget: What may be spent; None sets no limit.
        """
        self._job, self._places, self._budget = job, iter(places), budget
        self._arrived: queue.SimpleQueue[Ready | CellRecord | BaseException | None] = queue.SimpleQueue()
        self._turn = threading.Condition()
        self._under_way, self._stop = 0, False
        self._at_work = threads
        for _ in range(threads):
            threading.Thread(target=self._work, daemon=True, name="cropmap-fetch").start()

    @property
    def ended(self) -> bool:
        """Whether all threads have ended and what they brought was taken."""
        return self._at_work == 0

    def take(self, wait: bool) -> Ready | CellRecord | None:
        """The next cell that is fetched, or has failed.

        Raises:
            AccessError: The server refuses all cells.
            DiskFullError: The disk has no room.
        """
        while self._at_work:
            try:
                arrival = self._arrived.get(timeout=_GLANCE if wait else 0)
            except queue.Empty:
                if wait:
                    continue
                return None
            if arrival is None:
                self._at_work -= 1
            elif isinstance(arrival, BaseException):
                raise arrival
            else:
                return arrival
        return None

    def close(self) -> None:
        """Begin no further cell."""
        with self._turn:
            self._stop = True
            self._turn.notify_all()

    def _work(self) -> None:
        """One thread: fetch a cell after the other; None says that the thread has ended."""
        try:
            while place := self._next_place():
                self._arrived.put(self._fetched(place))
        except BaseException as error:  # a fault of all cells: raised where the cells are taken
            self.close()
            self._arrived.put(error)
        finally:
            self._arrived.put(None)

    def _fetched(self, place: Place) -> Ready | CellRecord:
        computed = True
        try:
            arrival = fetch_cell(self._job, *place)
            computed = not arrival.reused
            return arrival
        finally:
            with self._turn:
                self._under_way -= 1
                if self._budget and computed:
                    self._budget.cell_ended()
                self._turn.notify_all()

    def _next_place(self) -> Place | None:
        """The next cell, once the budget allows it; None where there is none, or money for none."""
        with self._turn:
            while not self._stop and self._budget and not self._budget.allows(self._under_way):
                if self._under_way == 0:
                    return None
                self._turn.wait()
            place = None if self._stop else next(self._places, None)
            self._under_way += place is not None
            return place
