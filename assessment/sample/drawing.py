"""Pixels drawn at random from the strata of a frame, without ever holding the map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assessment.sample.districts import Districts
from assessment.sample.frame import Frame, Labeller
from assessment.sample.map_file import AssessedMap


@dataclass(frozen=True)
class Units:
    """Pixels of a sample, in random order: the number of a unit says nothing of its stratum."""

    row: NDArray[np.intp]
    """`(unit,)`: row of the pixel."""
    col: NDArray[np.intp]
    """`(unit,)`: column."""
    part: NDArray[np.intp]
    """`(unit,)`: index of its part of the frame."""
    district: NDArray[np.intp]
    """`(unit,)`: index of its district."""
    stratum: NDArray[np.intp]
    """`(unit,)`: index of its stratum."""
    hectares: NDArray[np.float64]
    """`(unit,)`: its ground area."""
    probability: NDArray[np.float64]
    """`(unit,)`: its probability to be drawn."""
    block: NDArray[np.intp] | None = None
    """`(unit,)`: index of its block; None where pixels were not drawn in blocks."""


def draw(
    assessed: AssessedMap, frame: Frame, districts: Districts, units: NDArray[np.intp], seed: int
) -> Units:
    """A simple random sample without replacement of each stratum.

    Ranks are drawn first; only windows that hold one are read again.

    Args:
        assessed: The map.
        frame: Its frame.
        districts: Its districts.
        units: `(stratum,)`: pixels to draw.
        seed: Two draws with one seed are the same.
    """
    wanted = _ranks(frame, units, seed)
    strata = frame.partition.strata().ravel()
    found: list[NDArray[Any]] = []
    with Labeller(assessed, frame.partition, districts) as labeller:
        for index, ranks in wanted:
            window = frame.windows[index].window
            labels = labeller.labels(window).ravel()
            areas = assessed.pixel_hectares(window).ravel()
            stratum = np.where(labels < 0, -1, strata[labels])
            for h, places in ranks:
                flat = np.flatnonzero(stratum == h)[places]
                rows, cols = np.divmod(flat, window.width)
                part, district = np.divmod(labels[flat], frame.partition.districts)
                place = (window.row_off + rows, window.col_off + cols, part, district, np.full(len(flat), h))
                found.append(np.column_stack([*place, areas[flat]]))
    table = np.concatenate(found)
    shuffled = table[np.random.default_rng([seed, len(units)]).permutation(len(table))]
    row, col, part, district, stratum = shuffled[:, :5].T.astype(np.intp)
    probability = (units / np.maximum(frame.by_stratum(frame.pixels), 1))[stratum]
    return Units(row, col, part, district, stratum, shuffled[:, 5], probability)


Ranks = list[tuple[int, NDArray[np.int64]]]
"""Strata of a window, and places among its pixels of each."""


def _ranks(frame: Frame, units: NDArray[np.intp], seed: int) -> Iterator[tuple[int, Ranks]]:
    """Index of each window that holds a unit, and which of its pixels they are."""
    by_window: dict[int, Ranks] = {}
    pixels = frame.by_stratum(frame.pixels).astype(np.int64)
    windows, counts = _by_stratum(frame)
    for h in np.flatnonzero(units).tolist():
        rng = np.random.default_rng([seed, len(units), h])
        ranks = np.sort(rng.choice(int(pixels[h]), int(units[h]), replace=False))
        ends = np.cumsum(counts[h])
        place = np.searchsorted(ends, ranks, side="right")
        for one in np.unique(place).tolist():
            begin = int(ends[one] - counts[h][one])
            by_window.setdefault(windows[h][one], []).append((h, ranks[place == one] - begin))
    yield from sorted(by_window.items())


def _by_stratum(frame: Frame) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """By stratum: the windows in which it occurs, and its pixels in each."""
    windows: dict[int, list[int]] = {}
    counts: dict[int, list[int]] = {}
    for index, one in enumerate(frame.windows):
        for h, n in zip(one.strata.tolist(), one.pixels.tolist(), strict=True):
            windows.setdefault(h, []).append(index)
            counts.setdefault(h, []).append(n)
    return windows, counts
