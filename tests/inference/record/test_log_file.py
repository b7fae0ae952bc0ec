"""The log of a run: whole lines, one writer, a bounded size."""

import os
import sys
from pathlib import Path

import pytest

from gee_pipeline.errors import CorruptFileError, PlaceError
from inference.record.log_file import LOG_FILE, OLD_LOG_FILE, LogFile


def test_lines_are_there_before_the_log_is_closed(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.write("one")
    log.write("two\nthree")
    assert (tmp_path / LOG_FILE).read_text(encoding="utf-8") == "one\ntwo\nthree\n"
    log.close()


def test_what_follows_a_line_that_was_cut_off_begins_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_text("cut o", encoding="utf-8")
    log = LogFile(tmp_path)
    log.write("again")
    log.close()
    assert (tmp_path / LOG_FILE).read_text(encoding="utf-8").splitlines() == ["cut o", "again"]


def test_a_log_that_becomes_too_large_moves_aside_and_one_old_file_is_kept(tmp_path: Path) -> None:
    log = LogFile(tmp_path, largest=100)
    for number in range(30):
        log.write(f"line {number:04d}")  # 10 bytes each
    log.close()
    new, old = (
        (tmp_path / name).read_text(encoding="utf-8").splitlines() for name in (LOG_FILE, OLD_LOG_FILE)
    )
    assert old + new == [f"line {number:04d}" for number in range(10, 30)]
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == {LOG_FILE, OLD_LOG_FILE}


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.write("first")
    with pytest.raises(PlaceError, match="another command writes"):
        LogFile(tmp_path)
    log.close()
    LogFile(tmp_path).close()
    assert (tmp_path / LOG_FILE).read_text(encoding="utf-8").startswith("first\n")


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.write("field-\udcff.geojson")
    log.close()
    assert (tmp_path / LOG_FILE).read_text(encoding="utf-8") == "field-\\udcff.geojson\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among files")
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOG_FILE)
    with pytest.raises(CorruptFileError, match="a pipe"):
        LogFile(tmp_path)
    (tmp_path / LOG_FILE).unlink()
    LogFile(tmp_path).close()
