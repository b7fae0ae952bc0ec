"""The interval of an area from limits of each stratum, which also holds where few omitted units decide.

The normal interval of an area takes its standard error as known. Where a large stratum shows a class in one
unit, or in none, it is not: the interval is too short, and on the wrong side. Here the share of the class
within each stratum gets Jeffreys' limits, and those are put together by the method of variance estimates
recovery (MOVER; Zou, Huang and Zhang 2009; Jeffreys' limits as in Brown, Cai and DasGupta 2001).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

TAIL = float(stats.norm.sf(1.96))
"""Probability on each side of a 95 % interval."""


def mover_interval(
    counts: NDArray[np.integer],
    found: NDArray[np.integer],
    weights: NDArray[np.floating],
    shrink: NDArray[np.floating] | float = 1.0,
) -> tuple[float, float]:
    """Ends of the 95 % interval of a share of the frame.

    Args:
        counts: `(stratum,)`: units of the sample.
        found: `(stratum,)`: those of the class.
        weights: `(stratum,)`: share of the frame in each; they sum to 1.
        shrink: `(stratum,)`: by how much limits come nearer as the sample becomes the stratum, sqrt(1 - n/N).
    """
    n, x = np.asarray(counts, np.float64), np.asarray(found, np.float64)
    share = x / n
    low = np.where(x == 0, 0.0, stats.beta.ppf(TAIL, x + 0.5, n - x + 0.5))
    high = np.where(x == n, 1.0, stats.beta.isf(TAIL, x + 0.5, n - x + 0.5))
    whole = float(weights @ share)
    below, above = (
        float(np.sqrt(np.sum((weights * shrink * away) ** 2))) for away in (share - low, high - share)
    )
    return max(whole - below, 0.0), min(whole + above, 1.0)
