"""Asking again after a fault that passes: full jitter, so that waiting threads do not come back together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from gee_pipeline.earthengine.client.faults import Fault

T = TypeVar("T")

_log = logging.getLogger("cropmap.earthengine")

TRIES: Final = 10
"""Times that one request is made: the waits between add up to four minutes on average, and an outage of some
minutes costs no cell."""

BASE: Final = 2.0
"""Longest wait in seconds after the first try; it doubles with every try."""

CAP: Final = 120.0
"""Longest wait in seconds."""


def persistently(
    ask: Callable[[], T], *, sleep: Callable[[float], None], random: Random, tries: int = TRIES
) -> T:
    """The answer to a request that is made again after a temporary fault.

    The wait is drawn evenly from 0 to a bound that doubles ("full jitter", Brooker 2015).

    Args:
        ask: Makes the request once.
        sleep: Waits a number of seconds.
        random: Source of the jitter.
        tries: Times that the request is made at most.

    Raises:
        Fault: One that does not pass, at once; else the last of all tries.
    """

    def wait(state: RetryCallState) -> float:
        return random.uniform(0, min(CAP, BASE * 2 ** (state.attempt_number - 1)))

    retrying = Retrying(
        stop=stop_after_attempt(tries),
        wait=wait,
        sleep=sleep,
        before_sleep=_note,
        retry=retry_if_exception(_passes),
        reraise=True,
    )
    return retrying(ask)


def _note(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.info(
        "A request is made again in %.1f s, try %d failed: %s",
        state.upcoming_sleep,
        state.attempt_number,
        error,
    )


def _passes(error: BaseException) -> bool:
    return isinstance(error, Fault) and error.temporary
