"""Files that are whole or absent: written next to their place, then renamed."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gee_pipeline.errors import CorruptFileError, DiskFullError, InputError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_path(path: Path, needed: int = 0) -> Iterator[Path]:
    """A temporary path next to `path` that takes its place when the block ends without error.

    Args:
        path: Where the file shall stand; its folder is made.
        needed: Bytes the file will take, for the message on a full disk.

    Raises:
        DiskFullError: The disk has no room; nothing is left behind.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with room_for(path, needed):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def room_for(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn the operating system's "no space left" into an error that says what to do.

    Args:
        path: The file that is written.
        needed: Bytes it will take, for the message.

    Raises:
        DiskFullError: The disk has no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise _disk_full(path, needed) from error
        raise


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file atomically, and durably: it is on the disk before it has its name.

    Raises:
        DiskFullError: The disk has no room; an older file of that name stays as it was.
    """
    with atomic_path(path, len(content)) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, values: Any) -> None:
    """Write JSON values as readable UTF-8, atomically."""
    write_bytes(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def require_writable(path: Path) -> None:
    """Make a file's folder and refuse a place that cannot be written to, before hours of work.

    Args:
        path: Where a file shall stand later.

    Raises:
        InputError: No file can stand there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(
            f"No file can be written to {path}: {error.strerror}. Choose another --out."
        ) from error


def read_json(path: Path) -> Any:
    """The values of a JSON file.

    Raises:
        CorruptFileError: The file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorruptFileError(f"{path} is not readable as JSON: {error}. Restore or delete it.") from error


def size_text(size: float) -> str:
    """A number of bytes for a reader, for example `3.0 MiB`."""
    power = min((int(size).bit_length() - 1) // 10, 4)
    if power < 1:
        return f"{size:,.0f} bytes"
    return f"{size / 1024**power:,.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


def _disk_full(path: Path, needed: int) -> DiskFullError:
    size = f"{size_text(needed)} are needed" if needed else "more space is needed"
    return DiskFullError(
        f"The disk that holds {path.parent} is full: {size} for {path.name}. "
        "Free some space and run the same command again; finished cells are kept."
    )
