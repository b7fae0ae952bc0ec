"""For all tests: one thread a process, for the processes of pytest-xdist share the cores."""

import os
from collections.abc import Iterator

import pytest

# Before torch is imported, and for the commands that tests start: threads of several processes that wait for
# one another on the same cores make a training several times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")

OBEYED = (
    "GDAL_",
    "CPL_",
    "VSI_",
    "OGR_",
    "GTIFF_",
    "PROJ_",
    "AWS_",
    "GS_",
    "AZURE_",
    "HTTP_",
    "HTTPS_",
    "NO_PROXY",
)


@pytest.fixture(autouse=True)
def _variables_kept() -> Iterator[None]:
    """What is called leaves them alone, else each later read of the process would go another way."""
    before = _variables()
    yield
    assert _variables() == before


def _variables() -> dict[str, str]:
    """Those that GDAL, PROJ and the file systems obey."""
    return {name: value for name, value in os.environ.items() if name.startswith(OBEYED)}
