"""The samples of one square, asked of Earth Engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import ee
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import NODATA
from gee_pipeline.earthengine.composites import graph, reference
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.composites.scene_list import Scenes, observed_bins
from gee_pipeline.earthengine.composites.search import find_scenes
from gee_pipeline.errors import EarthEngineError, InputError
from training.samples.crops import NAMES, OTHER
from training.sampling.cell_samples import CellSamples
from training.sampling.grid import SampleCell, draw, lattice_points, pixel_at
from training.sampling.plan import SamplePlan

LISTED_AT_ONCE: Final = 64
"""Pixels whose scenes one request lists: each has up to some hundred a season."""


@dataclass(frozen=True)
class CellSampler:
    """Makes the samples of one square after the other; many threads may use it at once."""

    plan: SamplePlan
    """What to draw."""
    fetcher: Fetcher
    """Asks Earth Engine."""

    def require_reference(self) -> None:
        """Look at the reference map once, before all squares fail of the same fault.

        Raises:
            InputError: There is no such image, or it lacks the band.
        """
        asset, band = self.plan.reference.asset, self.plan.reference.band
        try:
            bands = self.fetcher.value(ee.Image(asset).bandNames(), _names)
        except EarthEngineError as error:
            raise InputError(
                f"The reference map {asset} cannot be read as an image of Earth Engine: {error} Check its "
                "id, that it is an image and not a collection, and that it is shared with you; a year of the "
                "Cropland Data Layer is published early in the next."
            ) from error
        if band is not None and band not in bands:
            raise InputError(
                f"The reference map {asset} has no band {band}; it has {', '.join(bands)}. Name one of "
                f"them, for example --reference asset:{asset}:{bands[0]}."
            )

    def samples_of(self, cell: SampleCell) -> CellSamples:
        """The samples of a square: requests for the reference map, for the scenes, and for each series.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: A request failed for good.
        """
        geobox = cell.lattice(self.plan.rule.spacing)
        codes, values = self.fetcher.raster(self._reference(cell), geobox)
        points = lattice_points(cell, self.plan.aoi.lonlat, self.plan.rule)
        taken = draw(cell, codes, points.allowed, self.plan.rule)
        rows, cols = taken.T
        pixels = [pixel_at(geobox, int(row), int(col)) for row, col in taken]
        return CellSamples(
            series=self._series(pixels, geobox),
            labels=(codes[rows, cols] - 1).astype(np.uint8),
            lon=points.lon[rows, cols],
            lat=points.lat[rows, cols],
            values=values[rows, cols].astype(np.int32),
            candidates=int((points.allowed & (codes != reference.NO_CLASS)).sum()),
            left_out=self._left_out(values[points.allowed]),
        )

    def _reference(self, cell: SampleCell) -> ee.Image:
        """The class codes of the map; they are CropGlobe's labels + 1."""
        table = self.plan.reference.table
        outside = table.cropland_outside
        return reference.pure_classes(
            self.plan.reference.asset,
            self.plan.reference.band,
            {value: label + 1 for value, label in table.labels.items()},
            cell.crs,
            buffer=self.plan.rule.buffer,
            cropland=graph.cropland(outside) if outside else None,
            cropland_code=NAMES.index(OTHER) + 1,
        )

    def _series(self, pixels: Sequence[GeoBox], around: GeoBox) -> NDArray[np.int16]:
        """`(sample, band, bin)` of single pixels within a box, by the graph that makes a map's composites."""
        bins, bands = range(self.plan.recipe.bins_in_season), self.plan.recipe.bands
        series = np.full((len(pixels), len(bands), len(bins)), NODATA, np.int16)
        for place, (pixel, scenes) in enumerate(zip(pixels, self._scenes(pixels, around), strict=True)):
            seen = observed_bins(scenes, self.plan.season, bins, self.plan.recipe)
            image_of = partial(self._composite, scenes)
            series[place][:, seen] = self.fetcher.composite(image_of, pixel, seen, bands)[:, :, 0, 0].T
        return series

    def _scenes(self, pixels: Sequence[GeoBox], around: GeoBox) -> list[Scenes]:
        """The scenes of each pixel."""
        recipe, found = self.plan.recipe, list[Scenes]()
        span = self.plan.season.span(range(recipe.bins_in_season), recipe.bin_days)
        for first in range(0, len(pixels), LISTED_AT_ONCE):
            parts = pixels[first : first + LISTED_AT_ONCE]
            found += find_scenes(self.fetcher.value, around, parts, span, recipe)
        return found

    def _composite(self, scenes: Scenes, geobox: GeoBox, bins: Sequence[int]) -> ee.Image:
        return graph.composite(scenes, self.plan.season, bins, self.plan.recipe)

    def _left_out(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """`(value, 2)`: values in no class, and their number of points."""
        known = [*self.plan.reference.table.labels, reference.NO_VALUE]
        found, counts = np.unique(values[~np.isin(values, known)], return_counts=True)
        return np.column_stack([found, counts]).astype(np.int64)


def _names(values: Any) -> list[str]:
    """Names of bands; an image has one at least."""
    if not values or not all(isinstance(name, str) for name in values):
        raise ValueError("names are texts")
    return list(values)
