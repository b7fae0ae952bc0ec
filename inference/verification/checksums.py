"""`SHA256SUMS`: the digest of every file in a folder, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import file_digest, read_limited, write_bytes

SUMS: Final = "SHA256SUMS"
"""Name of the list, beside the files and folders that it names."""


@dataclass(frozen=True)
class Compared:
    """The files of a folder against its list."""

    whole: tuple[str, ...]
    """Files with the digest of the list."""
    damaged: tuple[str, ...]
    """Files with another one."""
    missing: tuple[str, ...]
    """Files of the list that are not there."""
    unlisted: tuple[str, ...]
    """Files that the list does not name."""
    listed: Mapping[str, str]
    """Digests of the list by the name of the file."""


def write_checksums(folder: Path) -> str:
    """Write the list of all files in a folder and the folders in it, in order of their names.

    Returns:
        The SHA-256 of the list: it stands for everything in the folder.

    Raises:
        DiskFullError: The disk has no room.
    """
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in _names(folder)]
    content = "".join(lines).encode()
    write_bytes(folder / SUMS, content)
    return hashlib.sha256(content).hexdigest()


def compare_checksums(folder: Path) -> Compared:
    """The files of a folder against the list in it.

    Raises:
        InputError: There is no list.
        CorruptFileError: It cannot be read as one.
    """
    listed, there = _read(folder / SUMS), set(_names(folder))
    found = {name: file_digest(folder / name) for name in listed if name in there}
    return Compared(
        tuple(name for name in found if found[name] == listed[name]),
        tuple(name for name in found if found[name] != listed[name]),
        tuple(name for name in listed if name not in there),
        tuple(sorted(there - set(listed))),
        listed,
    )


def _names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path != folder / SUMS)
    return sorted(path.relative_to(folder).as_posix() for path in files)


def _read(path: Path) -> dict[str, str]:
    listed = {}
    try:
        for line in read_limited(path).decode().splitlines():
            digest, name = line.split("  ", 1)
            inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
            if len(bytes.fromhex(digest)) != hashlib.sha256().digest_size or not inside:
                raise ValueError
            listed[name] = digest.lower()
    except ValueError as error:  # also bytes that are not UTF-8
        raise CorruptFileError(
            f"{path} is damaged: each line is a SHA-256 and the name of a file. Restore it."
        ) from error
    return listed
