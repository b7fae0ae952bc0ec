"""What these tests share with those of the command and of Earth Engine."""

from collections.abc import Iterator

import pytest

from tests.cli.conftest import finished, place
from tests.support import ee_asking

__all__ = ["finished", "offline_client", "place"]


@pytest.fixture
def offline_client() -> Iterator[None]:
    """A client that can write expressions and send none."""
    with ee_asking.offline_client():
        yield
