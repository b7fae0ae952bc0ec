"""Files of JSON lines that processes append to and that a kill may cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import parse_json


@contextmanager
def open_lines(path: Path) -> Iterator[IO[bytes]]:
    """A file to append lines to; a line that was cut off is ended first."""
    with path.open("a+b") as file:
        if file.tell() and not _ends_line(file):
            file.write(b"\n")
        yield file


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a file, one per line; a line that a kill or a full disk cut off is passed over."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                values = parse_json(line, path)
            except CorruptFileError:
                continue
            if isinstance(values, dict):
                yield values


def _ends_line(file: IO[bytes]) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"
