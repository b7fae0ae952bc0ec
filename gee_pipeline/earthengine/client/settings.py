"""How Earth Engine is reached and how hard it is asked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from gee_pipeline.errors import InputError

Cropland = Literal["worldcover", "none"]
"""Cropland masks that are applied on the servers."""

Endpoint = Literal["standard", "high-volume"]
"""Google's endpoints: the second takes more requests at once, answers later, and keeps fewer results."""

HIGH_VOLUME_URL: Final = "https://earthengine-highvolume.googleapis.com"

URL_VARIABLE: Final = "CROPMAP_EE_URL"
"""Environment variable with another address than Google's, such as a test server's."""

ANSWER_LIMIT: Final = 48 * 2**20
"""Bytes, uncompressed, that Earth Engine answers at most to one request for pixels (50,331,648)."""

PROJECT_LIMIT: Final = 40
"""Interactive requests that a project may have under way at once (Earth Engine usage guide)."""


def _url() -> str | None:
    return os.environ.get(URL_VARIABLE) or None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is not a number
        return False


@dataclass(frozen=True)
class EarthEngineSettings:
    """Access, endpoint and limits; small to pickle, and without secrets of its own."""

    project: str | None = None
    """Google Cloud project that pays and counts; None takes the one of the credentials."""
    service_account: Path | None = None
    """Key file of a service account; None looks for other credentials."""
    url: str | None = field(default_factory=_url)
    """Address of the REST API; None is the one of `endpoint`."""
    deadline: float = 330.0
    """Seconds until an answer is given up; Earth Engine itself stops at 300."""
    most_requests: int = 32
    """Most requests under way at once, for the whole job."""
    request_bytes: int = 28 * 2**20
    """Bytes of pixels that one request asks for at most: 43 bins of a cell of 256 pixels take two. Google
    published that a year of scenes on as many pixels is computed in one request."""
    endpoint: Endpoint = "standard"
    """Which of Google's endpoints."""

    def __post_init__(self) -> None:
        if self.url is None and self.endpoint == "high-volume":
            object.__setattr__(self, "url", HIGH_VOLUME_URL)  # frozen
        if self.url is not None and not _is_address(self.url):
            raise InputError(
                f"The address of Earth Engine ({URL_VARIABLE}) begins with https:// or http:// and a host, "
                f"got {self.url!r}. Unset the variable to use Google's own."
            )
        if not 0 < self.request_bytes <= ANSWER_LIMIT:
            raise InputError(
                f"A request for pixels takes 1 to {ANSWER_LIMIT:,} bytes (Earth Engine's limit), got "
                f"{self.request_bytes:,}."
            )
        if not 1 <= self.most_requests <= PROJECT_LIMIT:
            raise InputError(
                f"Earth Engine takes 1 to {PROJECT_LIMIT} requests of a project at once, got "
                f"{self.most_requests}."
            )
        if self.deadline <= 0:
            raise InputError(f"A deadline is a number of seconds above 0, got {self.deadline}.")
