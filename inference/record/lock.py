"""One process at a time works in a run folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import read_json, write_json

LOCK_FILE: Final = "run.lock"
OWNER_FILE: Final = "run.owner.json"

_PATIENCE = 1.0
"""Seconds to wait for the lock: `is_running` holds it for a moment."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder; the operating system lets go of it when the process dies, however it does.

    Args:
        folder: An existing run folder.

    Raises:
        InputError: Another process works in it, or it cannot be written to.
    """
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        raise InputError(
            f"One process at a time works in a run folder, and {_owner(folder)} works in {folder}. Wait for "
            f"it ('cropmap status {folder}' says how long), end it, or choose another --out."
        ) from error
    except PermissionError as error:
        raise InputError(f"The run folder {folder} cannot be written to. Choose another --out.") from error
    try:
        write_json(folder / OWNER_FILE, _myself())
        yield
    finally:
        (folder / OWNER_FILE).unlink(missing_ok=True)
        lock.release()


def is_running(folder: Path) -> bool:
    """Whether a process works in a run folder now."""
    if not (folder / OWNER_FILE).exists():
        return False
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except PermissionError:
        return False
    lock.release()
    return False


def _myself() -> dict[str, str | int]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "process": os.getpid(), "since": now}


def _owner(folder: Path) -> str:
    try:
        owner = read_json(folder / OWNER_FILE)
        return f"process {owner['process']} on {owner['host']} (since {owner['since']})"
    except (InputError, CorruptFileError, KeyError, TypeError):
        return "another process"
