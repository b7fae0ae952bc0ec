"""The Earth Engine source: a cell's medians are computed on Google's servers and fetched in parts."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final
from urllib.parse import urlparse

import ee
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from gee_pipeline.bands import NODATA
from gee_pipeline.earthengine.client.session import Session, connect, opened
from gee_pipeline.earthengine.client.settings import URL_VARIABLE, Cropland, EarthEngineSettings
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.errors import InputError
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import CloudRule, Recipe, SensorGroup
from gee_pipeline.season import BinLength, Season, TimeBin, counted_day
from gee_pipeline.sensors import Sensor
from gee_pipeline.source import Composite, SceneCounts, Spent, Survey, same_day

COUNTED: Final = 5_000
"""Scenes of an area up to which those without Cloud Score+ are counted before work starts."""

LEAST_AHEAD: Final = 2
"""Cells fetched at a time at least: while the last parts of one come in, the next has begun."""

_open: dict[EarthEngineSettings, Fetcher] = {}
_opening = threading.Lock()


@dataclass(frozen=True)
class EarthEngineSource:
    """Composites of the recipe's sensors, computed by Earth Engine; small to pickle."""

    recipe: Recipe
    """Bands, bin length and cloud rule."""
    settings: EarthEngineSettings = field(default_factory=EarthEngineSettings)
    """Access and limits."""
    cropland: Cropland = field(default="none", kw_only=True)
    """Mask of cropland; pixels outside come back as nodata, and cells without any are not composited."""

    def describe(self) -> dict[str, Any]:
        """What identifies the source, as JSON values; who pays and where the servers stand does not."""
        return {
            "kind": "earthengine",
            "collection": ", ".join(sensor.collection for sensor in self._sensors),
            "cloud_score": next((s.clouds.score_collection for s in self._sensors if s.clouds), None),
            "cropland": self.cropland,
        }

    def survey(self, area: BaseGeometry, season: Season, bins: range) -> Survey:
        """How many scenes there are of each sensor, and how many of them have no Cloud Score+.

        Args:
            area: Polygon in EPSG:4326.
            season: Season to map.
            bins: Bins within the season.

        Raises:
            AccessError: Earth Engine cannot be used.
            InputError: No scene of a sensor touches the area or season.
        """
        fetcher, region = self._fetcher, _hull(area)
        span = season.span(bins, self.recipe.bin_days)
        found = [_survey(fetcher, region, span, group) for group in self.recipe.sensors]
        notices = [notice for _, notice in found if notice]
        return Survey(
            scenes=sum(scenes for scenes, _ in found),
            notices=(*_elsewhere(self.host), *notices),
            simulated=self.host is not None and _any_simulated(fetcher, region, span, self.recipe),
        )

    @property
    def _sensors(self) -> list[Sensor]:
        return [group.sensor for group in self.recipe.sensors]

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        """The composite of one cell; without scenes, or without cropland, it is all nodata.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: A part of the cell failed for good.
        """
        with self._settled():
            return self._read_cell(cell, season, bins)

    @property
    def session(self) -> Session:
        """The session with Earth Engine, opened at the first call.

        Raises:
            AccessError: Earth Engine cannot be used.
        """
        return connect(self.settings)

    @property
    def host(self) -> str | None:
        """Who answers instead of Google's Earth Engine; None where nobody does."""
        host = urlparse(self.settings.url or "").hostname
        return None if host is None or host.endswith(".googleapis.com") else host

    def cells_ahead(self, bins: int, cell_size: int) -> int:
        """Cells whose requests together are as many as Earth Engine takes at once."""
        size = bins * len(self.recipe.bands) * cell_size**2 * np.dtype(np.int16).itemsize
        requests = math.ceil(size / self.settings.request_bytes)
        return max(LEAST_AHEAD, math.ceil(self.settings.most_requests / requests))

    def spent(self) -> Spent:
        """What this process has asked Earth Engine for so far."""
        session = self._session
        return session.meter.spent if session else Spent()

    def label(self, name: str) -> None:
        """The workload tag of all that is asked from now on, see `Session.label`.

        Raises:
            AccessError: Earth Engine cannot be used.
        """
        self.session.label(name)

    def take_notices(self) -> list[str]:
        """What the user should know since the last call, one sentence each."""
        session = self._session
        return session.take_notices() if session else []

    @property
    def _fetcher(self) -> Fetcher:
        """One a process, so that all cells share its limits and what it learned."""
        with _opening:
            session = connect(self.settings)
            found = _open.get(self.settings)
            if found is None or found.session is not session:
                _open.clear()
                found = _open[self.settings] = Fetcher(session)
            return found

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """Know at the end what a cell took, also one that failed: a budget has to know it."""
        try:
            yield
        finally:
            if session := self._session:
                session.meter.settle(session)

    @property
    def _session(self) -> Session | None:
        """The session, unless nothing was asked yet."""
        return opened(self.settings)

    def cropland_image(self) -> ee.Image | None:
        """The cropland mask as the servers have it; None where there is none. The client must be open."""
        return None if self.cropland == "none" else graph.cropland(self.cropland)

    def _cropland(self, geobox: GeoBox) -> NDArray[np.bool_] | None:
        """Where the servers see cropland, `(y, x)`."""
        image = self.cropland_image()
        if image is None:
            return None
        mask: NDArray[np.bool_] = self._fetcher.raster(image, geobox)[0] == 1
        return mask

    def _fetch(self, geobox: GeoBox, season: Season, bins: range) -> NDArray[np.int16]:
        mask = self.cropland_image()

        def image_of(part: GeoBox, some: range) -> ee.Image:
            return graph.composite(graph.search_region(part), season, some, self.recipe, cropland=mask)

        return self._fetcher.composite(image_of, geobox, bins, self.recipe.bands)

    def _read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        bands, counts = self.recipe.bands, SceneCounts(duplicates_dropped=None)
        values = np.full((len(bins), len(bands), *cell.geobox.shape), NODATA, np.int16)
        mask = self._cropland(cell.geobox)
        if mask is not None and not mask.any():
            return Composite(values, cell.geobox, bins, bands, counts, mask)
        span = season.span(bins, self.recipe.bin_days)
        times, counts = count_scenes(self._fetcher, cell.geobox, span, self.recipe)
        if seen := seen_bins(times, season, bins, self.recipe.bin_days):
            first = seen.start - bins.start
            values[first : first + len(seen)] = self._fetch(cell.geobox, season, seen)
        return Composite(values, cell.geobox, bins, bands, counts, mask)


