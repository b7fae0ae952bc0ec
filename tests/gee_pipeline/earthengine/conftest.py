"""Fixtures of the tests that build expression graphs."""

from collections.abc import Iterator

import pytest

from tests.support import ee_asking


@pytest.fixture(scope="module")
def offline_client() -> Iterator[None]:
    """A client that can write expressions and send none, whatever another test has left of one."""
    with ee_asking.offline_client():
        yield
