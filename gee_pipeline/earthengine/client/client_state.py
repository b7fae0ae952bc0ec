"""The state of Google's client: one for the whole process, shared with whoever uses `ee` besides cropmap.

A notebook that has called `ee.Initialize` keeps its project, credentials, retries and workload tag: cropmap's
own state is in place only while one of its requests is made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ee import _state  # it has no public name; earthengine-api has it since 1.7

_lock = threading.Lock()
_inside = 0
_users: _state.EEState | None = None


def fresh() -> _state.EEState:
    """A state in which nothing is initialised."""
    return _state.EEState()


def current() -> _state.EEState:
    """The state that is in place now."""
    return _state.get_state()


@contextmanager
def in_place(state: _state.EEState) -> Iterator[None]:
    """Use a state, in all threads; whoever leaves last puts back what was there before the first came.

    Args:
        state: Of the one session of cropmap.
    """
    global _inside, _users
    with _lock:
        if _inside == 0:
            _users = _state._state
        _inside += 1
        _state._state = state
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _state._state, _users = _users, None
