import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.errors import CorruptFileError, DiskFullError, InputError
from gee_pipeline.files import (
    DIGEST_KEY,
    atomic_path,
    read_json,
    read_sealed,
    read_toml,
    require_writable,
    sealed,
    size_text,
    unsealed,
    write_bytes,
    write_json,
    write_sealed,
)


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


BEYOND_REASON = {
    "deep": "[" * 10_000 + "]" * 10_000,
    "digits": "[" + "9" * 9_000 + "]",
    "cut off": '{"a": [1, ',
    "latin": '"\xe4"',
}


@pytest.mark.parametrize("content", BEYOND_REASON.values(), ids=BEYOND_REASON)
@pytest.mark.parametrize("kind", ["json", "toml"])
def test_what_no_reader_takes_is_damage(tmp_path: Path, content: str, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_text(content if kind == "json" else f"a = {content}", encoding="latin-1")
    with pytest.raises(CorruptFileError, match=rf"a\.{kind} is not valid {kind.upper()}"):
        read_json(path) if kind == "json" else read_toml(path)


def test_a_mark_at_the_start_is_no_content(tmp_path: Path) -> None:
    for name, content in (("a.json", '{"a": 1}'), ("a.toml", "a = 1")):
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == read_toml(tmp_path / "a.toml") == {"a": 1}


def test_a_file_larger_than_any_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    os.truncate(tmp_path / "a.json", 2**33)  # holes: no byte of the disk
    with pytest.raises(CorruptFileError, match=r"larger than 64\.0 MiB"):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("read", [read_json, read_toml])
def test_what_may_never_begin_or_end_is_refused(tmp_path: Path, read: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(CorruptFileError, match=f"{name} is not a file, but a pipe or a device"):
            read(tmp_path / name)


KILLED = """
import os, sys
from pathlib import Path
from gee_pipeline.files import atomic_path
with atomic_path(Path(sys.argv[1])) as part:
    part.write_bytes(b"half")
    os._exit(9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nobody knows there whether a process is alive")
def test_what_a_killed_process_had_begun_to_write_is_removed(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "a.csv")], cwd=Path(__file__).parents[2], check=False
    )
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    (tmp_path / "notes.part").touch()  # somebody else's
    with atomic_path(tmp_path / "b.csv") as alive:
        alive.write_bytes(b"mine")
        require_writable(tmp_path / "model.safetensors")
        assert alive.read_bytes() == b"mine"
    assert {path.name for path in tmp_path.iterdir()} == {"b.csv", "notes.part"}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b\.json cannot be read: No such file"):
        read_json(tmp_path / "b.json")


@given(
    values=st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
    )
)
def test_sealed_values_come_back(values: dict[str, Any]) -> None:
    values.pop(DIGEST_KEY, None)
    as_read = json.loads(json.dumps(sealed(values)))
    assert unsealed(as_read, "a", "") == values


def _read_or_none(path: Path) -> dict[str, Any] | None:
    try:
        return read_sealed(path, "Delete it.")
    except CorruptFileError:
        return None


def test_every_change_of_a_sealed_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed(path, {"cells": [1, 23], "name": "corn", "share": 0.125, 7: None})
    assert read_sealed(path, "Delete it.") == {"cells": [1, 23], "name": "corn", "share": 0.125, "7": None}
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        found = _read_or_none(path)  # a flip may hit the name of the digest, or turn a line end into a blank
        assert found is None or (found["cells"], found["name"], found["share"]) == ([1, 23], "corn", 0.125)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_what_is_no_object_is_none_of_ours(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(CorruptFileError, match="not an object"):
        read_sealed(tmp_path / "a.json", "Delete it.")


def test_files_of_earlier_versions_have_no_digest(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"cells": 3}')
    assert read_sealed(tmp_path / "a.json", "Delete it.") == {"cells": 3}