def count_scenes(
    fetcher: Fetcher, geobox: GeoBox, span: TimeBin, recipe: Recipe
) -> tuple[list[datetime], SceneCounts]:
    """Times of the scenes that may touch some pixels, and their counts, of all sensors of a recipe.

    Args:
        fetcher: Asks Earth Engine.
        geobox: The pixels.
        span: Days, by their own clock.
        recipe: Whose sensors are counted.

    Raises:
        AccessError: Earth Engine cannot be used.
        EarthEngineError: The request failed for good.
    """
    region = graph.search_region(geobox)
    found = [fetcher.value(graph.scene_list(region, span, group), _listed) for group in recipe.sensors]
    by_sensor = [times for times, _ in found]
    return list(chain(*by_sensor)), SceneCounts(
        scenes=sum(map(len, by_sensor)),
        without_score=sum(without for _, without in found),
        same_day=sum(same_day(counted_day(time, span.hours_ahead) for time in times) for times in by_sensor),
        duplicates_dropped=None,
    )


def _listed(values: Any) -> tuple[list[datetime], int]:
    """Times and number without score of what `graph.scene_list` gives."""
    return [datetime.fromtimestamp(time / 1000, UTC) for time in values["times"]], int(
        values["without_score"]
    )


def seen_bins(times: list[datetime], season: Season, bins: range, bin_days: BinLength) -> range:
    """The bins from the first to the last that have a scene; those outside need no request.

    Args:
        times: When the scenes were taken.
        season: Which days the bins mean.
        bins: Bins to look at.
        bin_days: Length of a bin.
    """
    found = {season.bin_of(season.day_of(time), bin_days) for time in times}
    there = sorted(index for index in found if index is not None and index in bins)
    return range(there[0], there[-1] + 1) if there else range(0)


def _survey(
    fetcher: Fetcher, region: ee.Geometry, span: TimeBin, group: SensorGroup
) -> tuple[int, str | None]:
    """Scenes of one sensor, and what the user should know of them."""
    scenes = fetcher.value(graph.scenes(region, span, group).size(), int)
    if scenes == 0:
        raise InputError(
            f"Earth Engine's {group.sensor.collection} has no scene of this area from {span.start} to "
            f"{span.last}. Check --year, --season-start and where --aoi lies."
        )
    if group.clear is None:
        return scenes, None
    without = None
    if scenes <= COUNTED:
        without = fetcher.value(graph.without_score(region, span, group).size(), int)
    return scenes, _notice(scenes, without, group.clear)


def _any_simulated(fetcher: Fetcher, region: ee.Geometry, span: TimeBin, recipe: Recipe) -> bool:
    return any(fetcher.value(graph.simulated(region, span, one).size(), int) for one in recipe.sensors)


def _hull(area: BaseGeometry) -> ee.Geometry:
    """The outline of an area with few corners: a search with many is slow on the servers."""
    hull = area.convex_hull.simplify(0.01).buffer(0.02, join_style="mitre")
    ring = [[float(x), float(y)] for x, y in hull.exterior.coords]
    # from GeoJSON: of a geometry that the servers would construct the corners cannot be read here
    return ee.Geometry({"type": "Polygon", "coordinates": [ring]}, None, False)


def _elsewhere(host: str | None) -> tuple[str, ...]:
    """What to say of pixels that do not come from Google."""
    if host is None:
        return ()
    return (
        f"{URL_VARIABLE} names {host}, which is not Google's Earth Engine: whether its pixels are "
        "Sentinel-2's is not known.",
    )


def _notice(scenes: int, without: int | None, rule: CloudRule) -> str | None:
    if without is None:
        return (
            f"Of more than {COUNTED:,} scenes those without Cloud Score+ are not counted beforehand, but "
            "cell by cell in ledger.jsonl."
        )
    if not without:
        return None
    return (
        f"{without} of {scenes} scenes have no Cloud Score+ (band `{rule.score_band}`): their clear "
        f"pixels are those of the scene classes (SCL) {rule.clear_classes}."
    )
