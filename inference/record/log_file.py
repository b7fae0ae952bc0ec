"""The log of a run: lines that one process at a time appends to a file of bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Final

from filelock import FileLock, Timeout

from gee_pipeline.errors import PlaceError
from gee_pipeline.files import require_no_pipe

LOG_FILE: Final = "cropmap.log"
"""Name of the log in a run folder. Nothing is made of it, and nothing certifies it."""

OLD_LOG_FILE: Final = f"{LOG_FILE}.1"
"""Where its lines are once it has become too large; what was there before is gone."""

_LOCK_FILE: Final = f".{LOG_FILE}.lock"

LARGEST: Final = 5 * 2**20
"""Most bytes of the log: 5 MiB, weeks of a run."""


class LogFile:
    """The open log of a folder. The operating system has each line before the next: a kill loses none.

    Raises:
        PlaceError: Another process writes it.
        CorruptFileError: A pipe or a device stands there.
        OSError: It cannot be written.
    """

    def __init__(self, folder: Path, *, largest: int = LARGEST) -> None:
        self._path, self._largest = folder / LOG_FILE, largest
        self._lock = FileLock(folder / _LOCK_FILE, timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise PlaceError(f"another command writes {self._path}") from error
        try:
            self._file = self._open()
            if self._file.tell():
                self._file.write(b"\n")  # also after a line that a full disk cut off
        except BaseException:
            self._lock.release()
            raise

    def write(self, text: str) -> None:
        """Append a line, or several.

        Raises:
            OSError: It cannot be written.
        """
        line = f"{text}\n".encode("utf-8", "backslashreplace")
        if self._file.tell() + len(line) > self._largest:
            self._file.close()
            self._path.replace(self._path.with_name(OLD_LOG_FILE))
            self._file = self._open()
        self._file.write(line)

    def close(self) -> None:
        """Let others write it."""
        self._file.close()
        self._lock.release()

    def _open(self) -> IO[bytes]:
        require_no_pipe(self._path)
        return self._path.open("ab", buffering=0)
