"""Reading npz files of samples: arrays by key, checked row by row."""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import ODD_VALUES, size_text

LARGEST_SAMPLES: Final = 2**32
"""Most bytes of a file of samples once it is unpacked: 4 GiB, three million series of the default recipe."""

_LONGEST_HEADER: Final = 10_000
"""Bytes of an npy header: numpy's own limit."""

DAMAGED_NPZ: Final = (
    *ODD_VALUES,
    EOFError,
    OSError,  # of bz2, where a flipped bit names it as the compression
    RuntimeError,  # an encrypted member
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What is raised where an npz file is damaged, or something else."""

Arrays = Mapping[str, NDArray[Any]]
"""The arrays of an npz file by key."""


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an npz; nothing in it can run code.

    Raises:
        InputError: The file does not exist.
        CorruptFileError: It is truncated, damaged, of another kind, or holds something else than arrays.
    """
    if not path.is_file():
        raise InputError(f"The samples {path} do not exist. Give the path of a file.")
    try:
        with np.load(path, allow_pickle=False, max_header_size=_LONGEST_HEADER) as archive:
            require_room(path, archive.zip)
            return {key: archive[key] for key in archive.files}
    except DAMAGED_NPZ as error:
        raise CorruptFileError(
            f"{path} is not a whole npz file of number arrays: {error}. Download or export it again."
        ) from error


def require_room(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an npz before its arrays are made: they may be a thousand times the file, or claim any size.

    Raises:
        InputError: All arrays together are larger than `LARGEST_SAMPLES`.
        ValueError: An array claims more bytes than its member holds.
    """
    total = sum(member.file_size for member in archive.infolist())
    if total > LARGEST_SAMPLES:
        raise InputError(
            f"{path} holds {size_text(total)} of arrays; a file of samples has at most "
            f"{size_text(LARGEST_SAMPLES)}. Split it: several files are read together."
        )
    for member in archive.infolist():
        with archive.open(member) as file:
            claimed, held = _claimed_bytes(file), member.file_size - file.tell()
        if claimed > held:
            raise ValueError(f"{member.filename} claims {size_text(claimed)}, but holds {held:,} bytes")


def _claimed_bytes(file: IO[bytes]) -> int:
    """Bytes that the header of an npy file says that its array has."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file, max_header_size=_LONGEST_HEADER)
    return math.prod(shape) * dtype.itemsize


def numbers(path: Path, arrays: Arrays, key: str) -> NDArray[Any]:
    """The array of a key, which holds numbers.

    Raises:
        InputError: There is no such key, or it holds something else.
    """
    require_key(path, arrays, key)
    if arrays[key].dtype.kind not in "iuf":
        raise InputError(f"{path}: key {key} must hold numbers, got {arrays[key].dtype}.")
    return arrays[key]


def column(path: Path, arrays: Arrays, key: str, count: int, *, text: bool = False) -> NDArray[Any]:
    """`(sample,)`: one value for each sample.

    Args:
        path: The file, for messages.
        arrays: Its arrays.
        key: Which of them.
        count: Number of samples.
        text: Whether texts are allowed besides numbers.

    Raises:
        InputError: There is no such key, or it has another shape or type.
    """
    require_key(path, arrays, key)
    values = arrays[key] if text and arrays[key].dtype.kind == "U" else numbers(path, arrays, key)
    if values.shape != (count,):
        raise InputError(
            f"{path}: key {key} must have one value for each of the {count} rows of fea, got the shape "
            f"{values.shape}."
        )
    return values


def require_key(path: Path, arrays: Arrays, key: str) -> None:
    """Raise unless the file has the key."""
    if key not in arrays:
        raise InputError(f"{path} lacks the key {key}; it has {', '.join(sorted(arrays)) or 'none'}.")


def refuse(
    path: Path, key: str, bad: NDArray[np.bool_], values: NDArray[Any], rule: str, way_out: str = ""
) -> None:
    """Raise for the first bad value, naming key, row (counted from 0) and value."""
    if bad.any():
        where = np.unravel_index(int(bad.argmax()), bad.shape)
        rows = int(bad.reshape(len(bad), -1).any(axis=1).sum())
        value = values[where] if values.dtype.kind in "UO" else f"{values[where]:g}"
        raise InputError(
            f"{path}: key {key} {rule}; row {where[0]} has {value} ({rows} of {len(bad)} rows are "
            f"wrong). {way_out}".rstrip()
        )
