"""Every acquisition of samples by itself, as it was before clouds were taken out and medians were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import CLOUD_BANDS, NODATA


@dataclass(frozen=True)
class RawSeries:
    """The acquisitions of some samples, a row each: sample by sample, sensor by sensor, in order of time."""

    sample: NDArray[np.int32]
    """`(row,)`: number of the sample."""
    time: NDArray[np.int64]
    """`(row,)`: milliseconds since 1970, UTC."""
    values: NDArray[np.int16]
    """`(row, band)`, as stored; -9999 where a band has no valid value, and in the bands of other sensors."""
    score: NDArray[np.int16]
    """`(row,)`: Cloud Score+ x 10,000; -9999 where there is none."""
    flag: NDArray[np.int16]
    """`(row,)`: scene class, or the sensor's own flag; -9999 where there is none."""

    @classmethod
    def of(cls, parts: Sequence[RawSeries], bands: int) -> RawSeries:
        """Some series as one.

        Args:
            parts: In order.
            bands: Number of bands, which says the shape where there is no part.
        """
        parts = [none(bands), *parts]
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    @classmethod
    def of_pixel(
        cls, number: int, times: Sequence[int], observed: NDArray[np.int16], rows: slice, bands: int
    ) -> RawSeries:
        """The acquisitions of one sample by one sensor; those that show nothing of it are left out.

        Args:
            number: Of the sample.
            times: `(acquisition,)`, milliseconds since 1970.
            observed: `(acquisition, band + 2)`: the sensor's bands, then `CLOUD_BANDS`.
            rows: Place of the sensor's bands among all.
            bands: Number of all bands.
        """
        own = observed[:, : -len(CLOUD_BANDS)]
        there = (own != NODATA).any(axis=1)
        values = np.full((int(there.sum()), bands), NODATA, np.int16)
        values[:, rows] = own[there]
        return cls(
            sample=np.full(len(values), number, np.int32),
            time=np.array(times, np.int64)[there],
            values=values,
            score=observed[there, -2],
            flag=observed[there, -1],
        )

    def counted_from(self, first: int) -> RawSeries:
        """The same with other numbers of samples, which begin with the first."""
        return RawSeries(**{**self.arrays, "sample": self.sample + np.int32(first)})

    @property
    def arrays(self) -> dict[str, Any]:
        """The arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def none(bands: int) -> RawSeries:
    """No acquisition of any sample."""
    empty = np.zeros(0, np.int16)
    return RawSeries(
        empty.astype(np.int32), empty.astype(np.int64), np.zeros((0, bands), np.int16), empty, empty
    )


def raw_path(out: Path) -> Path:
    """Where the acquisitions of a file of samples stand: `samples.raw.npz` next to `samples.npz`."""
    return out.with_suffix(f".raw{out.suffix}")
