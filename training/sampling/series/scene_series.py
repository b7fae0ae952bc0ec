"""The series of samples, read from the scenes of a STAC catalog pixel by pixel."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import CLOUD_BANDS
from gee_pipeline.grid import Cell
from gee_pipeline.observations import group_slices
from gee_pipeline.season import Season
from gee_pipeline.stac.composites.source import StacSource
from training.sampling.series.raw_series import RawSeries


@dataclass(frozen=True)
class SceneSeries:
    """Series by the engine that makes a map's composites."""

    season: Season
    """Their days."""
    source: StacSource
    """Reads the scenes."""

    def read(self, pixels: Sequence[GeoBox], around: GeoBox) -> NDArray[np.int16]:
        """`(sample, band, bin)` of single pixels near one another, whose files are opened once a bin.

        Raises:
            SceneReadError: An asset could not be read, also after retries.
        """
        recipe = self.source.recipe
        bins = range(recipe.bins_in_season)
        cells = [Cell(0, number, pixel) for number, pixel in enumerate(pixels)]
        series = np.empty((len(pixels), len(recipe.bands), len(bins)), np.int16)
        if not cells:
            return series
        done = set[int]()
        with tempfile.TemporaryDirectory(prefix="cropmap-") as folder:
            for cell, composite in self.source.read_block(cells, self.season, bins, Path(folder)):
                series[cell.col] = composite.values[:, :, 0, 0].T
                done.add(cell.col)
        for cell in cells:
            if cell.col not in done:  # says why it could not be read
                series[cell.col] = self.source.read_cell(cell, self.season, bins).values[:, :, 0, 0].T
        return series

    def acquisitions(self, pixels: Sequence[GeoBox], around: GeoBox) -> RawSeries:
        """Every acquisition of single pixels, as it is.

        Raises:
            SceneReadError: An asset could not be read, also after retries.
        """
        recipe, found = self.source.recipe, list[RawSeries]()
        bins, rows = range(recipe.bins_in_season), group_slices(recipe.group_sizes)
        for number, pixel in enumerate(pixels):
            seen = list(self.source.acquisitions(Cell(0, number, pixel), self.season, bins))
            for group, own in zip(recipe.sensors, rows, strict=True):
                of_group = [(scene, values) for scene, values in seen if scene.group == group]
                times = [round(scene.time.timestamp() * 1000) for scene, _ in of_group]
                empty = np.zeros((0, len(group.bands) + len(CLOUD_BANDS)), np.int16)
                values = np.stack([v[:, 0, 0] for _, v in of_group]) if of_group else empty
                found.append(RawSeries.of_pixel(number, times, values, own, len(recipe.bands)))
        return RawSeries.of(found, len(recipe.bands))
