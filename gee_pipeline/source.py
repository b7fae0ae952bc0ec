"""What a source of composites has to offer; every engine implements it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from gee_pipeline.grid import Cell
from gee_pipeline.season import Season


@dataclass(frozen=True)
class SceneCounts:
    """What a composite was made of."""

    scenes: int = 0
    """Scenes that touch the cell within the bins."""
    without_score: int = 0
    """Scenes of these that had no Cloud Score+ and were masked by their scene classes (SCL)."""
    duplicates_dropped: int = 0
    """Clear pixel observations left out because the same day had another of the same pixel."""


@dataclass(frozen=True)
class Composite:
    """The observed medians of one cell; gaps are nodata, never filled."""

    values: NDArray[np.int16]
    """`(bin, band, y, x)`, reflectance x 10,000, nodata -9999 in all bands of an empty bin."""
    geobox: GeoBox
    """Pixels of the cell."""
    bins: range
    """Indices of the bins within the season."""
    bands: tuple[str, ...]
    """Bands in order."""
    counts: SceneCounts
    """What it was made of."""


@dataclass(frozen=True)
class Survey:
    """What a source offers for an area and season, known before any pixel is read."""

    scenes: int
    """Scenes that touch the area within the bins."""
    notices: tuple[str, ...] = ()
    """What the user should know, one sentence each."""
    simulated: bool = False
    """True where the scenes say of themselves that they are simulated (item property `simulated`)."""


class Source(Protocol):
    """Cells in, composites out. Implementations pickle small and open what they need in the worker."""

    def describe(self) -> dict[str, Any]:
        """What identifies the source, as JSON values; a run refuses to continue with another."""

    def survey(self, area: BaseGeometry, season: Season, bins: range) -> Survey:
        """What there is, or an error before work starts.

        Args:
            area: Polygon in EPSG:4326.
            season: Season to map.
            bins: Bins within the season.

        Raises:
            InputError: No scene touches the area or season, or a scene lacks a band of the recipe.
        """

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        """The composite of one cell; without scenes it is all nodata.

        Raises:
            SceneReadError: An asset could not be read, also after retries.
        """
