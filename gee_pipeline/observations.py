"""What was observed, and where: an observation is whole or absent within a group of bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA, REFLECTANCE_SCALE, VALID_MAX, VALID_MIN
from gee_pipeline.composite import kernel

COLUMNS: Final = ("values", "zeros", "ones", "negative", "clipped", "sum", "squares")
"""What `ValueStatistics` counts of a band."""

_STRIDE: Final = 4
"""A sixteenth of the pixels says what values are like, and costs a cell a few milliseconds."""


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


@dataclass(frozen=True)
class ValueStatistics:
    """Counts and moments of the observed values of some cells, as stored."""

    table: NDArray[np.int64]
    """`(band, column)`, see `COLUMNS`."""

    @classmethod
    def of(cls, values: NDArray[np.int16]) -> ValueStatistics:
        """Those of a composite `(bin, band, y, x)`, of every fourth row and column; nodata is not counted."""
        table = np.zeros((values.shape[1], len(COLUMNS)), np.int64)
        _count(values[..., ::_STRIDE, ::_STRIDE], table)
        return cls(table)

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]]) -> ValueStatistics:
        """Those that `rows` gave."""
        return cls(np.array(rows, np.int64).reshape(-1, len(COLUMNS)))

    @property
    def rows(self) -> list[list[int]]:
        """One row of JSON values per band."""
        return self.table.tolist()

    def __add__(self, other: ValueStatistics) -> ValueStatistics:
        return ValueStatistics(self.table + other.table)

    @property
    def count(self) -> NDArray[np.int64]:
        """Observed values of each band."""
        return self._column("values")

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each band, as stored; NaN without values."""
        return self._per_value("sum")

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation of each band, as stored; NaN without values."""
        return np.sqrt(np.maximum(self._per_value("squares") - self.mean**2, 0))

    @property
    def zero(self) -> NDArray[np.float64]:
        """Share of values that are exactly 0."""
        return self._per_value("zeros")

    @property
    def one(self) -> NDArray[np.float64]:
        """Share of values that are exactly reflectance 1."""
        return self._per_value("ones")

    @property
    def negative(self) -> NDArray[np.float64]:
        """Share of values below 0."""
        return self._per_value("negative")

    @property
    def clipped(self) -> NDArray[np.float64]:
        """Share of values at an end of the range that can be stored."""
        return self._per_value("clipped")

    def _column(self, name: str) -> NDArray[np.int64]:
        return self.table[:, COLUMNS.index(name)]

    def _per_value(self, name: str) -> NDArray[np.float64]:
        count = self._column("values").astype(np.float64)
        return np.divide(self._column(name), count, out=np.full(len(count), np.nan), where=count > 0)


@kernel
def _count(values, table):  # type: ignore[no-untyped-def]
    for index in range(values.shape[0]):
        for band in range(values.shape[1]):
            count = zeros = ones = negative = clipped = total = squares = np.int64(0)
            for value in values[index, band].ravel():
                here = np.int64(value != NODATA)
                number = np.int64(value) * here
                count += here
                zeros += value == 0
                ones += value == REFLECTANCE_SCALE
                negative += (value < 0) & (value != NODATA)
                clipped += (value == VALID_MIN) | (value == VALID_MAX)
                total += number
                squares += number * number
            found = (count, zeros, ones, negative, clipped, total, squares)
            for column in range(len(found)):
                table[band, column] += found[column]
