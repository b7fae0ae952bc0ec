"""Published weights, fetched on request and checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import requests

from gee_pipeline.errors import InputError
from gee_pipeline.files import require_writable
from gee_pipeline.incoming.addresses import without_secrets
from training.downloads.dataset_folder import FetchProgress, fetch_file, is_there
from training.downloads.hub import LONGEST_WAIT, PASSING, TIMEOUT, DownloadError, HubFile
from training.pretrained.known import KnownWeights

FAILED: Final = 400
"""Answers from here on are not the file."""

PARTIAL: Final = 206
"""The answer that begins where it was asked to."""

PIECE: Final = 2**16
"""Bytes that are asked of a connection at once."""


@dataclass(frozen=True)
class WebAddress:
    """One file at a URL; nothing but its bytes is asked for, and no token is sent."""

    url: str
    """Where it is."""
    attempts: int = 5
    """How often in a row a connection may fail without a byte having come."""
    wait: float = 1.0
    """Seconds before the second attempt; it doubles from one to the next."""

    def read(self, commit: str, file: HubFile, start: int = 0) -> Iterator[bytes]:
        """The bytes of the file from a position to its end; a broken connection is resumed.

        Args:
            commit: Not asked: the URL is of one version.
            file: How long it is.
            start: Bytes to leave out at the beginning.

        Raises:
            InputError: There is no such file.
            DownloadError: The connection broke too often.
        """
        position, failures = start, 0
        while position < file.size:
            try:
                for block in self._stream(position):
                    position, failures = position + len(block), 0
                    yield block
                if position < file.size:
                    raise requests.ConnectionError("the connection was closed early")
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                failures += 1
                if failures >= self.attempts:
                    raise DownloadError(
                        f"{without_secrets(self.url)} cannot be read to its end ({type(error).__name__}). "
                        "Look at the network and HTTPS_PROXY; the same command continues."
                    ) from error
                time.sleep(min(self.wait * 2.0 ** (failures - 1), LONGEST_WAIT))

    def _stream(self, start: int) -> Iterator[bytes]:
        """The bytes of one answer; what a server sends that cannot begin in the middle is passed over."""
        headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
        with requests.get(self.url, headers=headers, timeout=TIMEOUT, stream=True) as answer:
            self._require_file(answer.status_code)
            skip = 0 if answer.status_code == PARTIAL else start
            for block in answer.iter_content(PIECE):
                rest, skip = block[skip:], max(0, skip - len(block))
                if rest:
                    yield rest

    def _require_file(self, status: int) -> None:
        if status in PASSING:
            raise requests.ConnectionError(f"HTTP {status}")
        if status >= FAILED:
            raise InputError(
                f"There is no file at {without_secrets(self.url)}: the server answered {status}. Name "
                "another place that has it with --address; its checksum is compared there too."
            )


@dataclass(frozen=True)
class FetchedWeights:
    """Weights that lie on this computer and were checked."""

    path: str
    """The file."""
    name: str
    """Which of `known.KNOWN`."""
    sha256: str
    """Its digest."""
    licence: str
    """Its short name."""
    copyright: str
    """Whom the licence names."""
    fetched: bool
    """False where it was there before."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def fetch_weights(
    weights: KnownWeights,
    to: Path,
    *,
    address: WebAddress | None = None,
    progress: Callable[[FetchProgress], None] = lambda progress: None,
) -> FetchedWeights:
    """Make sure that weights lie in a folder; nothing is asked of the network where they do.

    Args:
        weights: Which.
        to: Folder; an interrupted download continues there.
        address: Another place that has them; None is the published one.
        progress: Told after each block of bytes.

    Raises:
        InputError: There is no such file at the address.
        DownloadError: The connection broke for good; the same call continues.
        CorruptFileError: A file in the folder, or the bytes that came, are not those that were published.
        DiskFullError: The disk has no room.
    """
    require_writable(to / weights.file)
    file = HubFile(weights.file, weights.size, f"sha256:{weights.sha256}")
    there = is_there(to, file)
    if not there:
        for got in fetch_file(address or WebAddress(weights.address), weights.commit, file, to):
            progress(FetchProgress(file.path, got, file.size))
    return FetchedWeights(
        str(to / file.path), weights.name, weights.sha256, weights.licence, weights.copyright, not there
    )
