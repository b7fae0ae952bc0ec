import errno
import os
from pathlib import Path

import pytest

from gee_pipeline.errors import CorruptFileError, DiskFullError, InputError
from gee_pipeline.files import atomic_path, read_json, require_writable, size_text, write_bytes, write_json


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_bytes(tmp_path / "deep" / "a.bin", b"abc")
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"abc"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.bin"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def fail() -> None:
        with atomic_path(path) as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_space_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match=r"3\.0 MiB are needed for a\.bin.*same command"):
        write_bytes(tmp_path / "a.bin", bytes(3 * 2**20))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the /dev/full device of Linux")
def test_a_device_without_space_is_a_full_disk(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.bin", 4096) as part:
            part.symlink_to("/dev/full")
            with part.open("wb") as file:
                file.write(b"x" * 4096)

    with pytest.raises(DiskFullError, match="full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_file_is_refused_before_the_work(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "a.bin")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"a\.bin: .*\. Choose another --out"):
        require_writable(tmp_path / "file" / "a.bin")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (1536, "1.5 KiB"),
        (3 * 2**20, "3.0 MiB"),
        (2**50, "1,024.0 TiB"),
    ],
)
def test_sizes_are_told_in_units(size: int, text: str) -> None:
    assert size_text(size) == text


def test_json_comes_back_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"name": "Föhr", "n": [1, 2]})
    assert read_json(path) == {"name": "Föhr", "n": [1, 2]}
    path.write_text('{"name":')
    with pytest.raises(CorruptFileError, match=r"a\.json"):
        read_json(path)
