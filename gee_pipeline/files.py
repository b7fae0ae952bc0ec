"""Files that are whole or absent: written next to their place, then renamed. JSON and TOML, and digests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from gee_pipeline.errors import CorruptFileError, DiskFullError, InputError, PlaceError
from gee_pipeline.incoming.addresses import is_endless

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)

_DEPTH: Final = 500
_DEEP: Final = re.compile(rf"(?:[\[{{]\s*){{{_DEPTH}}}")

_MACHINE: Final = re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:40] or "here"
"""Name of this machine in temporary files: processes of others on a shared disk have numbers of their own."""

DIGEST_KEY: Final = "sha256"
"""Key of the digest of all other values in a JSON object of ours."""

SHA_256: Final = "1220"
"""What begins the multihash of a SHA-256 of 32 bytes (0x12, 0x20), as `file:checksum` of STAC has it."""

LARGEST_TEXT: Final = 2**26
"""Most bytes of a JSON or TOML file: 64 MiB, far above any of ours, and little for a machine."""

ODD_VALUES: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What is raised where values that are not ours are taken for ours."""


def in_words(error: Exception) -> str:
    """What is wrong with values, for a message: what of `ODD_VALUES` was raised."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error).rstrip(".") or type(error).__name__


@contextmanager
def atomic_path(path: Path, needed: int = 0) -> Iterator[Path]:
    """A temporary path next to `path` that takes its place when the block ends without error.

    Args:
        path: Where the file shall stand; its folder is made.
        needed: Bytes the file will take, for the message on a full disk.

    Raises:
        DiskFullError: The disk has no room; nothing is left behind.
        PlaceError: The place cannot be written to.
    """
    part = path.with_name(f"{path.name}.{_MACHINE}.{os.getpid()}.part")
    try:
        with room_for(path, needed):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(path)
    finally:
        with suppress(PermissionError, NotADirectoryError):  # what stands there stays
            part.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove temporary files of `atomic_path` whose process, on this machine, is no longer there."""
    for part in folder.glob(f"*.{_MACHINE}.*.part"):
        process = part.name.split(".")[-2]
        if process.isdecimal() and not _is_alive(int(process)):
            with suppress(OSError):  # Windows refuses where a process still writes it
                part.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Whether a process of this machine is there; on Windows nobody knows without ending it."""
    if sys.platform == "win32":
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # of another user; no number of a process
        return True
    return True


@contextmanager
def room_for(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn "no space left" and "not allowed" of the operating system into errors that say what to do.

    Args:
        path: The file that is written.
        needed: Bytes it will take, for the message.

    Raises:
        DiskFullError: The disk has no room.
        PlaceError: The place cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise _disk_full(path, needed) from error
        if error.errno in _NOT_ALLOWED:
            raise PlaceError(
                f"{error.filename or path} cannot be written: {error.strerror}. Make its folder writable and "
                "run the same command again, or choose another --out; finished cells are kept."
            ) from error
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


def require_folder(folder: Path, mark: str) -> None:
    """Refuse to go on where a folder was deleted or moved away: half of it would be made again.

    Args:
        folder: Where work goes on.
        mark: A file that it has from its beginning.

    Raises:
        PlaceError: The file is not there.
    """
    if not (folder / mark).exists():
        raise PlaceError(
            f"{folder} was deleted or moved while it was worked on: {mark} is no longer there. Put it back "
            "and run the same command again, or begin a new run."
        )


def write_json(path: Path, values: Any) -> None:
    """Write JSON values as readable UTF-8, atomically."""
    write_bytes(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def publish(work: Path, folder: Path, last: str) -> None:
    """Move all files of a folder to their place; while the last one is absent there, they are not whole.

    Args:
        work: Folder of the files, on the same disk.
        folder: Where they come to.
        last: Name of the file that comes last, and goes first where there is an older one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / last).unlink(missing_ok=True)
    for path in sorted(work.iterdir(), key=lambda path: path.name == last):
        path.replace(folder / path.name)


def require_apart(path: Path, read: Iterable[Path]) -> None:
    """Refuse to write a result over what it is made of.

    Args:
        path: The file to write.
        read: Files that are read.

    Raises:
        InputError: It is one of them, by whatever name.
    """
    if path.exists() and any(one.exists() and path.samefile(one) for one in read):
        raise InputError(f"The command reads {path}, and would write over it. Choose another file to write.")


def require_writable(path: Path) -> None:
    """Make a file's folder and refuse a place that cannot be written to, before hours of work.

    What processes that were killed had begun to write there is removed.

    Args:
        path: Where a file shall stand later.

    Raises:
        InputError: No file can stand there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        _sweep(path.parent)
    except OSError as error:
        raise InputError(
            f"No file can be written to {path}: {error.strerror}. Choose another --out."
        ) from error


def read_json(path: Path) -> Any:
    """The values of a JSON file.

    Raises:
        InputError: The file cannot be opened.
        CorruptFileError: The file is not JSON, or too large to be meant.
    """
    return parse_json(read_limited(path), path)


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file, with or without a byte-order mark.

    Raises:
        InputError: The file cannot be opened.
        CorruptFileError: The file is not TOML, or too large to be meant.
    """
    return parse_toml(read_limited(path), path)


