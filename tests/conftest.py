"""For all tests: one thread a process, for the processes of pytest-xdist share the cores."""

import os
from collections.abc import Iterator

import pytest

# Before torch is imported, and for the commands that tests start: threads of several processes that wait for
# one another on the same cores make a training several times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the commands set it for their process


@pytest.fixture(autouse=True)
def _variables_kept() -> Iterator[None]:
    """What cropmap calls leaves the variables of the process alone: a later read by GDAL would obey them."""
    before = _variables()
    yield
    assert _variables() == before


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
