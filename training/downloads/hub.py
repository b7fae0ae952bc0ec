"""A dataset on the Hugging Face Hub: which files a version has, and their bytes from any position on."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from gee_pipeline.errors import CropmapError, IncompleteRunError, InputError

T = TypeVar("T")

TIMEOUT: Final = 30.0
"""Seconds without a byte after which a connection counts as broken."""

PASSING: Final = (408, 429, 500, 502, 503, 504)
"""Answers after which it is worth to ask again."""

LONGEST_WAIT: Final = 30.0
"""Seconds between two attempts, at most."""


class DownloadError(IncompleteRunError):
    """A file could not be fetched to its end; the same command continues where it stopped."""


@dataclass(frozen=True)
class HubFile:
    """One file of a version of a dataset."""

    path: str
    """Within the dataset, with forward slashes."""
    size: int
    """Bytes."""
    checksum: str
    """`sha256:` and 64 hex digits, or `git-sha1:` and 40 for a file outside the large file store."""

    def hasher(self) -> hashlib._Hash:
        """What the file's bytes are fed to, in order, to get its checksum."""
        if self.checksum.startswith("sha256:"):
            return hashlib.sha256()
        # Git hashes a header before the content; it stands for identity here, not for security.
        return hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)

    def fits(self, hasher: hashlib._Hash) -> bool:
        """Whether the bytes that were fed to `hasher` are those of the file."""
        return self.checksum.split(":")[1] == hasher.hexdigest()


@dataclass(frozen=True)
class Version:
    """A dataset at one commit; its files never change."""

    dataset: str
    """Owner and name."""
    commit: str
    """Forty hex digits."""
    files: tuple[HubFile, ...]
    """In the order of their paths."""
    licence: str = ""
    """As the dataset's page names it; empty where it names none."""


