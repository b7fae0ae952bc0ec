"""Which address is asked."""

import pytest

from gee_pipeline.earthengine.client.settings import URL_VARIABLE, EarthEngineSettings
from gee_pipeline.errors import InputError


def test_the_endpoint_names_googles_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    assert EarthEngineSettings().url is None  # the client's own default
    found = EarthEngineSettings(endpoint="high-volume").url
    assert found == "https://earthengine-highvolume.googleapis.com"


def test_an_address_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:8080")
    assert EarthEngineSettings(endpoint="high-volume").url == "http://127.0.0.1:8080"


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(InputError, match="begins with https"):
        EarthEngineSettings(url="earthengine.googleapis.com")
