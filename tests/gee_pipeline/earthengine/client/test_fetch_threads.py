"""Threads that work through items: all results once, a limit, faults that end the work."""

import threading
import time

import pytest

from gee_pipeline.earthengine.client.budget import Budget
from gee_pipeline.earthengine.client.fetch_threads import FetchThreads
from gee_pipeline.source import Spent


@pytest.mark.parametrize("threads", [1, 3, 20])
def test_every_item_gives_its_result_once(threads: int) -> None:
    fetching = FetchThreads[int, int](lambda item: item * item, range(50), threads=threads)
    assert sorted(fetching) == [item * item for item in range(50)]


def test_no_more_items_are_under_way_than_threads() -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def work(item: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.005)
        with lock:
            under_way -= 1
        return item

    assert len(list(FetchThreads[int, int](work, range(30), threads=4))) == 30
    assert most == 4


def test_an_error_is_raised_where_the_results_are_taken() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("broken")
        return item

    with pytest.raises(ValueError, match="broken"):
        list(FetchThreads[int, int](work, range(10), threads=1))


def test_threads_end_with_the_work() -> None:
    before = threading.active_count()
    list(FetchThreads[int, int](lambda item: item, range(7), threads=5))
    for _ in range(100):
        if threading.active_count() == before:
            return
        time.sleep(0.01)
    pytest.fail("threads are left")


def test_a_budget_ends_the_work_early_and_says_why() -> None:
    done: list[int] = []
    budget = Budget(0.95, Spent(), lambda: Spent(requests=len(done), eecu_seconds=600.0 * len(done)))

    def work(item: int) -> int:
        done.append(item)
        return item

    assert list(FetchThreads[int, int](work, range(50), threads=1, budget=budget)) == [0, 1, 2, 3]
    assert "0.667 of 0.95 EECU-hours" in str(budget.reason)
