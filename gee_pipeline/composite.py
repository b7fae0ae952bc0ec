"""Clear observations become medians per time bin: the local compositing engine."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gee_pipeline.bands import NODATA

BLOCK = 2_048
"""Pixels worked on at once: 4 KiB a row, so that the days of a bin and their masks stay in cache."""

_ABSENT = 32_767
"""Sorts behind every valid value (bands.VALID_MAX is one less)."""


def median_composite(
    stack: NDArray[np.int16],
    clear: NDArray[np.bool_],
    days: NDArray[np.integer],
    edges: ArrayLike,
    *,
    out: NDArray[np.int16] | None = None,
) -> tuple[NDArray[np.int16], int]:
    """The median of the clear observations of every bin, and how many duplicates of a day were left out.

    Several observations of a pixel on one day count once: the last clear one in input order stays, like a
    mosaic with the last scene on top. The median of an even count is the mean of the middle two; halves
    round up. A bin without a clear observation is nodata in all bands.

    Args:
        stack: `(obs, band, y, x)`, reflectance x 10,000 up to 32,766; where not clear, any value.
        clear: `(obs, y, x)`, True where the observation counts in all bands.
        days: `(obs,)`, whole days since the season's start, in any order; those outside the bins are ignored.
        edges: `(bin, 2)`, first day of each bin to fill and the day after its last (`Season.edges`).
        out: `(bin, band, y, x)`, C-contiguous: filled and returned instead of a new array.

    Returns:
        Values `(bin, band, y, x)` with gaps as nodata, and the number of clear pixel observations dropped
        because another of the same pixel and day stayed.
    """
    observations, bands, height, width = stack.shape
    if clear.shape != (observations, height, width) or len(days) != observations:
        raise ValueError(f"clear {clear.shape} and days {len(days)} do not belong to stack {stack.shape}.")
    spans = np.asarray(edges, np.int64).reshape(-1, 2)
    values = _output(out, (len(spans), bands, height, width))
    order, members = _by_bin(np.asarray(days, np.int64), spans)
    dropped = _composite(
        np.ascontiguousarray(stack).reshape(observations, bands, height * width),
        np.ascontiguousarray(clear).reshape(observations, height * width).view(np.uint8),
        np.asarray(days, np.int64),
        order,
        members,
        values.reshape(len(spans), bands, height * width),
    )
    return values, int(dropped)


def _output(out: NDArray[np.int16] | None, shape: tuple[int, ...]) -> NDArray[np.int16]:
    if out is None:
        return np.empty(shape, np.int16)
    if out.shape != shape or out.dtype != np.int16 or not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous int16 of shape {shape}, got {out.dtype} {out.shape}.")
    return out


def _by_bin(days: NDArray[np.int64], edges: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Observations by day, ties in input order; and `(bin, 2)`: where each bin begins and ends among them."""
    order = np.argsort(days, kind="stable")
    return order, np.searchsorted(days[order], edges).astype(np.int64)


