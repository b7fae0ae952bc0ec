"""The series of samples, read from the scenes of a STAC catalog pixel by pixel."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.grid import Cell
from gee_pipeline.season import Season
from gee_pipeline.stac.composites.source import StacSource


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
