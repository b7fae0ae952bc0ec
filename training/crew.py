"""Threads that work through many items which a server answers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from inference.budget import Budget

Item = TypeVar("Item")
Result = TypeVar("Result")

_GLANCE: Final = 0.5
"""Seconds between two looks for Ctrl-C, which some systems do not deliver to a thread that waits."""


class Crew(Generic[Item, Result]):
    """Daemon threads, so that Ctrl-C need not wait for a server; what is begun is decided in one thread."""

    def __init__(self, work: Callable[[Item], Result], *, threads: int, budget: Budget | None = None) -> None:
        """Start the threads.

        Args:
            work: Makes a result of an item, in any thread; what it raises ends the whole.
            threads: Items under way at once, at most.
            budget: Asked before an item is begun; None sets no limit.
        """
        self._work, self._threads, self._budget = work, threads, budget
        self._tasks: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()
        for _ in range(threads):
            threading.Thread(target=self._serve, daemon=True, name="cropmap-sample").start()

    def results(self, items: Iterable[Item]) -> Iterator[Result]:
        """The results in the order in which they come; it ends early where the budget allows no more."""
        waiting, under_way = iter(items), 0
        try:
            while True:
                while under_way < self._threads and self._allowed(under_way):
                    if (item := next(waiting, None)) is None:
                        break
                    self._tasks.put(item)
                    under_way += 1
                if not under_way:
                    return
                yield self._next_result()
                under_way -= 1
        finally:
            for _ in range(self._threads):
                self._tasks.put(None)

    def _allowed(self, under_way: int) -> bool:
        return self._budget is None or self._budget.allows(under_way)

    def _next_result(self) -> Result:
        while True:
            try:
                result, error = self._results.get(timeout=_GLANCE)
            except queue.Empty:
                continue
            if self._budget:
                self._budget.cell_ended()
            if error is not None:
                raise error
            return result  # type: ignore[return-value]  # one of the two is always there

    def _serve(self) -> None:
        while (item := self._tasks.get()) is not None:
            try:
                self._results.put((self._work(item), None))
            except BaseException as error:  # raised again where the results are taken
                self._results.put((None, error))