def kernel(function: Any) -> Any:
    """Compiled without the interpreter's lock, so that threads of one worker run side by side.

    What was compiled is kept on disk; where there is no place for it, as with packages on a read-only disk
    and a user without a home, each process compiles again.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


@kernel
def _composite(stack, clear, days, order, edges, out):  # type: ignore[no-untyped-def]
    """All bins of all pixels, block by block; returns the duplicates dropped."""
    bands, pixels = stack.shape[1], stack.shape[2]
    longest = 1
    for b in range(len(edges)):
        longest = max(longest, edges[b, 1] - edges[b, 0])
    masks = np.empty((longest, BLOCK), np.int16)  # -1 where the observation stays, else 0
    slots = np.empty(longest, np.int64)  # rank of each observation's day within its bin
    buffer = np.empty((longest, BLOCK), np.int16)
    counts = np.empty(BLOCK, np.int16)
    dropped = 0
    for begin in range(0, pixels, BLOCK):
        size = min(BLOCK, pixels - begin)
        for b in range(out.shape[0]):
            members = order[edges[b, 0] : edges[b, 1]]
            used = _rank_days(days, members, slots)
            dropped += _masks(clear, members, slots, begin, size, masks, counts)
            for band in range(bands):
                target = out[b, band, begin : begin + size]
                if used == len(members) <= 3:
                    _of_few(stack, members, masks, band, begin, target)
                    continue
                _load(stack, members, slots, masks, band, begin, size, buffer)
                _sort(buffer, used, size)
                _pick_median(buffer, counts, used, target)
    return dropped


@kernel
def _rank_days(days, members, slots):  # type: ignore[no-untyped-def]
    """Number the days of a bin in order; returns how many there are."""
    used = 0
    for k in range(len(members)):
        if k == 0 or days[members[k]] != days[members[k - 1]]:
            used += 1
        slots[k] = used - 1
    return used


@kernel
def _masks(clear, members, slots, begin, size, masks, counts):  # type: ignore[no-untyped-def]
    """Which observation of each day stays, and how many days each pixel has; returns the rest."""
    counts[:size] = 0
    dropped = 0
    for k in range(len(members)):
        mask = masks[k, :size]
        seen = clear[members[k], begin : begin + size]
        for p in range(size):
            mask[p] = -np.int16(seen[p])
        if k > 0 and slots[k] == slots[k - 1]:
            dropped += _drop_earlier(masks, slots, k, size, counts)
        for p in range(size):
            counts[p] -= mask[p]
    return dropped


@kernel
def _drop_earlier(masks, slots, k, size, counts):  # type: ignore[no-untyped-def]
    """Take from the earlier observations of a day what observation k covers."""
    dropped = 0
    mask = masks[k, :size]
    j = k - 1
    while j >= 0 and slots[j] == slots[k]:
        earlier = masks[j, :size]
        for p in range(size):
            both = earlier[p] & mask[p]  # -1 where it is covered
            earlier[p] ^= both
            counts[p] += both
            dropped -= both
        j -= 1
    return dropped


@kernel
def _of_few(stack, members, masks, band, begin, target):  # type: ignore[no-untyped-def]
    """Medians of none to three observations on different days, in one pass over their pixels."""
    end, few = begin + len(target), len(members)
    if few == 0:
        target[:] = NODATA
    elif few == 1:
        _of_one(stack[members[0], band, begin:end], masks[0], target)
    elif few == 2:
        first, second = stack[members[0], band, begin:end], stack[members[1], band, begin:end]
        _of_two(first, second, masks[0], masks[1], target)
    else:
        first, second = stack[members[0], band, begin:end], stack[members[1], band, begin:end]
        _of_three(first, second, stack[members[2], band, begin:end], masks, target)


@kernel
def _of_one(first, mask, target):  # type: ignore[no-untyped-def]
    for p in range(len(target)):
        target[p] = (first[p] & mask[p]) | (NODATA & ~mask[p])


@kernel
def _of_two(first, second, mask_1, mask_2, target):  # type: ignore[no-untyped-def]
    for p in range(len(target)):
        a, b = _present(first[p], mask_1[p]), _present(second[p], mask_2[p])
        target[p] = _median_of_two(min(a, b), max(a, b))


@kernel
def _of_three(first, second, third, masks, target):  # type: ignore[no-untyped-def]
    mask_1, mask_2, mask_3 = masks[0], masks[1], masks[2]
    for p in range(len(target)):
        a, b = _present(first[p], mask_1[p]), _present(second[p], mask_2[p])
        c = _present(third[p], mask_3[p])
        a, b = min(a, b), max(a, b)
        b, high = min(b, c), max(b, c)
        low, middle = min(a, b), max(a, b)
        target[p] = _median_of_two(low, middle) if high == _ABSENT else middle


@kernel
def _median_of_two(low, high):  # type: ignore[no-untyped-def]
    """Median of two sorted values, either of which may be the sentinel."""
    one = np.int16(NODATA) if low == _ABSENT else low
    return one if high == _ABSENT else _mean(low, high)


@kernel
def _mean(low, high):  # type: ignore[no-untyped-def]
    """Mean with halves rounded up, also below zero, without leaving 16 bits."""
    return np.int16((low | high) - ((low ^ high) >> 1))


@kernel
def _present(value, mask):  # type: ignore[no-untyped-def]
    """The value where the mask is -1, the sentinel where it is 0."""
    return np.int16((value & mask) | (_ABSENT & ~mask))


@kernel
def _load(stack, members, slots, masks, band, begin, size, buffer):  # type: ignore[no-untyped-def]
    """One row per day: the value that stays, or the sentinel."""
    for k in range(len(members)):
        row, mask = buffer[slots[k], :size], masks[k, :size]
        source = stack[members[k], band, begin : begin + size]
        if k == 0 or slots[k] != slots[k - 1]:
            for p in range(size):
                row[p] = _present(source[p], mask[p])
        else:
            for p in range(size):
                row[p] = (source[p] & mask[p]) | (row[p] & ~mask[p])


@kernel
def _sort(buffer, used, size):  # type: ignore[no-untyped-def]
    """Sort every column by comparing and exchanging whole rows, without a branch."""
    for last in range(used - 1, 0, -1):
        for k in range(last):
            low, high = buffer[k, :size], buffer[k + 1, :size]
            for p in range(size):
                a, b = low[p], high[p]
                low[p] = min(a, b)
                high[p] = max(a, b)


@kernel
def _pick_median(buffer, counts, used, target):  # type: ignore[no-untyped-def]
    """The middle of `counts` sorted values, or the mean of the middle two with halves rounded up."""
    size = len(target)
    low, high = np.full(size, NODATA, np.int16), np.full(size, NODATA, np.int16)
    for k in range(used):
        row = buffer[k, :size]
        odd, even, next_even = np.int16(2 * k + 1), np.int16(2 * k + 2), np.int16(2 * k)
        for p in range(size):
            n = counts[p]
            low[p] = row[p] if (n == odd) | (n == even) else low[p]
            high[p] = row[p] if (n == odd) | ((n == next_even) & (n > 0)) else high[p]
    for p in range(size):
        target[p] = _mean(low[p], high[p])
