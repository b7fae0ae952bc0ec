"""As much of Drive v3 as finding and reading exported files takes."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, Final

from tests.support.ee_emulator.faults import Refusal

FOLDER: Final = "application/vnd.google-apps.folder"
ROOT: Final = "root"

_AND: Final = re.compile(r" and (?=(?:[^']*'[^']*')*[^']*$)")
"""Between terms, not within quotes."""

_TERMS: Final = (
    (re.compile(r"'(?P<value>[^']*)' in parents"), lambda file, value: file.parent == value),
    (re.compile(r"name = '(?P<value>[^']*)'"), lambda file, value: file.name == value),
    (re.compile(r"name contains '(?P<value>[^']*)'"), lambda file, value: file.name.startswith(value)),
    (re.compile(r"mimeType = '(?P<value>[^']*)'"), lambda file, value: file.mime == value),
    (re.compile(r"mimeType != '(?P<value>[^']*)'"), lambda file, value: file.mime != value),
    (re.compile(r"trashed = (?P<value>false)"), lambda file, value: True),
)


@dataclass(frozen=True)
class DriveFile:
    """A file or a folder."""

    id: str
    name: str
    parent: str
    mime: str
    data: bytes
    created: str

    def resource(self) -> dict[str, Any]:
        """As Drive tells it."""
        told = {
            "kind": "drive#file",
            "id": self.id,
            "name": self.name,
            "mimeType": self.mime,
            "parents": [self.parent],
            "trashed": False,
            "createdTime": self.created,
            "modifiedTime": self.created,
        }
        if self.mime != FOLDER:
            told |= {"size": str(len(self.data)), "md5Checksum": hashlib.md5(self.data).hexdigest()}
        return told


class Drive:
    """Files by id; several may have the same name, as in Drive. Safe in threads."""

    def __init__(self) -> None:
        self._files: dict[str, DriveFile] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def put(self, folder: str | None, name: str, data: bytes) -> str:
        """Write a file into the newest folder of this name, made in the root if there is none; its id."""
        parent = ROOT if folder is None else self._folder(folder)
        return self._add(name, parent, "image/tiff", data)

    def make_folder(self, name: str) -> str:
        """One more folder in the root, even when there is one of this name; its id."""
        return self._add(name, ROOT, FOLDER, b"")

    def names(self, folder: str | None = None) -> list[str]:
        """Sorted names of the files (of the files in the folders of this name)."""
        parents = {f.id for f in self._files.values() if f.mime == FOLDER and f.name == folder}
        files = [f for f in self._files.values() if f.mime != FOLDER]
        return sorted(f.name for f in files if folder is None or f.parent in parents)

    def get(self, name: str) -> DriveFile:
        """File with this id."""
        if name not in self._files:
            raise Refusal(404, f"File not found: {name}.")
        return self._files[name]

    def delete(self, name: str) -> None:
        """Remove the file with this id."""
        self.get(name)
        with self._lock:
            del self._files[name]

    def listing(self, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of `files.list`, newest first: q, pageSize and pageToken."""
        terms = [_term(part) for part in _AND.split(query.get("q", "")) if part.strip()]
        found = [f for f in reversed(self._files.values()) if all(holds(f) for holds in terms)]
        first, size = int(query.get("pageToken", 0)), min(int(query.get("pageSize", 100)), 1000)
        page = found[first : first + size]
        answer: dict[str, Any] = {"kind": "drive#fileList", "files": [f.resource() for f in page]}
        if first + size < len(found):
            answer["nextPageToken"] = str(first + size)
        return answer

    def _folder(self, name: str) -> str:
        for file in reversed(self._files.values()):
            if file.mime == FOLDER and file.name == name:
                return file.id
        return self.make_folder(name)

    def _add(self, name: str, parent: str, mime: str, data: bytes) -> str:
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self._lock:
            key = f"drive-file-{next(self._numbers):04d}"
            self._files[key] = DriveFile(key, name, parent, mime, data, created)
        return key


def _term(text: str) -> Callable[[DriveFile], bool]:
    spaced = re.sub(r"\s*(!?=)\s*", r" \1 ", text.strip())
    for pattern, test in _TERMS:
        if match := pattern.fullmatch(spaced):
            return partial(test, value=match["value"])
    raise Refusal(400, f"The emulator does not know this part of a query for files: {text}")
