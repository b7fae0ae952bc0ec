"""Exported files in a bucket, a Drive or a folder, and the values of one; files brought to a bucket."""

from __future__ import annotations

import base64
import hashlib
import importlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

import fsspec  # type: ignore[import-untyped]
import numpy as np
import requests
import tenacity
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.client.faults import Fault
from gee_pipeline.earthengine.composites.blocks import Block, cell_of_file
from gee_pipeline.earthengine.composites.fetch import Expected, read_answer
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.errors import AccessError, CorruptFileError, InputError, SceneReadError
from gee_pipeline.store import CROPLAND_BAND

DRIVE_URL_VARIABLE: Final = "CROPMAP_DRIVE_URL"
"""Environment variable with the address of the Drive API; Google's own unless it is set."""

_DRIVE_URL: Final = "https://www.googleapis.com"
_FOLDER_TYPE: Final = "application/vnd.google-apps.folder"
_PAGE: Final = 1_000
"""Files in one answer to a listing; Drive's own limit."""

_TIMEOUT: Final = (30, 300)
"""Seconds to connect, and between two parts of an answer."""

_ATTEMPTS: Final = 5
"""Times a request to Drive is made while its failures may pass."""

_FETCHES: Final = 3
"""Times a file is fetched whose bytes are damaged on the way."""

_PASSING = (429, 500, 502, 503, 504)
_BROKEN_OFF = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


@dataclass(frozen=True)
class StoredFile:
    """A file of an export."""

    name: str
    """File name without folder."""
    key: str
    """Where it is: a path, or an id of the Drive."""
    size: int
    """Bytes."""
    md5: str | None = field(default=None, compare=False)
    """MD5 of its content in hex digits, where the storage knows it."""


class Storage(Protocol):
    """A place with exported files."""

    def files(self, prefix: str) -> Iterator[StoredFile]:
        """The files whose names begin with a prefix.

        Raises:
            AccessError: The place is not there or may not be read.
        """

    def content(self, file: StoredFile) -> bytes:
        """All bytes of a file.

        Raises:
            SceneReadError: It cannot be read, also after retries.
        """


