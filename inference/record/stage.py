"""Stages of the work of a command, in its log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger("cropmap.stage")


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Note when a part of the work begins and ends; around a block, or as a decorator.

    Args:
        name: What is done, such as `Map`.
    """
    _log.info("%s: begun", name)
    start, word = time.monotonic(), "broken off"
    try:
        yield
        word = "ended"
    finally:
        _log.info("%s: %s after %.1f s", name, word, time.monotonic() - start)
