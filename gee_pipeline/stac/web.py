"""Reading JSON over the network: patient, with time limits, and with short reasons when it fails."""

from __future__ import annotations

from typing import Final

from pystac.errors import STACError, STACTypeError
from pystac.stac_io import StacIO
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests import RequestException
from urllib3.util import Retry

FAILURES: Final = (APIError, STACError, STACTypeError, RequestException)
"""What reading STAC over the network raises."""

_TIMEOUT: Final = (10.0, 120.0)
"""Seconds to connect to a server, and to wait for its answer."""

_PASSING: Final = (429, 502, 503, 504)
"""Answers that are worth asking again: too many requests, or a server that is down for a moment."""


class StaticIO(StacApiIO):
    """Reads the files of a static catalog as patiently, but takes none of them for an API."""

    stac_object_from_dict = StacIO.stac_object_from_dict


def api_io() -> StacApiIO:
    """Talks to an API; asks again where that can help, for about half a minute."""
    return StacApiIO(timeout=_TIMEOUT, max_retries=_retry())


def static_io() -> StaticIO:
    """Reads static catalogs from files and URLs, as patiently."""
    return StaticIO(timeout=_TIMEOUT, max_retries=_retry())


def _retry() -> Retry:
    return Retry(total=5, connect=2, backoff_factor=1, status_forcelist=_PASSING, allowed_methods=None)


def reason(error: Exception) -> str:
    """The first line of an error, or the status where a server sent a page."""
    if status := getattr(error, "status_code", None):  # set by pystac-client where there was an answer
        return f"the server answered with HTTP status {status}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")
