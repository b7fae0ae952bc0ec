"""Files of JSON lines that processes append to and that a kill may cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import parse_json, require_no_pipe

LONGEST_LINE: Final = 2**20
"""Most bytes of a line: 1 MiB, far above any of ours."""


@contextmanager
def open_lines(path: Path) -> Iterator[IO[bytes]]:
    """A file to append lines to; a line that was cut off is ended first.

    Raises:
        CorruptFileError: It is a pipe or a device.
    """
    require_no_pipe(path)
    with path.open("a+b") as file:
        if file.tell() and not _ends_line(file):
            file.write(b"\n")
        yield file


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a file, one per line; a line that a kill or a full disk cut off is passed over.

    Raises:
        CorruptFileError: It is a pipe or a device.
    """
    if not path.exists():
        return
    require_no_pipe(path)
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:  # a piece of what is no line of ours, such as a hole of gigabytes
                continue
            try:
                values = parse_json(line, path)
            except CorruptFileError:
                continue
            if isinstance(values, dict):
                yield values


def _ends_line(file: IO[bytes]) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"