@dataclass(frozen=True)
class FolderStorage:
    """Files in a bucket, in a folder of this machine, or wherever fsspec reaches."""

    root: str
    """Folder, as its file system calls it."""
    system: Any
    """An fsspec file system."""

    def files(self, prefix: str) -> Iterator[StoredFile]:
        """The files whose names begin with a prefix, also in folders below.

        Raises:
            AccessError: The place is not there or may not be read.
        """
        try:
            found = self.system.find(self.root, detail=True, **self._hint(prefix))
        except Exception as error:  # each file system has its own kinds of error
            raise _no_access(self.root, error) from error
        for key, about in sorted(found.items()):
            name = PurePosixPath(key).name
            if name.startswith(prefix):
                yield StoredFile(name, key, int(about.get("size") or 0), _md5(about.get("md5Hash")))

    def content(self, file: StoredFile) -> bytes:
        """All bytes of a file.

        Raises:
            SceneReadError: It cannot be read, also after the file system's own retries.
        """
        try:
            return bytes(self.system.cat_file(file.key))
        except Exception as error:  # each file system has its own kinds of error
            raise SceneReadError(f"The file {file.key} cannot be read: {_words(error)}.") from error

    def put(self, path: Path, name: str) -> bool:
        """Bring a file of this machine there, unless it is there already; whether it was brought.

        Args:
            path: The file.
            name: Its name there, below the root.

        Raises:
            AccessError: The place may not be written to.
        """
        key = f"{self.root}/{name}"
        try:
            if self._is_there(key, path):
                return False
            self.system.put_file(str(path), key, consistency="md5")
        except Exception as error:  # each file system has its own kinds of error
            raise AccessError(
                f"{path.name} cannot be brought to gs://{key}: {_words(error)}. Check the name in --bucket, "
                "and that these credentials may write there (role Storage Object User)."
            ) from error
        return True

    def remove(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises:
            AccessError: It may not be deleted.
        """
        key = f"{self.root}/{name}"
        try:
            self.system.rm_file(key)
        except FileNotFoundError:
            return
        except Exception as error:  # each file system has its own kinds of error
            raise AccessError(f"gs://{key} cannot be deleted: {_words(error)}.") from error

    def _is_there(self, key: str, path: Path) -> bool:
        """Whether a file lies there whole."""
        try:
            about = self.system.info(key)
        except FileNotFoundError:
            return False
        if int(about.get("size") or 0) != path.stat().st_size or not about.get("md5Hash"):
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == _md5(about["md5Hash"])

    def _hint(self, prefix: str) -> dict[str, str]:
        """What lets a bucket list only what is wanted; a folder of this machine knows no prefixes."""
        return {"prefix": prefix} if "gs" in self.system.protocol else {}


@dataclass(frozen=True)
class DriveStorage:
    """Files in a folder of the Drive that belongs to the credentials."""

    folder: str
    """Name of the folder, wherever it stands; all folders of that name are looked through."""
    web: Any
    """A `requests` session that is authorised."""
    url: str = field(default_factory=lambda: os.environ.get(DRIVE_URL_VARIABLE) or _DRIVE_URL)
    """Address of the Drive API."""

    def files(self, prefix: str) -> Iterator[StoredFile]:
        """The files whose names begin with a prefix.

        Raises:
            AccessError: There is no such folder, or the Drive may not be read.
        """
        quoted = _quoted(self.folder)
        folders = list(self._search(f"mimeType = '{_FOLDER_TYPE}' and name = {quoted} and trashed = false"))
        if not folders:
            raise AccessError(
                f"The Drive of these credentials has no folder {self.folder!r}. A service account has a "
                "Drive of its own; name the folder and the credentials the tasks were started with."
            )
        for folder in folders:
            # All names: a search by `name contains` takes words apart in ways that are not documented.
            inside = f"'{folder['id']}' in parents and mimeType != '{_FOLDER_TYPE}' and trashed = false"
            for found in self._search(inside):
                if str(found["name"]).startswith(prefix):
                    size, md5 = int(found.get("size") or 0), found.get("md5Checksum")
                    yield StoredFile(str(found["name"]), str(found["id"]), size, md5)

    def content(self, file: StoredFile) -> bytes:
        """All bytes of a file.

        Raises:
            SceneReadError: It cannot be read, also after retries.
        """
        try:
            return self._get(f"/{file.key}", {"alt": "media"}).content
        except (requests.RequestException, GoogleAuthError) as error:
            raise SceneReadError(f"The Drive file {file.name} cannot be read: {_words(error)}.") from error

    def _search(self, query: str) -> Iterator[dict[str, Any]]:
        """Files that a query finds, page by page."""
        wanted = {
            "q": query,
            "pageSize": str(_PAGE),
            "fields": "nextPageToken, files(id, name, size, md5Checksum)",
        }
        while True:
            try:
                answer = self._get("", wanted).json()
            except (requests.RequestException, GoogleAuthError) as error:
                raise _no_access(f"drive:{self.folder}", error) from error
            yield from answer.get("files", [])
            if not (token := answer.get("nextPageToken")):
                return
            wanted["pageToken"] = token

    @tenacity.retry(
        retry=tenacity.retry_if_exception(lambda error: _passes(error)),
        wait=tenacity.wait_random_exponential(multiplier=1, max=60),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )
    def _get(self, path: str, wanted: Mapping[str, str]) -> requests.Response:
        address = f"{self.url.rstrip('/')}/drive/v3/files{path}"
        answer: requests.Response = self.web.get(address, params=dict(wanted), timeout=_TIMEOUT)
        answer.raise_for_status()
        return answer


def open_storage(destination: Destination, credentials: Credentials, project: str | None = None) -> Storage:
    """The place where tasks wrote their files.

    Args:
        destination: Where they had to write.
        credentials: Google credentials that may read there.
        project: Google Cloud project that the requests are counted for.

    Raises:
        InputError: The package that reads Cloud Storage is missing.
    """
    if destination.kind == "drive":
        web: Any = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        return DriveStorage(destination.place, web)
    return open_bucket(
        destination,
        credentials,
        project,
        otherwise="Or download the files and name their folder with --downloads.",
    )


def open_bucket(
    destination: Destination, credentials: Credentials, project: str | None = None, *, otherwise: str
) -> FolderStorage:
    """A place in a bucket.

    Args:
        destination: Bucket and prefix.
        credentials: Google credentials that may read, or write, there.
        project: Google Cloud project that the requests are counted for.
        otherwise: What to do without the package, one sentence.

    Raises:
        InputError: The package that reads Cloud Storage is missing.
    """
    try:
        # The class itself: what `fsspec.filesystem` gives asks Google for the kind of each bucket first.
        core = importlib.import_module("gcsfs.core")
    except ImportError as error:
        raise InputError(
            "Files in Cloud Storage are read and written with the package gcsfs, which is missing. Type: "
            f"pip install 'cropmap[gcs]'. {otherwise}"
        ) from error
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs with a traceback what it raises too
    system = core.GCSFileSystem(
        token=credentials, project=project, skip_instance_cache=True, use_listings_cache=False
    )
    return FolderStorage(f"{destination.place}/{destination.prefix}".rstrip("/"), system)


def open_places(places: str) -> Storage:
    """A folder into which somebody downloaded the files, or any address that fsspec knows.

    Args:
        places: Path of a folder, or an address such as `s3://bucket/folder`.

    Raises:
        InputError: There is no such folder.
    """
    try:
        system, root = fsspec.core.url_to_fs(places)
        there = system.isdir(root)
    except Exception as error:  # each file system has its own kinds of error
        raise InputError(f"The folder {places} cannot be read: {_words(error)}.") from error
    if not there:
        raise InputError(
            f"--downloads takes the folder into which the exported files were put, {places} is not a folder."
        )
    return FolderStorage(root, system)


def files_by_cell(
    storage: Storage, prefix: str, cell_size: int
) -> dict[tuple[int, int], list[tuple[Block, StoredFile]]]:
    """The exported files of a run by row and column of their cell; of the smallest block first.

    A cell has several where a task was repeated or its block was split; any of them will do.

    Args:
        storage: Where they lie.
        prefix: How their names begin.
        cell_size: Pixels along one side of a cell.

    Raises:
        AccessError: The place is not there or may not be read.
    """
    found: dict[tuple[int, int], list[tuple[Block, StoredFile]]] = {}
    for file in storage.files(prefix):
        if place := cell_of_file(file.name, cell_size):
            block, cell = place
            found.setdefault(cell, []).append((block, file))
    for files in found.values():
        files.sort(key=lambda entry: entry[0].rows * entry[0].cols)
    return found


def fetch(storage: Storage, file: StoredFile) -> bytes:
    """All bytes of a file, as the storage keeps them: what was damaged on the way is fetched again.

    Args:
        storage: Where it lies.
        file: What the storage says of it.

    Raises:
        SceneReadError: It cannot be read, or did not come whole in three tries.
    """
    fault = ""
    for _ in range(_FETCHES):
        content = storage.content(file)
        if not (fault := _fault_of_bytes(content, file)):
            return content
    raise SceneReadError(f"The file {file.name} cannot be read whole in {_FETCHES} tries: {fault}.")


def read_export(
    content: bytes,
    file: StoredFile,
    geobox: GeoBox,
    names: Sequence[str],
    *,
    masked: bool = False,
    dtype: str = "int16",
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The values of an exported file, after all that can be checked was found right.

    Args:
        content: Its bytes, whole.
        file: Its name, for messages.
        geobox: The pixels it must have.
        names: The bands it must have, in order.
        masked: Whether the band `cropland` follows.
        dtype: Type that its values must have.

    Returns:
        Values `(band, y, x)`, and the cropland mask `(y, x)` where the file has one.

    Raises:
        CorruptFileError: It is damaged, or not the export of these pixels and bands.
    """
    bands = (*names, CROPLAND_BAND) if masked else tuple(names)
    try:
        values = read_answer(content, geobox, Expected(bands, dtype))
    except Fault as fault:
        raise _damaged(file, fault.message) from fault
    return (values[:-1], values[-1] == 1) if masked else (values, None)


def _fault_of_bytes(content: bytes, file: StoredFile) -> str:
    """What is wrong with bytes that came; empty where they are what the storage keeps."""
    if len(content) != file.size:
        return f"{len(content):,} of {file.size:,} bytes came"
    if file.md5 and hashlib.md5(content, usedforsecurity=False).hexdigest() != file.md5:
        return "the bytes that came do not have the MD5 that the storage keeps"
    return ""


def _damaged(file: StoredFile, reason: str) -> CorruptFileError:
    return CorruptFileError(f"The exported file {file.name} is damaged or not of this run: {reason}.")


def _md5(encoded: str | None) -> str | None:
    """MD5 as Cloud Storage keeps it, in base 64, as hex digits; composed objects have none."""
    return base64.b64decode(encoded).hex() if encoded else None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _passes(error: BaseException) -> bool:
    """Whether a failure of a request may pass by itself."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in _PASSING
    return isinstance(error, _BROKEN_OFF)


def _words(error: BaseException) -> str:
    """What an error says, in one line; the answer of a server where there is one."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        try:
            return str(error.response.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            pass
    return " ".join(str(error).split()) or type(error).__name__


def _no_access(place: str, error: BaseException) -> AccessError:
    return AccessError(
        f"The exported files in {place} cannot be listed: {_words(error)}. Check the name in --to, and that "
        "these credentials may read there; or download the files and name their folder with --downloads."
    )
