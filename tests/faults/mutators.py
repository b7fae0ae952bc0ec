"""Ways to damage a file, each with chances drawn from a seeded generator."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

Change = Callable[[bytes, Random], bytes]

DEEP: Final = 10_000
"""Levels of a nesting beyond reason."""


@dataclass(frozen=True)
class Mutator:
    """One way to damage a file."""

    name: str
    """What the log calls it."""
    change: Callable[[Path, Random], None]
    """Does it to a file."""
    suffixes: tuple[str, ...] = ()
    """Files that it suits; all where there are none."""
    content: bool = False
    """Whether what is left may be a valid file of other content."""

    def suits(self, path: Path) -> bool:
        """Whether it makes sense for a file."""
        return not self.suffixes or path.suffix in self.suffixes


# Any file


def _on_bytes(change: Change) -> Callable[[Path, Random], None]:
    def apply(path: Path, chance: Random) -> None:
        path.write_bytes(change(path.read_bytes(), chance))

    return apply


def flip_bits(content: bytes, chance: Random) -> bytes:
    """One to eight bits turned over."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def flip_head(content: bytes, chance: Random) -> bytes:
    """A bit of the first bytes turned over, where formats have their headers."""
    return flip_bits(content[:256], chance) + content[256:]


def huge_number(content: bytes, chance: Random) -> bytes:
    """Eight bytes of the beginning, or of the end, that claim the largest size."""
    place = chance.randrange(max(min(len(content), 200), 1))
    place = place if chance.random() < 0.7 else max(len(content) - place - 8, 0)
    claimed = struct.pack(chance.choice("<>") + "Q", chance.choice((2**64 - 1, 2**63 - 1, 2**40, 2**31 - 1)))
    return content[:place] + claimed + content[place + 8 :]


def truncated(content: bytes, chance: Random) -> bytes:
    """Its beginning only."""
    return content[: chance.randrange(1, max(len(content), 2))]


def zeroed(content: bytes, chance: Random) -> bytes:
    """A block of zeros, as a disk gives back what it lost."""
    start = chance.randrange(max(len(content), 1))
    length = chance.randrange(1, 4_096)
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def lengthened(content: bytes, chance: Random) -> bytes:
    """Bytes at random after its end."""
    return content + chance.randbytes(chance.randrange(1, 5_000))


def _delete(path: Path, chance: Random) -> None:
    path.unlink()


def _folder(path: Path, chance: Random) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path, chance: Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path, chance: Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _endless(path: Path, chance: Random) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _vast(path: Path, chance: Random) -> None:
    """Holes of 8 GiB after its end: no byte of the disk, and more than memory should hold."""
    os.truncate(path, 8 * 2**30)


def _another(path: Path, chance: Random) -> None:
    """Another file of the place with this suffix, or with any."""
    root = next(folder for folder in path.parents if (folder / "scenes").is_dir())
    files = sorted(p for p in root.rglob("*") if p.is_file() and p != path and "logs" not in p.parts)
    alike = [p for p in files if p.suffix == path.suffix]
    path.write_bytes(chance.choice(alike if alike and chance.random() < 0.8 else files).read_bytes())


def _swapped(path: Path, chance: Random) -> None:
    """In exchange with another file of its folder with this suffix."""
    alike = sorted(p for p in path.parent.glob(f"*{path.suffix}") if p != path and p.is_file())
    if not alike:
        return _another(path, chance)
    other = chance.choice(alike)
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    return other.write_bytes(mine) and None


# Texts

TEXTS: Final = (".json", ".jsonl", ".geojson", ".toml", ".csv", ".prj", ".cpg", ".progress")


def _recoded(content: bytes, chance: Random) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(chance.choice(("utf-16", "utf-32", "cp037")), "replace")


