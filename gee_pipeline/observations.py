"""Where something was observed: an observation is whole or absent within a group of bands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA


def group_slices(sizes: Sequence[int]) -> list[slice]:
    """The rows of each group: `[0:10, 10:12]` for the sizes 10 and 2."""
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def observed_by_group(
    values: NDArray[np.int16], sizes: Sequence[int] | None = None, *, axis: int = 1
) -> NDArray[np.bool_]:
    """Where every band of a group is observed: the groups first, then the axes of the values but the bands.

    Args:
        values: Stored values, gaps nodata; `(sample, band, bin)` or `(bin, band, y, x)`.
        sizes: Number of bands of each group; None where all belong to one.
        axis: That of the bands.
    """
    bands = np.moveaxis(values, axis, 0)
    return np.stack([(bands[rows] != NODATA).all(axis=0) for rows in group_slices(sizes or (len(bands),))])


def least_observed(series: NDArray[np.int16], sizes: Sequence[int] | None = None) -> NDArray[np.intp]:
    """Observed bins of each series, `(sample,)`; of several groups those of the one with the fewest.

    Args:
        series: `(sample, band, bin)`, gaps nodata.
        sizes: Number of bands of each group; None where all belong to one.
    """
    counts: NDArray[np.intp] = observed_by_group(series, sizes).sum(axis=2).min(axis=0)
    return counts
