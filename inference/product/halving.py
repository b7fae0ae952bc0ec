"""The first overview of a raster, cell by cell: pixel for pixel that of GDAL.

GDAL takes several times as long, also for what lies between the cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.composite import kernel
from gee_pipeline.layers import Layer


def halved(bands: NDArray[np.uint8], layer: Layer) -> NDArray[np.uint8]:
    """Bands `(band, y, x)` at half the size: of each two by two pixels one, nodata apart.

    It is the most frequent value, of equally frequent ones the first to become so in reading order (`MODE`),
    or the mean, halves up (`AVERAGE`); nodata where all are.

    Args:
        bands: `(band, y, x)`, of even height and width.
        layer: How a coarser pixel is made, and which value is nodata.
    """
    count, height, width = bands.shape
    out = np.empty((count, height // 2, width // 2), np.uint8)
    _halve(np.ascontiguousarray(bands), layer.nodata, layer.overviews == "MODE", out)
    return out


@kernel
def _halve(bands: Any, nodata: Any, by_mode: Any, out: Any) -> None:
    four = np.empty(4, np.uint8)
    for band in range(out.shape[0]):
        for row in range(out.shape[1]):
            upper, lower = bands[band, 2 * row], bands[band, 2 * row + 1]
            for col in range(out.shape[2]):
                first = upper[2 * col]
                if (first == upper[2 * col + 1]) & (first == lower[2 * col]) & (first == lower[2 * col + 1]):
                    out[band, row, col] = first
                else:
                    known = _known(upper, lower, 2 * col, nodata, four)
                    out[band, row, col] = _mode(four, known) if by_mode else _mean(four, known)


@kernel
def _known(upper: Any, lower: Any, left: Any, nodata: Any, four: Any) -> Any:
    """Number of values of two by two pixels that are not nodata; they come to the front of `four`."""
    known = 0
    for value in (upper[left], upper[left + 1], lower[left], lower[left + 1]):
        four[known & 3] = value
        known += value != nodata
    return known


@kernel
def _mode(values: Any, known: Any) -> Any:
    """The value that is first seen as often as no other."""
    best, most = values[0], 1
    for i in range(1, known):
        times = 1
        for j in range(i):
            times += values[j] == values[i]
        if times > most:
            best, most = values[i], times
    return best


@kernel
def _mean(values: Any, known: Any) -> Any:
    total = known // 2
    for i in range(known):
        total += values[i]
    return total // known