def _bad_letters(content: bytes, chance: Random) -> bytes:
    place = chance.randrange(max(len(content), 1))
    return (
        content[:place]
        + chance.choice((b"\xff\xfe", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\x1b[31m"))
        + content[place:]
    )


def _line_lost(content: bytes, chance: Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def _line_twice(content: bytes, chance: Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return b"".join(lines)


def _word_changed(content: bytes, chance: Random) -> bytes:
    """A word between separators becomes another kind of value."""
    text = content.decode("utf-8", "replace")
    places = [i for i, letter in enumerate(text) if letter in ",=:\n" and i + 1 < len(text)]
    start = (chance.choice(places) if places else -1) + 1
    end = min((i for i in (text.find(mark, start) for mark in ",\n]}") if i >= 0), default=len(text))
    word = chance.choice(
        ("nan", "1e999", "-1", "", '"x"', "[]", "1" * 5_000, "true", "2021-02-30", "'", "{}")
    )
    return (text[:start] + word + text[end:]).encode("utf-8", "surrogateescape")


# JSON

_ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 10**400, "", "x", "1", [], {}, [None],
    [[]], {"": None}, "\u0000", "x" * 2**20, "2021-13-45T99:99:99Z", "../../../etc/passwd", "file:///etc/passwd",
)  # fmt: skip


def _parsed(content: bytes) -> Any:
    return json.loads(content)


def _nodes(values: Any) -> list[tuple[Any, Any]]:
    """Each container with each of its keys, of all levels."""
    found: list[tuple[Any, Any]] = []
    waiting = [values]
    while waiting:
        here = waiting.pop()
        keys = (
            list(here) if isinstance(here, dict) else list(range(len(here))) if isinstance(here, list) else []
        )
        found += [(here, key) for key in keys]
        waiting += [here[key] for key in keys]
    return found


def _json_value(content: bytes, chance: Random) -> bytes:
    """A value becomes one of another type, or beyond all bounds."""
    values = _parsed(content)
    place, key = chance.choice(_nodes(values))
    old = place[key]
    place[key] = str(old) if chance.random() < 0.2 else chance.choice(_ODD)
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(values).encode()
    finally:
        sys.set_int_max_str_digits(limit)


def _json_lost(content: bytes, chance: Random) -> bytes:
    values = _parsed(content)
    place, key = chance.choice(_nodes(values))
    del place[key]
    return json.dumps(values).encode()


def _json_deep(content: bytes, chance: Random) -> bytes:
    """A value becomes one that is nested beyond reason."""
    values = _parsed(content)
    place, key = chance.choice(_nodes(values))
    place[key] = "HERE"
    deep = chance.choice(("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP))
    return json.dumps(values).replace('"HERE"', deep, 1).encode()


def _json_twice(content: bytes, chance: Random) -> bytes:
    """A key of an object stands there twice, with two values."""
    values = _parsed(content)
    place, key = chance.choice([(p, k) for p, k in _nodes(values) if isinstance(p, dict)])
    old = json.dumps(place[key])
    place[key] = "HERE"
    twice = f"{json.dumps(chance.choice((None, 1, [])))}, {json.dumps(key)}: {old}"
    return json.dumps(values).replace('"HERE"', twice, 1).encode()


def _whole_json(content: bytes, chance: Random) -> bytes:
    """A valid document that is nothing of what is wanted."""
    return chance.choice((b"null", b"[]", b"{}", b"1", b'"x"', b"NaN", b"[[]]", b"true"))


def _by_line(change: Change) -> Change:
    """The same for one line of a file of lines."""

    def apply(content: bytes, chance: Random) -> bytes:
        lines = content.splitlines() or [b"{}"]
        at = chance.randrange(len(lines))
        lines[at] = change(lines[at], chance)
        return b"\n".join(lines) + b"\n"

    return apply


def _in_header(change: Change) -> Change:
    """The same for the JSON header of a safetensors file, whose length stands before it."""

    def apply(content: bytes, chance: Random) -> bytes:
        (length,) = struct.unpack("<Q", content[:8])
        header = change(content[8 : 8 + length], chance)
        return struct.pack("<Q", len(header)) + header + content[8 + length :]

    return apply


def _in_metadata(change: Change) -> Change:
    """The same for the JSON that stands as a text in the header of a safetensors file."""

    def apply(header: bytes, chance: Random) -> bytes:
        values = _parsed(header)
        texts = [key for key, text in values.get("__metadata__", {}).items() if text.startswith("{")]
        if not texts:
            return change(header, chance)
        key = chance.choice(texts)
        changed = change(values["__metadata__"][key].encode(), chance)
        values["__metadata__"][key] = changed.decode("utf-8", "replace")
        return json.dumps(values).encode()

    return _in_header(apply)


# Arrays


def _npz_array(path: Path, chance: Random) -> None:
    """An array of an npz file gets another type, shape or name, or is gone."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = chance.choice(sorted(arrays))
    odd: list[Callable[[Any], Any]] = [
        lambda a: a.astype(object), lambda a: a.astype(str), lambda a: a[..., None], lambda a: a[:-1],
        lambda a: a[:0], lambda a: np.full(a.shape, np.nan), lambda a: np.full(a.shape, 2**40),
        lambda a: a.astype(complex), lambda a: np.zeros(a.shape, "M8[D]"), lambda a: np.array(5),
        lambda a: np.full(a.shape, -np.inf), lambda a: a.astype(bool), lambda a: np.asfortranarray(a[::-1]),
    ]  # fmt: skip
    chosen = chance.randrange(len(odd) + 2)
    if chosen < len(odd):
        arrays[name] = odd[chosen](arrays[name])
    else:
        old = arrays.pop(name)
        if chosen > len(odd):
            arrays[f"{name}_"] = old
    np.savez(path, **arrays)


def _npz_claim(path: Path, chance: Random) -> None:
    """The header of an array claims a shape of petabytes."""
    import zipfile

    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = chance.choice(sorted(members))
    text = members[name]
    start, end = text.index(b"("), text.index(b")")
    claim = b"(9" + b"9" * chance.choice((3, 9, 14)) + b",)"
    room = text.index(b"\n") - start
    rest = text[end + 1 : text.index(b"\n")]
    members[name] = text[:start] + (claim + rest).ljust(room)[:room] + text[start + room :]
    with zipfile.ZipFile(path, "w") as file:
        for key, content in members.items():
            file.writestr(key, content)


GONE: Final = ("deleted", "a folder", "a loop of links", "a pipe", "an endless device")
"""Names of mutators after which there is no file."""

JSONS: Final = (".json", ".geojson")

ALL: Final = (
    Mutator("bit flips", _on_bytes(flip_bits), content=True),
    Mutator("bit flips in the head", _on_bytes(flip_head), content=True),
    Mutator("huge claim", _on_bytes(huge_number), content=True),
    Mutator("truncated", _on_bytes(truncated), content=True),
    Mutator("empty", _on_bytes(lambda content, chance: b"")),
    Mutator("zeros", _on_bytes(zeroed), content=True),
    Mutator("lengthened", _on_bytes(lengthened)),
    Mutator("deleted", _delete),
    Mutator("a folder", _folder),
    Mutator("a pipe", _pipe),
    Mutator("a loop of links", _loop),
    Mutator("an endless device", _endless),
    Mutator("of 8 GiB", _vast),
    Mutator("another file", _another, content=True),
    Mutator("swapped", _swapped, content=True),
    Mutator("BOM", _on_bytes(lambda content, chance: b"\xef\xbb\xbf" + content), TEXTS, content=True),
    Mutator("CRLF", _on_bytes(lambda content, chance: content.replace(b"\n", b"\r\n")), TEXTS),
    Mutator("another encoding", _on_bytes(_recoded), TEXTS),
    Mutator("bad letters", _on_bytes(_bad_letters), TEXTS, content=True),
    Mutator("a line lost", _on_bytes(_line_lost), TEXTS, content=True),
    Mutator("a line twice", _on_bytes(_line_twice), TEXTS, content=True),
    Mutator("a word changed", _on_bytes(_word_changed), TEXTS, content=True),
    Mutator("odd value", _on_bytes(_json_value), JSONS, content=True),
    Mutator("odd value 2", _on_bytes(_json_value), JSONS, content=True),
    Mutator("key lost", _on_bytes(_json_lost), JSONS, content=True),
    Mutator("nested deeply", _on_bytes(_json_deep), JSONS, content=True),
    Mutator("key twice", _on_bytes(_json_twice), JSONS, content=True),
    Mutator("another document", _on_bytes(_whole_json), JSONS, content=True),
    Mutator("odd value", _on_bytes(_by_line(_json_value)), (".jsonl",), content=True),
    Mutator("key lost", _on_bytes(_by_line(_json_lost)), (".jsonl",), content=True),
    Mutator("nested deeply", _on_bytes(_by_line(_json_deep)), (".jsonl",), content=True),
    Mutator("odd value in the header", _on_bytes(_in_header(_json_value)), (".safetensors",)),
    Mutator("key lost in the header", _on_bytes(_in_header(_json_lost)), (".safetensors",)),
    Mutator("odd metadata", _on_bytes(_in_metadata(_json_value)), (".safetensors",), content=True),
    Mutator("metadata lost", _on_bytes(_in_metadata(_json_lost)), (".safetensors",), content=True),
    Mutator("metadata nested deeply", _on_bytes(_in_metadata(_json_deep)), (".safetensors",), content=True),
    Mutator("odd array", _npz_array, (".npz",), content=True),
    Mutator("huge array", _npz_claim, (".npz",)),
)
"""All of them."""


def those_for(path: Path) -> list[Mutator]:
    """The mutators that make sense for a file on this system."""
    posix = {*GONE[2:], "of 8 GiB"}
    return [m for m in ALL if m.suits(path) and (os.name == "posix" or m.name not in posix)]
