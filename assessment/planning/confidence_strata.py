"""Where to cut the confidence of a map into strata, so that fewer points say as much."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cut_points(pixels: NDArray[np.int64], parts: int) -> list[int]:
    """Whole percents of confidence at which the strata of a class begin, without the first.

    By the cumulative root of the frequency (Dalenius and Hodges 1959) of the confidence: strata in which
    units are alike.

    Args:
        pixels: `(101,)`: pixels of the class by confidence, 0 to 100.
        parts: Strata that are wanted; there may be fewer where few values occur.
    """
    values = np.flatnonzero(pixels)
    if len(values) < 2:
        return []
    roots = np.cumsum(np.sqrt(pixels[values].astype(np.float64)))
    wanted = roots[-1] * np.arange(1, parts) / parts
    nearest = np.abs(roots[:-1] - wanted[:, None]).argmin(axis=1)
    return sorted({int(values[place]) + 1 for place in nearest})