def parse_json(content: str | bytes, owner: object) -> Any:
    """The values of a JSON text.

    Args:
        content: UTF-8, with or without a byte-order mark.
        owner: File, tag or answer that holds it, for the message.

    Raises:
        CorruptFileError: It is not JSON, nested beyond reason, or has numbers beyond reason.
    """
    return _parsed(json.loads, content, owner, "JSON")


def parse_toml(content: str | bytes, owner: object) -> dict[str, Any]:
    """The values of a TOML text; as `parse_json`."""
    values: dict[str, Any] = _parsed(tomllib.loads, content, owner, "TOML")
    return values


def _parsed(loads: Callable[[str], Any], content: str | bytes, owner: object, kind: str) -> Any:
    try:
        return loads(shallow(content if isinstance(content, str) else content.decode("utf-8-sig")))
    except RecursionError as error:
        raise CorruptFileError(f"{owner} is not valid {kind}: it is nested too deeply.") from error
    except ValueError as error:  # also bytes that are not UTF-8, and whole numbers of thousands of digits
        raise CorruptFileError(
            f"{owner} is not valid {kind}: {str(error).rstrip('.')}. Restore it."
        ) from error


def shallow(text: str) -> str:
    """The same JSON or TOML text: the limit of its depth is our own, for other packages raise Python's.

    Raises:
        RecursionError: It is nested beyond reason.
    """
    if text.count("[") + text.count("{") >= _DEPTH and _DEEP.search(text):
        raise RecursionError
    return text


def read_limited(path: Path, limit: int = LARGEST_TEXT) -> bytes:
    """The bytes of a file that is not larger than it can be meant to be.

    Raises:
        InputError: The file cannot be opened.
        CorruptFileError: It is larger, or a pipe or a device.
    """
    require_no_pipe(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > limit else file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    if max(size, len(content)) > limit:
        raise CorruptFileError(
            f"{path} is larger than {size_text(limit)}, the most that is read of such a file. Check the path."
        )
    return content


def require_no_pipe(path: Path) -> None:
    """Refuse to wait for a file that may never begin, or never end; one that is missing passes.

    Raises:
        CorruptFileError: It is a pipe or a device.
    """
    if is_endless(path):
        raise CorruptFileError(f"{path} is not a file, but a pipe or a device. Check the path.")


def require_no_pipe_beside(raster: Path) -> None:
    """Refuse a raster that may never begin or end, also because of the metadata that GDAL reads beside it.

    Raises:
        CorruptFileError: It, or its `.aux.xml`, is a pipe or a device.
    """
    for path in (raster, raster.with_name(f"{raster.name}.aux.xml")):
        require_no_pipe(path)


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with the digest of its values, which `unsealed` verifies."""
    return {**values, DIGEST_KEY: _digest(values)}


def unsealed(values: Any, owner: object, way_out: str) -> dict[str, Any]:
    """The values that `sealed` took; those of earlier versions have no digest and are believed.

    Args:
        values: JSON values.
        owner: The file that holds them, for the message.
        way_out: What the user does about damage, one sentence.

    Raises:
        CorruptFileError: They are no object, or have not the digest that was written with them.
    """
    if not isinstance(values, dict):
        raise CorruptFileError(
            f"{owner} is damaged: it holds {type(values).__name__}, not an object. {way_out}"
        )
    rest = {key: value for key, value in values.items() if key != DIGEST_KEY}
    if DIGEST_KEY in values and values[DIGEST_KEY] != _digest(rest):
        raise CorruptFileError(
            f"{owner} is damaged: its values do not have the digest that was written with them. {way_out}"
        )
    return rest


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object of ours with its digest, atomically.

    Raises:
        DiskFullError: The disk has no room.
    """
    write_json(path, sealed(values))


def read_sealed(path: Path, way_out: str) -> dict[str, Any]:
    """The values that `write_sealed` wrote, verified.

    Args:
        path: The file.
        way_out: What the user does about damage, one sentence.

    Raises:
        InputError: The file cannot be opened.
        CorruptFileError: It is damaged.
    """
    return unsealed(read_own_json(path, way_out), path, way_out)


def read_own_json(path: Path, way_out: str) -> Any:
    """The values of a JSON file that cropmap wrote.

    Args:
        path: The file.
        way_out: What the user does about damage, one sentence.

    Raises:
        InputError: The file cannot be opened.
        CorruptFileError: It is damaged.
    """
    try:
        return read_json(path)
    except CorruptFileError as error:
        raise CorruptFileError(f"{path} is damaged: it is not readable as JSON. {way_out}") from error


def _digest(values: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(values))  # keys that were numbers are texts
    text = json.dumps(as_read, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of the bytes of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
