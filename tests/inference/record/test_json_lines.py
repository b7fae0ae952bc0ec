"""Files of JSON lines: what a kill, a full disk or a device makes of them."""

import os
import time
from pathlib import Path

import pytest

from gee_pipeline.errors import CorruptFileError
from inference.record.json_lines import LONGEST_LINE, open_lines, read_lines


def test_lines_that_are_no_objects_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n\xff\n[1]\n' + b"x" * 3 * LONGEST_LINE + b'\n{"b": 2}\n{"c"')
    assert list(read_lines(path)) == [{"a": 1}, {"b": 2}]
    with open_lines(path) as file:
        file.write(b'{"d": 4}\n')
    assert list(read_lines(path)) == [{"a": 1}, {"b": 2}, {"d": 4}]


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "a.jsonl")) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["pipe", "device"])
def test_what_may_never_begin_or_end_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    with pytest.raises(CorruptFileError, match="a pipe or a device"):
        list(read_lines(tmp_path / name))
    with pytest.raises(CorruptFileError, match="a pipe or a device"), open_lines(tmp_path / name):
        pass


@pytest.mark.slow
def test_a_hole_of_gigabytes_is_passed_over_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n')
    os.truncate(path, 2**31)  # holes: no byte of the disk
    started = time.monotonic()
    assert list(read_lines(path)) == [{"a": 1}]
    assert time.monotonic() - started < 30  # a second; parsed piece by piece it took minutes
