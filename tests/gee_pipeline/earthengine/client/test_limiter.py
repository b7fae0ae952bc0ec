"""How many requests are under way at once, with a clock that the tests turn."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gee_pipeline.earthengine.client.limiter import Limiter


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ask_once(limiter: Limiter) -> None:
    with limiter.slot():
        pass


def test_no_more_requests_than_the_limit_are_under_way() -> None:
    limiter, lock, counts = Limiter(4), threading.Lock(), {"now": 0, "most": 0}

    def ask(_: int) -> None:
        with limiter.slot():
            with lock:
                counts["now"] += 1
                counts["most"] = max(counts["most"], counts["now"])
            time.sleep(0.002)
            with lock:
                counts["now"] -= 1

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(ask, range(96)))
    assert counts["most"] == 4
    assert limiter.under_way == 0


def test_it_starts_at_sixteen_and_never_above_the_most() -> None:
    assert Limiter().limit == 16
    assert Limiter(most=5).limit == 5


def test_too_many_halves_once_for_answers_of_the_same_few_seconds(clock) -> None:
    limiter = Limiter(16, clock=clock)
    for _ in range(16):  # sixteen were under way, and all were refused
        limiter.too_many()
        clock.now += 0.2
    assert limiter.limit == 8
    clock.now += 5
    limiter.too_many()
    assert limiter.limit == 4


def test_it_never_falls_below_one(clock) -> None:
    limiter = Limiter(2, clock=clock)
    for _ in range(5):
        limiter.too_many()
        clock.now += 10
    assert limiter.limit == 1


def test_it_grows_by_one_a_minute_of_success_up_to_the_most(clock) -> None:
    limiter = Limiter(16, most=18, clock=clock)
    limits = []
    for _ in range(40):  # a success each 10 seconds
        clock.now += 10
        ask_once(limiter)
        limits.append(limiter.limit)
    assert limits[:5] == [16] * 5
    assert limits[5:11] == [17] * 6
    assert limits[11:] == [18] * 29


def test_a_refusal_starts_the_minute_anew(clock) -> None:
    limiter = Limiter(16, clock=clock)
    clock.now += 59
    limiter.too_many()
    clock.now += 30
    ask_once(limiter)
    assert limiter.limit == 8
    clock.now += 31
    ask_once(limiter)
    assert limiter.limit == 9


def test_time_without_success_does_not_grow_it(clock) -> None:
    limiter = Limiter(4, clock=clock)
    clock.now += 600
    with pytest.raises(ValueError, match="failed"), limiter.slot():
        raise ValueError("failed")
    assert limiter.limit == 4
    assert limiter.under_way == 0, "a failed request gives its place back"


def test_a_restriction_holds_for_ever(clock) -> None:
    limiter = Limiter(16, clock=clock)
    limiter.restrict(2)
    for _ in range(10):
        clock.now += 100
        ask_once(limiter)
    assert limiter.limit == 2


def test_those_above_a_lowered_limit_finish_and_the_next_wait() -> None:
    limiter = Limiter(2)
    entered, leave = threading.Event(), threading.Event()

    def third() -> None:
        with limiter.slot():
            entered.set()
            leave.wait(5)

    with limiter.slot():
        with limiter.slot():
            limiter.restrict(1)
            thread = threading.Thread(target=third)
            thread.start()
        assert not entered.wait(0.05), "one is still under way, and that is the limit"
    assert entered.wait(5)
    leave.set()
    thread.join(5)
