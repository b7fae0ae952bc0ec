"""Parts of a map that are too small go to their largest neighbour, as GDAL's sieve filter has it.

The result is that of GDAL on the whole map at once, with its ties and chains, but the map is read in strips
of rows. What is known of the parts lies in a file, so memory grows neither with area nor speckle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.composite import kernel

STRIP_PIXELS: Final = 4_000_000
"""Pixels of a strip: 36 MB with the numbers of their parts."""

Strips = Callable[[], Iterator[NDArray[np.uint8]]]
"""Reads the codes `(y, x)` of a map from its top, some whole rows at a time."""

_NONE: Final = -1
"""Number of the part of a pixel without a class, and of the neighbour of a part without one."""


@dataclass(frozen=True)
class _Parts:
    """Pixels of one class that are connected, by number; what is known of each, in a file."""

    parent: NDArray[np.int64]
    """A part that it is a piece of; its own number where it is whole."""
    size: NDArray[np.int64]
    """Its pixels."""
    neighbour: NDArray[np.int64]
    """The largest part beside it, or `_NONE`."""
    code: NDArray[np.int64]
    """Its code."""


def sieve(
    strips: Strips, classes: NDArray[np.uint8], least: int, folder: Path, *, connectivity: int = 4
) -> Iterator[NDArray[np.uint8]]:
    """The codes of a map, strip by strip, without parts of less than `least` pixels that have a neighbour.

    A part of exactly that size stays. Pixels without a class neither give nor take. A small part whose
    largest neighbour is small too follows that one's; where that leads to no large part, it stays.

    Args:
        strips: The map; it is read four times.
        classes: Codes that are classes.
        least: Pixels of the smallest part that stays.
        folder: Folder for a file of 32 bytes a part, which is deleted.
        connectivity: 4 where pixels of a part share edges, 8 where corners suffice.
    """
    valid = np.zeros(256, np.bool_)
    valid[classes] = True
    labeller = _Labeller(strips, valid, connectivity == 8)
    count = sum(labeller.count(codes) for codes in strips())
    parts = _allocated(folder, count)
    try:
        for codes, labels in labeller.labelled(parts.parent):
            _measure(codes, labels, parts.size, parts.code)
        _settle(parts.parent, parts.size)
        for above, labels in _with_above(labeller.labelled(None)):
            _find_neighbours(labels, above, parts.parent, parts.size, parts.neighbour, connectivity == 8)
        for codes, labels in labeller.labelled(None):
            yield _replaced(codes, labels, parts.parent, parts.size, parts.neighbour, parts.code, least)
    finally:
        del parts
        with suppress(OSError):  # on Windows a file that is mapped stays until its folder is cleared
            (folder / _FILE).unlink()


_FILE: Final = "parts.bin"


def _allocated(folder: Path, count: int) -> _Parts:
    """Room for this many parts, on the disk."""
    room = np.memmap(folder / _FILE, np.int64, "w+", shape=(4, max(count, 1)))
    parent, size, neighbour, code = (np.asarray(row) for row in room)
    for start in range(0, count, STRIP_PIXELS):
        parent[start : start + STRIP_PIXELS] = np.arange(start, min(start + STRIP_PIXELS, count))
        neighbour[start : start + STRIP_PIXELS] = _NONE
    return _Parts(parent, size, neighbour, code)


class _Labeller:
    """Numbers connected pixels in reading order, each time in the same way."""

    def __init__(self, strips: Strips, valid: NDArray[np.bool_], corners: bool) -> None:
        self._strips, self._valid, self._corners = strips, valid, corners
        self._last: NDArray[np.uint8] | None = None

    def count(self, codes: NDArray[np.uint8]) -> int:
        """How many numbers begin in a strip, given in order."""
        above = np.zeros(codes.shape[1], np.uint8) if self._last is None else self._last
        self._last = codes[-1].copy()
        return int(_count_new(codes, above, self._valid, self._corners))

    def labelled(
        self, parent: NDArray[np.int64] | None
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Codes and numbers `(y, x)` of each strip; where there are parents, pieces that meet are joined."""
        joined = parent is not None
        parents = np.empty(0, np.int64) if parent is None else parent
        above_codes, above, first = None, None, 0
        for codes in self._strips():
            labels = np.empty(codes.shape, np.int64)
            if above is None or above_codes is None:
                above_codes = np.zeros(codes.shape[1], np.uint8)
                above = np.full(codes.shape[1], _NONE, np.int64)
            first = _label(
                codes, above_codes, above, self._valid, self._corners, first, joined, parents, labels
            )
            yield codes, labels
            above_codes, above = codes[-1].copy(), labels[-1].copy()