class Source(Protocol):
    """Where files of a version can be read from any position on."""

    def read(self, commit: str, file: HubFile, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from a position to its end.

        Args:
            commit: Of the version.
            file: One of its files.
            start: Bytes to leave out at the beginning.
        """


def default_endpoint() -> str:
    """Where the Hub is: `HF_ENDPOINT`, as for every program that uses it, or huggingface.co."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


@dataclass(frozen=True)
class Hub:
    """A dataset on the Hub; a token that was stored by `hf auth login` or is in HF_TOKEN is sent along."""

    dataset: str
    """Owner and name."""
    endpoint: str = field(default_factory=default_endpoint)
    """URL without a slash at the end."""
    attempts: int = 5
    """How often in a row a connection may fail without a byte having come."""
    wait: float = 1.0
    """Seconds before the second attempt; it doubles from one to the next."""

    def version(self, revision: str = "main") -> Version:
        """What the dataset is now.

        Args:
            revision: Branch, tag or commit.

        Raises:
            InputError: There is no such dataset or version, or huggingface_hub is not installed.
            DownloadError: The Hub does not answer.
        """
        _require_library()
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self.endpoint)
        with self._in_our_words(f"version {revision}"):
            info = self._patiently(
                lambda: api.dataset_info(
                    self.dataset, revision=revision, files_metadata=True, timeout=TIMEOUT
                )
            )
        files = [
            HubFile(
                sibling.rfilename,
                sibling.size or 0,
                f"sha256:{sibling.lfs.sha256}" if sibling.lfs else f"git-sha1:{sibling.blob_id}",
            )
            for sibling in info.siblings or []
        ]
        ordered = tuple(sorted(files, key=lambda file: file.path))
        return Version(self.dataset, str(info.sha), ordered, _licence(info.card_data, info.tags))

    def read(self, commit: str, file: HubFile, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from a position to its end; a broken connection is resumed.

        Args:
            commit: Of the version.
            file: One of its files.
            start: Bytes to leave out at the beginning.

        Raises:
            InputError: The version does not have the file.
            DownloadError: The connection broke too often.
        """
        _require_library()
        import httpx2

        position, failures = start, 0
        while position < file.size:
            with self._in_our_words(file.path):
                try:
                    for block in self._stream(commit, file.path, position):
                        position, failures = position + len(block), 0
                        yield block
                    if position < file.size:
                        raise httpx2.RemoteProtocolError("the connection was closed early")
                except httpx2.TransportError:
                    failures += 1
                    if failures >= self.attempts:
                        raise
                    time.sleep(self._pause(failures))

    def _stream(self, commit: str, path: str, start: int) -> Iterator[bytes]:
        """The bytes of one answer; what a server sends that cannot begin in the middle is passed over."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # imported there, not listed
            build_hf_headers,
            hf_raise_for_status,
            http_stream_backoff,
        )

        url = hf_hub_url(self.dataset, path, repo_type="dataset", revision=commit, endpoint=self.endpoint)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={start}-"}
        with http_stream_backoff(
            "GET",
            url,
            headers=headers,
            timeout=TIMEOUT,
            max_retries=self.attempts - 1,
            base_wait_time=self.wait,
            retry_on_exceptions=(),
            retry_on_status_codes=PASSING,
        ) as answer:
            hf_raise_for_status(answer)
            skip = 0 if answer.status_code == 206 else start
            for block in answer.iter_bytes():
                rest, skip = block[skip:], max(0, skip - len(block))
                if rest:
                    yield rest

    def _patiently(self, ask: Callable[[], T]) -> T:
        """The answer to a small question, asked again after failures that pass."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        for attempt in range(1, self.attempts):
            try:
                return ask()
            except HfHubHTTPError as error:
                if _status(error) not in PASSING:
                    raise
            except httpx2.TransportError:
                pass
            time.sleep(self._pause(attempt))
        return ask()

    def _pause(self, failures: int) -> float:
        return min(self.wait * 2.0 ** (failures - 1), LONGEST_WAIT)

    @contextmanager
    def _in_our_words(self, what: str) -> Iterator[None]:
        """Turn what the Hub's library raises into an error that says what to do."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        try:
            yield
        except (HfHubHTTPError, OfflineModeIsEnabled, httpx2.HTTPError) as error:
            raise self._worded(error, what) from error

    def _worded(self, error: Exception, what: str) -> CropmapError:
        from huggingface_hub import errors

        place = f"the dataset {self.dataset} at {self.endpoint}"
        if isinstance(error, errors.OfflineModeIsEnabled):
            return InputError(f"HF_HUB_OFFLINE forbids to fetch from {place}. Unset it.")
        if isinstance(error, errors.GatedRepoError):
            return InputError(
                f"Access to {place} has conditions. Accept them on its page and log in with 'hf auth login'."
            )
        if isinstance(error, errors.RepositoryNotFoundError):
            return InputError(
                f"There is no dataset {self.dataset} at {self.endpoint}, or it is private. Look at "
                "HF_ENDPOINT, or log in with 'hf auth login' if you have access."
            )
        if isinstance(error, (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError)):
            return InputError(f"There is no {what} in {place} any longer.")
        if (status := _status(error)) is not None:
            return DownloadError(
                f"{self.endpoint} answered {status} for {what}. The same command continues; try it later."
            )
        return DownloadError(
            f"{self.endpoint} cannot be reached for {what} ({str(error) or type(error).__name__}). Look at "
            "the network and HTTPS_PROXY, or name a mirror in HF_ENDPOINT; the same command continues."
        )


def _require_library() -> None:
    """Fail without the library that knows the Hub, which only this part of cropmap needs."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError(
            "Published data sets come from the Hugging Face Hub, which needs the package huggingface_hub. "
            "Install it with: pip install 'cropmap[training]'"
        )


def _licence(card: Any, tags: Any) -> str:
    """The licences that a page names in its head or, where the head was not read, in its tags."""
    named = card.get("license") if card is not None else None
    if not named:
        named = [tag.partition(":")[2] for tag in tags or () if str(tag).startswith("license:")]
    return ", ".join(named) if isinstance(named, list) else str(named or "")


def _status(error: Exception) -> int | None:
    """Number of an answer that tells of a failure, or None where there was no answer."""
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status
