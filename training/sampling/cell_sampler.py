"""The samples of one square: labels of a map, and the series at their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from training.sampling.cell_samples import CellSamples
from training.sampling.plan import SamplePlan
from training.sampling.reference.square_labels import LabelReader, SquareLabels
from training.sampling.series.raw_series import RawSeries
from training.sampling.squares.grid import SampleCell, draw, lattice_points, pixel_at


class SeriesReader(Protocol):
    """Where series come from; many threads may use it at once."""

    def read(self, pixels: Sequence[GeoBox], around: GeoBox) -> NDArray[np.int16]:
        """`(sample, band, bin)` of single 10 m pixels, whole season, gaps -9999.

        Args:
            pixels: Boxes of one pixel each.
            around: A box that holds them.

        Raises:
            CropmapError: They cannot be had.
        """

    def acquisitions(self, pixels: Sequence[GeoBox], around: GeoBox) -> RawSeries:
        """Every acquisition of them by itself, clouds and all.

        Args:
            pixels: Boxes of one pixel each.
            around: A box that holds them.

        Raises:
            CropmapError: They cannot be had.
        """


@dataclass(frozen=True)
class CellSampler:
    """Makes the samples of one square after the other; many threads may use it at once."""

    plan: SamplePlan
    """What to draw."""
    labels: LabelReader
    """Reads the reference map."""
    series: SeriesReader
    """Reads the series."""

    def samples_of(self, cell: SampleCell) -> CellSamples:
        """The samples of a square.

        Raises:
            AccessError: Earth Engine cannot be used.
            CropmapError: The map or the series cannot be read there.
        """
        rule, geobox = self.plan.rule, cell.lattice(self.plan.rule.spacing)
        labels = self.labels.read(cell, rule.spacing, rule.buffer)
        points = lattice_points(cell, self.plan.aoi.lonlat, rule)
        taken = draw(cell, labels.codes, points.allowed, rule)
        rows, cols = taken.T
        pixels = [pixel_at(geobox, int(row), int(col)) for row, col in taken]
        return CellSamples(
            series=self.series.read(pixels, geobox),
            labels=(labels.codes[rows, cols] - 1).astype(np.uint8),
            lon=points.lon[rows, cols],
            lat=points.lat[rows, cols],
            values=labels.values[rows, cols],
            candidates=int((points.allowed & (labels.codes != 0)).sum()),
            left_out=self._left_out(labels, points.allowed),
            raw=self.series.acquisitions(pixels, geobox) if self.plan.raw else None,
        )

    def _left_out(self, labels: SquareLabels, allowed: NDArray[np.bool_]) -> NDArray[Any]:
        """`(value, 2)`: values in no class, and their number of points; texts where values are texts."""
        found, counts = np.unique(labels.values[allowed & labels.known], return_counts=True)
        code_of = self.plan.reference.table.code_of
        without = np.array([code_of(value) == 0 for value in found.tolist()], np.bool_)
        number: Any = np.str_ if found.dtype.kind == "U" else np.int64
        return np.column_stack([found[without], counts[without].astype(number)])
