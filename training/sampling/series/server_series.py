"""The series of samples, asked of Earth Engine pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import ee
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import CLOUD_BANDS, NODATA
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.composites.scene_list import ListedScene, Scenes, observed_bins
from gee_pipeline.earthengine.composites.search import find_scenes
from gee_pipeline.observations import group_slices
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import Season
from training.sampling.series.raw_series import RawSeries

LISTED_AT_ONCE: Final = 64
"""Pixels whose scenes one request lists: each has up to some hundred a season."""


@dataclass(frozen=True)
class ServerSeries:
    """Series by the graph that makes a map's composites."""

    season: Season
    """Their days."""
    recipe: Recipe
    """How they are made."""
    fetcher: Fetcher
    """Asks Earth Engine."""

    def read(self, pixels: Sequence[GeoBox], around: GeoBox) -> NDArray[np.int16]:
        """`(sample, band, bin)` of single pixels within a box.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: A request failed for good.
        """
        bins, bands = range(self.recipe.bins_in_season), self.recipe.bands
        series = np.full((len(pixels), len(bands), len(bins)), NODATA, np.int16)
        for place, (pixel, scenes) in enumerate(zip(pixels, self._scenes(pixels, around), strict=True)):
            seen = observed_bins(scenes, self.season, bins, self.recipe)
            image_of = partial(self._composite, scenes)
            series[place][:, seen] = self.fetcher.composite(image_of, pixel, seen, bands)[:, :, 0, 0].T
        return series

    def acquisitions(self, pixels: Sequence[GeoBox], around: GeoBox) -> RawSeries:
        """Every acquisition of single pixels within a box, as it is.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: A request failed for good.
        """
        sizes, found = self.recipe.group_sizes, list[RawSeries]()
        for number, (pixel, scenes) in enumerate(zip(pixels, self._scenes(pixels, around), strict=True)):
            for group, rows in zip(self.recipe.sensors, group_slices(sizes), strict=True):
                own = scenes[group.name]
                bands, times = (*group.bands, *CLOUD_BANDS), [scene.time for scene in own]
                image_of = partial(self._acquisitions, own, group)
                seen = self.fetcher.composite(image_of, pixel, range(len(own)), bands)[:, :, 0, 0]
                found.append(RawSeries.of_pixel(number, times, seen, rows, len(self.recipe.bands)))
        return RawSeries.of(found, len(self.recipe.bands))

    def _acquisitions(
        self, scenes: Sequence[ListedScene], group: SensorGroup, geobox: GeoBox, places: Sequence[int]
    ) -> ee.Image:
        """Some of the scenes, each as the bands of a bin."""
        names = (*group.bands, *CLOUD_BANDS)
        images = [graph.acquisition(scenes[i], group).rename(graph.band_names(names, i)) for i in places]
        return ee.Image.cat(images)

    def _scenes(self, pixels: Sequence[GeoBox], around: GeoBox) -> list[Scenes]:
        """The scenes of each pixel."""
        found = list[Scenes]()
        span = self.season.span(range(self.recipe.bins_in_season), self.recipe.bin_days)
        for first in range(0, len(pixels), LISTED_AT_ONCE):
            parts = pixels[first : first + LISTED_AT_ONCE]
            found += find_scenes(self.fetcher.value, around, parts, span, self.recipe)
        return found

    def _composite(self, scenes: Scenes, geobox: GeoBox, bins: Sequence[int]) -> ee.Image:
        return graph.composite(scenes, self.season, bins, self.recipe)
