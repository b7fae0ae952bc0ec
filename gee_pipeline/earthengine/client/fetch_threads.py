"""Threads that work through many items which a server answers, within a budget."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from gee_pipeline.earthengine.client.budget import Budget

Item = TypeVar("Item")
Result = TypeVar("Result")

_GLANCE: Final = 0.5
"""Seconds between two looks for Ctrl-C, which some systems do not deliver to a thread that waits."""


class FetchThreads(Generic[Item, Result]):
    """Results in the order in which they come; none after the budget allows no further item.

    The threads are daemons, so that Ctrl-C need not wait for a server.
    """

    def __init__(
        self,
        work: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        threads: int,
        budget: Budget | None = None,
        costs: Callable[[Result], bool] = lambda result: True,
    ) -> None:
        """Begin to work.

        Args:
            work: Makes a result of an item, in any thread; what it raises ends the whole.
            items: What to work on, taken one by one.
            threads: Items under way at once.
            budget: Asked before an item is begun; None sets no limit.
            costs: Whether a result took anything from the budget.
        """
        self._make, self._items, self._budget, self._costs = work, iter(items), budget, costs
        self._arrived: queue.SimpleQueue[tuple[Result | None, BaseException | None] | None] = (
            queue.SimpleQueue()
        )
        self._turn = threading.Condition()
        self._under_way, self._stop = 0, False
        self._at_work = threads
        for _ in range(threads):
            threading.Thread(target=self._work, daemon=True, name="cropmap-fetch").start()

    def __iter__(self) -> Iterator[Result]:
        """All results; who stops early begins no further item."""
        try:
            while (result := self.take(wait=True)) is not None:
                yield result
        finally:
            self.close()

    @property
    def ended(self) -> bool:
        """Whether all threads have ended and what they brought was taken."""
        return self._at_work == 0

    @property
    def under_way(self) -> int:
        """Items begun whose result is not there yet."""
        return self._under_way

    def take(self, wait: bool) -> Result | None:
        """The next result; None where there is none yet, or where nothing more will come.

        Args:
            wait: Whether to wait for it.

        Raises:
            BaseException: What the work raised.
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
                continue
            result, error = arrival
            if error is not None:
                raise error
            return result
        return None

    def close(self) -> None:
        """Begin no further item."""
        with self._turn:
            self._stop = True
            self._turn.notify_all()

    def _work(self) -> None:
        """One thread: an item after the other; None says that the thread has ended."""
        try:
            while (item := self._next()) is not None:
                self._arrived.put((self._result(item), None))
        except BaseException as error:  # raised again where the results are taken
            self.close()
            self._arrived.put((None, error))
        finally:
            self._arrived.put(None)

    def _result(self, item: Item) -> Result:
        costs = True
        try:
            result = self._make(item)
            costs = self._costs(result)
            return result
        finally:
            with self._turn:
                self._under_way -= 1
                if self._budget and costs:
                    self._budget.cell_ended()
                self._turn.notify_all()

    def _next(self) -> Item | None:
        """The next item, once the budget allows it; None where there is none, or means for none."""
        with self._turn:
            while not self._stop and self._budget and not self._budget.allows(self._under_way):
                if self._under_way == 0:
                    return None
                self._turn.wait()
            item = None if self._stop else next(self._items, None)
            self._under_way += item is not None
            return item
