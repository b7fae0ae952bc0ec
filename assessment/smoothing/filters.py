"""Smoothing of a window of a map; each pixel depends on what lies around it alone.

A window comes with a halo of `reach` pixels on each side. Where it ends at the edge of the map, the halo has
no class (majority), or mirrors the pixels at the edge, the outermost one repeated (Bayes).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.composite import kernel

LOWEST: Final = 1e-6
"""Probability that one of 0 counts as, in sits; its logit is finite."""

LEAST_VARIANCE: Final = 1e-4
"""Variance of logits below which a pixel gets their mean, as in sits."""

NEIGHBOURS: Final = 0.5
"""Share of a window's pixels that speak for a class, those with its highest logits, as in sits."""

SMOOTHNESS: Final = 20.0
"""Variance of the noise of logits, as in sits: the larger, the smoother."""


def reach(window: int) -> int:
    """Pixels that a window of an odd number of pixels reaches to each side."""
    return window // 2


def majority(codes: NDArray[np.uint8], classes: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    """The most frequent class around each pixel `(y, x)` that has one; other pixels neither vote nor change.

    Of equally frequent classes it is that of the pixel, if it is among them, else the lowest code.

    Args:
        codes: `(y, x)` with a halo.
        classes: Codes that are classes.
        window: Pixels along a side, odd.
    """
    halo = reach(window)
    own = codes[halo : len(codes) - halo, halo : codes.shape[1] - halo]
    most, best, of_own = (np.zeros(own.shape, np.int32) for _ in range(3))
    for code in np.sort(classes).astype(np.int32):
        votes = _box_sums(codes == code, window)
        best = np.where(votes > most, code, best)
        most = np.maximum(votes, most)
        of_own = np.where(own == code, votes, of_own)
    return np.where(np.isin(own, classes) & (of_own < most), best, own).astype(np.uint8)


def _box_sums(voters: NDArray[np.bool_], window: int) -> NDArray[np.int32]:
    """Number of True in the window around each pixel that has a whole one."""
    sums = np.zeros(tuple(side + 1 for side in voters.shape), np.int32)
    sums[1:, 1:] = voters.cumsum(0, np.int32).cumsum(1, np.int32)
    rows = sums[window:] - sums[:-window]
    return rows[:, window:] - rows[:, :-window]


def logits(probabilities: NDArray[Any], lowest: float = LOWEST) -> NDArray[np.float64]:
    """Logits `(class, y, x)` of probabilities in any unit: of each class against all others.

    Args:
        probabilities: `(class, y, x)`.
        lowest: The share of their sum that a class has at least, and lacks at least.
    """
    shares = probabilities / np.maximum(probabilities.sum(0), 1e-300)
    shares = np.clip(shares, lowest, 1 - lowest)
    return np.asarray(np.log(shares / (shares.sum(0) - shares)))


def bayes(
    values: NDArray[np.float64],
    known: NDArray[np.bool_],
    *,
    window: int,
    smoothness: float = SMOOTHNESS,
    neighbours: float = NEIGHBOURS,
) -> NDArray[np.float64]:
    """Smoothed logits `(class, y, x)` (Camara et al. 2024, Remote Sensing 16, 4572; as R sits computes them).

    With the mean m and the variance v of the highest logits of a class around a pixel, its own logit x
    becomes (v x + s m) / (v + s). Classes are smoothed one by one, so their probabilities no longer sum to 1.

    Args:
        values: Logits `(class, y, x)` with a halo.
        known: `(y, x)` with a halo: pixels that have logits; others say nothing, and their result is nothing.
        window: Pixels along a side, odd.
        smoothness: s.
        neighbours: Share of the pixels around that count, those with the highest logits.
    """
    halo = reach(window)
    classes, height, width = values.shape
    out = np.full((classes, height - 2 * halo, width - 2 * halo), np.nan)
    counts = np.array([math.ceil(neighbours * n) for n in range(window**2 + 1)], np.int64)
    _smooth(np.ascontiguousarray(values), known, window, smoothness, counts, out)
    return out


@kernel
def _smooth(values: Any, known: Any, window: Any, smoothness: Any, counts: Any, out: Any) -> None:
    around = np.empty(window * window, np.float64)
    halo = window // 2
    for one in range(out.shape[0]):
        for row in range(out.shape[1]):
            for col in range(out.shape[2]):
                if not known[row + halo, col + halo]:
                    continue
                found = _gather(values[one], known, row, col, window, around)
                highest = counts[found]
                _highest_first(around, found, highest)
                mean, variance = _moments(around, highest)
                own = values[one, row + halo, col + halo]
                if variance < LEAST_VARIANCE:
                    out[one, row, col] = mean
                else:
                    out[one, row, col] = (variance * own + smoothness * mean) / (variance + smoothness)


@kernel
def _gather(values: Any, known: Any, top: Any, left: Any, window: Any, around: Any) -> Any:
    """Bring the known values of a window to the front of `around`, and return their number."""
    found = 0
    for row in range(top, top + window):
        for col in range(left, left + window):
            if known[row, col]:
                around[found] = values[row, col]
                found += 1
    return found


@kernel
def _highest_first(values: Any, count: Any, wanted: Any) -> None:
    """Bring the `wanted` highest of the first `count` values to the front (Hoare's selection)."""
    low, high = 0, count - 1
    while low < high:
        pivot, left, right = values[(low + high) // 2], low, high
        while left <= right:
            while values[left] > pivot:
                left += 1
            while values[right] < pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left, right = left + 1, right - 1
        if wanted - 1 <= right:
            high = right
        elif wanted - 1 >= left:
            low = left
        else:
            return


@kernel
def _moments(values: Any, count: Any) -> Any:
    """Mean and variance (of a sample) of the first values; the variance of a single one is 0."""
    mean = 0.0
    for i in range(count):
        mean += values[i]
    mean /= count
    squares = 0.0
    for i in range(count):
        squares += (values[i] - mean) ** 2
    return mean, squares / (count - 1) if count > 1 else 0.0


def likeliest(values: NDArray[np.float64], own: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Code of the class with the highest smoothed logit; of equal ones that of the pixel, else the lowest.

    Args:
        values: `(class, y, x)` of the classes 1 to K; not a number where a pixel keeps its code.
        own: `(y, x)`: codes of the map.
    """
    known = ~np.isnan(values[0])
    place = np.where(known, np.clip(own, 1, len(values)) - 1, 0).astype(np.intp)
    mine = np.take_along_axis(values, place[None], 0)[0]
    best = values.argmax(0)  # the first of equal ones
    highest = np.take_along_axis(values, best[None], 0)[0]
    return np.where(known & (mine < highest), best + 1, own).astype(np.uint8)
