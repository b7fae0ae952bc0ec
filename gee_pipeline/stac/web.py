"""Reading JSON over the network: patient, with time limits, and with short reasons when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pystac.errors import STACError, STACTypeError
from pystac.stac_io import DefaultStacIO
from requests import RequestException, Session
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from gee_pipeline.stac.reading import is_remote

FAILURES: Final = (STACError, STACTypeError, RequestException)
"""What reading files of STAC over the network raises."""

TIMEOUT: Final = (10.0, 120.0)
"""Seconds to connect to a server, and to wait for its answer."""

_PASSING: Final = (429, 502, 503, 504)
"""Answers that are worth asking again: too many requests, or a server that is down for a moment."""


class StaticIO(DefaultStacIO):
    """Reads the files of a static catalog: from paths, and patiently from URLs."""

    def __init__(self) -> None:
        super().__init__()
        self._session = Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=patience()))

    def read_text_from_href(self, href: str) -> str:
        """The text at a path or URL.

        Raises:
            RequestException: The server gave none.
            OSError: There is no such file.
        """
        if not is_remote(href):
            return Path(href).read_text(encoding="utf-8")
        answer = self._session.get(href, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.content.decode()


def patience() -> Retry:
    """Asks again where that can help, for about half a minute."""
    return Retry(total=5, connect=2, backoff_factor=1, status_forcelist=_PASSING, allowed_methods=None)


def reason(error: Exception) -> str:
    """The first line of an error, or the status where a server sent a page."""
    answer = getattr(error, "response", None)  # of requests
    if status := getattr(error, "status_code", getattr(answer, "status_code", None)):  # or of pystac-client
        return f"the server answered with HTTP status {status}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")
