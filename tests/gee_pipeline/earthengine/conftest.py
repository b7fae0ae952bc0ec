"""Fixtures of the tests that build expression graphs."""

from collections.abc import Iterator

import ee
import pytest
from ee import apitestcase


@pytest.fixture(scope="module")
def offline_client() -> Iterator[None]:
    """A client that can write expressions and send none, built from the list of algorithms in its package.

    A client that is initialised already is left as it is: its classes are the same.
    """
    if ee.data.is_initialized():
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ee.data, "_install_cloud_api_resource", lambda: None)
        patch.setattr(ee.data, "getAlgorithms", apitestcase.GetAlgorithms)
        patch.setattr(ee.deprecation, "_FetchDataCatalogStac", lambda: {})
        ee.Initialize(None, project="offline")
    yield
    ee.Reset()
