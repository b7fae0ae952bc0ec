"""The Earth Engine source: a cell's medians are computed on Google's servers and fetched in parts."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlparse

import ee
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from gee_pipeline.bands import NODATA
from gee_pipeline.earthengine.client.faults import missing_asset
from gee_pipeline.earthengine.client.session import Session, connect, opened
from gee_pipeline.earthengine.client.settings import URL_VARIABLE, Cropland, EarthEngineSettings
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.composites.pinned_scenes import PinnedScenes
from gee_pipeline.earthengine.composites.scene_list import (
    Scenes,
    counted_scenes,
    observed_bins,
    scenes_within,
)
from gee_pipeline.earthengine.composites.search import COUNTED, Found, count_scenes, find_scenes
from gee_pipeline.errors import EarthEngineError, InputError
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import CloudRule, Recipe, SensorGroup
from gee_pipeline.season import Season, TimeBin
from gee_pipeline.sensors import Sensor
from gee_pipeline.source import Composite, SceneCounts, Spent, Survey

T = TypeVar("T")

LEAST_AHEAD: Final = 2
"""Cells fetched at a time at least: while the last parts of one come in, the next has begun."""

SETTLED_AT_ONCE: Final = 32
"""Requests of which the computing time is asked for at once: those of some 16 cells."""

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
    pinned: PinnedScenes = field(default_factory=PinnedScenes, kw_only=True, compare=False, repr=False)
    """The scenes that cells are made of, listed once."""

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
        ask, region = self._fetcher.value, _hull(area)
        span = season.span(bins, self.recipe.bin_days)
        found = [(group, count_scenes(ask, region, span, group)) for group in self.recipe.sensors]
        for group, own in found:
            _require_scenes(own, group, span)
        notices = [notice for group, own in found if (notice := _notice(own, group.clear))]
        return Survey(
            scenes=sum(own.scenes for _, own in found),
            notices=(*_elsewhere(self.host), *notices),
            simulated=self.host is not None and any(own.simulated for _, own in found),
        )

    def keeping(self, folder: Path) -> Self:
        """The same source, which keeps the lists of scenes in the folder of a run, and takes those there.

        Args:
            folder: Folder of the run.
        """
        return replace(self, pinned=PinnedScenes(folder))

    def scenes_of(self, cells: Iterable[Cell], season: Season, bins: range, *, ask: bool = True) -> Scenes:
        """The scenes that touch any of some cells, of all sensors; listed once a block of cells.

        Args:
            cells: Cells of one grid.
            season: Season to map.
            bins: Bins within the season.
            ask: Whether Earth Engine may be asked where they are not listed yet.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: They could not be listed.
        """
        span, survey = season.span(bins, self.recipe.bin_days), self._survey_block if ask else _not_asked
        found = self.pinned.of(cells, span, self.recipe.sensor_names, survey)
        return scenes_within(found, span, self.recipe)

    def composite_image(self, scenes: Scenes, season: Season, bins: Iterable[int]) -> ee.Image:
        """The composite of some bins as an expression; the client must be open.

        Args:
            scenes: What `scenes_of` gave for the pixels that will be asked for.
            season: Season to map.
            bins: Bins within the season.
        """
        return graph.composite(scenes, season, bins, self.recipe, cropland=self.cropland_image())

    def list_again(self, message: str, cells: Iterable[Cell], season: Season, bins: range) -> bool:
        """Where a message says that a scene of some cells is gone, list their scenes again.

        Args:
            message: Earth Engine's words.
            cells: Cells of one grid.
            season: Season to map.
            bins: Bins within the season.

        Returns:
            Whether a scene was gone, so that the cells may be asked for again.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: They could not be listed.
        """
        asset = missing_asset(message)
        if asset is None or asset.rpartition("/")[0] not in self._collections:
            return False
        index, span = asset.rpartition("/")[2], season.span(bins, self.recipe.bin_days)
        again = self.pinned.survey_again(cells, index, span, self.recipe.sensor_names, self._survey_block)
        for block in again:
            self.session.notice(
                f"Earth Engine has withdrawn the scene {asset} since the scenes of block {block.name} were "
                "listed: they were listed again, and its cells are made of those from now on."
            )
        return True

    def _survey_block(self, box: GeoBox, parts: Sequence[GeoBox], span: TimeBin) -> list[Scenes]:
        return find_scenes(self._fetcher.value, box, parts, span, self.recipe)

    @property
    def _collections(self) -> set[str]:
        scores = {sensor.clouds.score_collection for sensor in self._sensors if sensor.clouds}
        return {sensor.collection for sensor in self._sensors} | scores

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

    def settle(self) -> None:
        """Find out what has been spent on all that was asked for so far."""
        if session := self._session:
            session.meter.settle(session)

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """Find out now and then what cells took, also those that failed: one request tells it of many."""
        try:
            yield
        finally:
            if session := self._session:
                session.meter.settle(session, least=SETTLED_AT_ONCE)

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

    def _of_scenes(self, cell: Cell, season: Season, bins: range, make: Callable[[Scenes], T]) -> T:
        """What is made of the scenes of a cell; where one is gone by now, once more of a new list."""
        try:
            return make(self.scenes_of([cell], season, bins))
        except EarthEngineError as error:
            if not self.list_again(str(error), [cell], season, bins):
                raise
        return make(self.scenes_of([cell], season, bins))

    def _read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        mask = self._cropland(cell.geobox)
        if mask is not None and not mask.any():
            counts = SceneCounts(duplicates_dropped=None)
            return Composite(self._blank(cell, bins), cell.geobox, bins, self.recipe.bands, counts, mask)

        def make(scenes: Scenes) -> Composite:
            values = self._fetch(cell, season, bins, scenes)
            counts = counted_scenes(scenes, self.recipe, season.hours_ahead)
            return Composite(values, cell.geobox, bins, self.recipe.bands, counts, mask)

        return self._of_scenes(cell, season, bins, make)

    def _fetch(self, cell: Cell, season: Season, bins: range, scenes: Scenes) -> NDArray[np.int16]:
        """The medians of the bins that have scenes; the others are nodata."""
        values, seen = self._blank(cell, bins), observed_bins(scenes, season, bins, self.recipe)

        def image_of(box: GeoBox, some: Sequence[int]) -> ee.Image:
            return self.composite_image(scenes, season, some)

        fetched = self._fetcher.composite(image_of, cell.geobox, seen, self.recipe.bands)
        values[[index - bins.start for index in seen]] = fetched
        return values

    def _blank(self, cell: Cell, bins: range) -> NDArray[np.int16]:
        return np.full((len(bins), len(self.recipe.bands), *cell.geobox.shape), NODATA, np.int16)


def _not_asked(box: GeoBox, parts: Sequence[GeoBox], span: TimeBin) -> list[Scenes]:
    raise EarthEngineError("the run has no list of them, and no session of Earth Engine was opened")


def _require_scenes(found: Found, group: SensorGroup, span: TimeBin) -> None:
    if found.scenes == 0:
        raise InputError(
            f"Earth Engine's {group.sensor.collection} has no scene of this area from {span.start} to "
            f"{span.last}. Check --year, --season-start and where --aoi lies."
        )


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


def _notice(found: Found, rule: CloudRule | None) -> str | None:
    """What to say of scenes without Cloud Score+."""
    if rule is None or found.without_score == 0:
        return None
    if found.without_score is None:
        return (
            f"Of more than {COUNTED:,} scenes those without Cloud Score+ are not counted beforehand, but "
            "cell by cell in ledger.jsonl."
        )
    return (
        f"{found.without_score} of {found.scenes} scenes have no Cloud Score+ (band `{rule.score_band}`): "
        f"their clear pixels are those of the scene classes (SCL) {rule.clear_classes}."
    )