def _with_above(
    strips: Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The numbers of the row above each strip, and its own."""
    above = None
    for _, labels in strips:
        yield np.full(labels.shape[1], _NONE, np.int64) if above is None else above, labels
        above = labels[-1].copy()


@kernel
def _count_new(codes: Any, above: Any, valid: Any, corners: Any) -> Any:
    new, upper = 0, above
    for row in range(codes.shape[0]):
        line = codes[row]
        for col in range(line.shape[0]):
            new += valid[line[col]] and not _continues(line, upper, col, corners)
        upper = line
    return new


@kernel
def _continues(line: Any, upper: Any, col: Any, corners: Any) -> Any:
    """Whether a pixel has the code of one that was read before and is connected with it."""
    code, last = line[col], line.shape[0] - 1
    if upper[col] == code or (col > 0 and line[col - 1] == code):
        return True
    return corners and ((col > 0 and upper[col - 1] == code) or (col < last and upper[col + 1] == code))


@kernel
def _root(parent: Any, label: Any) -> Any:
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@kernel
def _join(parent: Any, one: Any, other: Any) -> None:
    first, second = _root(parent, one), _root(parent, other)
    parent[max(first, second)] = min(first, second)


@kernel
def _met(label: Any, beside: Any, joined: Any, parent: Any) -> Any:
    """The number of a pixel that has one, or none yet, once it met another pixel of its part."""
    if label == _NONE:
        return beside
    if joined and label != beside:
        _join(parent, label, beside)
    return label


@kernel
def _label(
    codes: Any,
    above_codes: Any,
    above: Any,
    valid: Any,
    corners: Any,
    first: Any,
    joined: Any,
    parent: Any,
    labels: Any,
) -> Any:
    upper, upper_labels, last = above_codes, above, codes.shape[1] - 1
    for row in range(codes.shape[0]):
        line, own = codes[row], labels[row]
        for col in range(last + 1):
            if not valid[line[col]]:
                own[col] = _NONE
                continue
            label = own[col - 1] if col > 0 and line[col - 1] == line[col] else _NONE
            reached = 1 if corners else 0
            for place in range(max(0, col - reached), min(last, col + reached) + 1):
                if upper[place] == line[col]:
                    label = _met(label, upper_labels[place], joined, parent)
            if label == _NONE:
                label, first = first, first + 1
            own[col] = label
        upper, upper_labels = line, own
    return first


@kernel
def _measure(codes: Any, labels: Any, size: Any, code: Any) -> None:
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            label = labels[row, col]
            if label != _NONE:
                size[label] += 1
                code[label] = codes[row, col]


@kernel
def _settle(parent: Any, size: Any) -> None:
    """Give each number the part it belongs to, and each part its pixels: parents come before children."""
    for label in range(parent.shape[0]):
        whole = parent[parent[label]]
        parent[label] = whole
        if whole != label:
            size[whole] += size[label]


@kernel
def _find_neighbours(labels: Any, above: Any, parent: Any, size: Any, neighbour: Any, corners: Any) -> None:
    """The first of the largest neighbours in the order in which GDAL compares pixels."""
    upper, last = above, labels.shape[1] - 1
    for row in range(labels.shape[0]):
        line = labels[row]
        for col in range(last + 1):
            if line[col] == _NONE:
                continue
            _compare(line[col], upper[col], parent, size, neighbour)
            if corners and col > 0:
                _compare(line[col], upper[col - 1], parent, size, neighbour)
            if corners and col < last:
                _compare(line[col], upper[col + 1], parent, size, neighbour)
            if col > 0:
                _compare(line[col], line[col - 1], parent, size, neighbour)
        upper = line


@kernel
def _compare(label: Any, beside: Any, parent: Any, size: Any, neighbour: Any) -> None:
    if beside == _NONE:
        return
    one, other = parent[label], parent[beside]
    if one == other:
        return
    if neighbour[one] == _NONE or size[neighbour[one]] < size[other]:
        neighbour[one] = other
    if neighbour[other] == _NONE or size[neighbour[other]] < size[one]:
        neighbour[other] = one


def _replaced(
    codes: NDArray[np.uint8],
    labels: NDArray[np.int64],
    parent: NDArray[np.int64],
    size: NDArray[np.int64],
    neighbour: NDArray[np.int64],
    code: NDArray[np.int64],
    least: int,
) -> NDArray[np.uint8]:
    out = codes.copy()
    _replace(labels, parent, size, neighbour, code, least, out)
    return out


@kernel
def _replace(labels: Any, parent: Any, size: Any, neighbour: Any, code: Any, least: Any, out: Any) -> None:
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            label = labels[row, col]
            if label == _NONE:
                continue
            part = parent[label]
            if size[part] < least:
                end = _chain_end(part, size, neighbour, least)
                if end != _NONE:
                    out[row, col] = code[end]


@kernel
def _chain_end(part: Any, size: Any, neighbour: Any, least: Any) -> Any:
    """The large part to which the largest neighbours of a small one lead; none where they go in a circle."""
    slow, fast = part, part
    while True:
        for _ in range(2):
            fast = neighbour[fast]
            if fast == _NONE or size[fast] >= least:
                return fast
        slow = neighbour[slow]
        if slow == fast:
            return _NONE
