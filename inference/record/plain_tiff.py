"""Small TIFF files as GDAL writes predictions, read without GDAL: opening a dataset costs ten times as much.

What is unusual is not read here, and no error: GDAL decides about it.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from html import unescape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_HEAD: Final = b"II*\0"
_ITEM: Final = re.compile(r'<Item name="(\w+)">([^<]*)</Item>')
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 12: 8}
"""Bytes of a number by TIFF's type: byte, ASCII, short, long, double."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES, _ROWS, _COUNTS = (
    256,
    257,
    258,
    259,
    273,
    277,
    278,
    279,
)
_PLANAR, _PREDICTOR, _TILE, _FORMAT, _METADATA = 284, 317, 322, 339, 42112
_PLACE: Final = (33550, 33922)
"""Size of a pixel, and where the first one lies."""

_CRS: Final = (34735, 34736, 34737)
"""Keys, numbers and names of the CRS."""

_DEFLATE: Final = (8, 32946)
_USUAL: Final = {_PREDICTOR: 1, _FORMAT: 1}
"""Values that a file may leave out, and that no other is read for."""


@dataclass(frozen=True)
class PlainTiff:
    """What a TIFF of bytes holds."""

    bands: NDArray[np.uint8]
    """`(band, y, x)`."""
    place: tuple[float, ...]
    """Left and upper edge, width and height of a pixel, in the CRS."""
    crs: bytes
    """The CRS as the file has it: equal bytes are the same CRS."""
    tags: dict[str, str]
    """Metadata items by name."""


def read_plain(content: bytes) -> PlainTiff | None:
    """What a TIFF holds: bytes in deflated strips, north up; None where it is another file, or damaged.

    Args:
        content: The whole file.
    """
    try:
        fields = _fields(content)
        if not _is_plain(fields):
            return None
        (sx, sy, _), (x, y, _, left, top, _) = (_numbers(fields[tag], "d") for tag in _PLACE)
        if x or y:
            return None
        crs = b"".join(fields[tag][1] for tag in _CRS if tag in fields)
        # GDAL escapes the text once, and once more as XML.
        tags = {
            name: unescape(unescape(text))
            for name, text in _ITEM.findall(fields[_METADATA][1].decode("ascii"))
        }
        return PlainTiff(_bands(content, fields), (left, top, sx, sy), crs, tags)
    except (KeyError, ValueError, struct.error, zlib.error):
        return None


def _fields(content: bytes) -> dict[int, tuple[int, bytes]]:
    """Type and bytes of each field of the first image."""
    if content[:4] != _HEAD:
        return {}
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    fields = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number, offset = struct.unpack_from("<HHII", content, at)
        size = _SIZES.get(kind, 0) * number
        place = offset if size > 4 else at + 8
        fields[tag] = kind, content[place : place + size]
    return fields


def _is_plain(fields: dict[int, tuple[int, bytes]]) -> bool:
    if _WIDTH not in fields or _TILE in fields or set(_numbers(fields[_BITS])) != {8}:
        return False
    usual = all(set(_numbers(fields[tag])) == {value} for tag, value in _USUAL.items() if tag in fields)
    return usual and _one(fields, _COMPRESSION) in _DEFLATE


def _bands(content: bytes, fields: dict[int, tuple[int, bytes]]) -> NDArray[np.uint8]:
    """The pixels `(band, y, x)` of all strips, which are bands one after another, or pixels.

    Raises:
        ValueError: They are fewer or more than the size of the image.
    """
    width, height, bands = (_one(fields, tag) for tag in (_WIDTH, _HEIGHT, _SAMPLES))
    strips = zip(_numbers(fields[_OFFSETS]), _numbers(fields[_COUNTS]), strict=True)
    most = width * min(height, _one(fields, _ROWS)) * bands  # a damaged strip may claim gigabytes
    pixels = b"".join(zlib.decompressobj().decompress(content[at : at + size], most) for at, size in strips)
    flat = np.frombuffer(pixels, np.uint8)
    if _one(fields, _PLANAR) == 2:
        return flat.reshape(bands, height, width)
    return np.ascontiguousarray(flat.reshape(height * width, bands).T).reshape(bands, height, width)


def _one(fields: dict[int, tuple[int, bytes]], tag: int) -> int:
    (value,) = _numbers(fields[tag])
    return int(value)


def _numbers(field: tuple[int, bytes], form: str = "") -> tuple[Any, ...]:
    kind, content = field
    letter = form or {1: "B", 3: "H", 4: "I"}[kind]
    return struct.unpack(f"<{len(content) // struct.calcsize(letter)}{letter}", content)
