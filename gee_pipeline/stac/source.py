"""The STAC engine: a cell's scenes are read one by one and composited bin by bin."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from gee_pipeline.composite import median_composite
from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.grid import Cell
from gee_pipeline.incoming.geometry import on_globe
from gee_pipeline.observations import group_slices
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import Season, TimeBin
from gee_pipeline.source import Composite, SceneCounts, Survey, same_day
from gee_pipeline.stac.catalog import SceneCatalog, absolute, open_catalog
from gee_pipeline.stac.choice import ALL, LeftOut, SceneChoice, left_out_notice
from gee_pipeline.stac.index import Found, within
from gee_pipeline.stac.observation import SceneRead, SeenPixels
from gee_pipeline.stac.scene import Scene, titles_of

_log = logging.getLogger("cropmap.stac")

_MARGIN = 0.005
"""Degrees, about 500 m: how far a tile may reach beyond the straight edges of its footprint in degrees."""


@dataclass(frozen=True)
class StacSource:
    """Composites of the scenes in a STAC catalog or API; small to pickle, opened where it is used."""

    href: str = field(repr=False)
    """Path or URL of a catalog, collection, item collection or API; not shown, for it may hold a token."""
    recipe: Recipe
    """Bands, bin length and cloud rule."""
    collection: str | None = field(default=None, kw_only=True)
    """Collection to use; None takes all scenes of a static catalog."""
    retries: int = field(default=3, kw_only=True)
    """Attempts after the first at an asset that cannot be read."""
    choice: SceneChoice = field(default=ALL, kw_only=True)
    """Which scenes are used."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "href", absolute(self.href))

    def describe(self) -> dict[str, Any]:
        """What identifies the source, as JSON values.

        A static catalog is identified by its place and by the ids and times of its scenes, an API by its
        address and collection.

        Raises:
            InputError: There is no catalog.
        """
        return self._catalog.describe() | self.choice.describe()

    def fingerprints(self, area: BaseGeometry, season: Season, bins: range) -> dict[str, str]:
        """What decides the pixels of each scene, sixteen hex digits by its name; "" where its files are gone.

        Of an API with more scenes than a survey looks at nothing is known.

        Args:
            area: Polygon in EPSG:4326.
            season: Season to map.
            bins: Bins within the season.

        Raises:
            InputError: There is no catalog.
        """
        found = self._catalog.known(area, season.span(bins, self.recipe.bin_days))
        return {scene.name: scene.fingerprint or "" for scene in found}

    def shows(self, cell: Cell, season: Season, bins: range, scenes: Collection[str]) -> bool:
        """Whether a cell is made of any of some scenes, by their names."""
        return any(scene.name in scenes for scene in self._scenes(cell, season, bins))

    def survey(self, area: BaseGeometry, season: Season, bins: range) -> Survey:
        """How many scenes there are, after a look at each: does it have all bands, and a cloud asset?

        Args:
            area: Polygon in EPSG:4326.
            season: Season to map.
            bins: Bins within the season.

        Raises:
            InputError: There is no catalog, no scene touches the area or season, or a scene lacks a band.
        """
        found = self._catalog.survey(area, season.span(bins, self.recipe.bin_days))
        usable, unusable = self._usable(found.scenes)
        found, bad = replace(found, scenes=usable), [*found.left_out, *unusable]
        if not usable:
            raise InputError(f"No scene is left. {' '.join(left_out_notice(bad))} Check --source.")
        _require_sensors(found, self.recipe, season)
        return Survey(
            scenes=found.matched,
            notices=(*left_out_notice(bad), *_notices(found.scenes, self.recipe)),
            simulated=any(scene.simulated for scene in found.scenes),
        )

    def _usable(self, scenes: Sequence[Scene]) -> tuple[list[Scene], list[LeftOut]]:
        """The scenes with all that is needed, and the others where such are left out.

        Raises:
            InputError: One does, and bad scenes stop the run.
        """
        usable, unusable = [], []
        for scene in scenes:
            try:
                scene.require()
                usable.append(scene)
            except InputError as error:
                if self.choice.bad == "stop":
                    raise
                unusable.append(LeftOut(scene.id, str(error)))
        return usable, unusable

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        """The composite of one cell; without scenes it is all nodata.

        Only the scenes of one bin are in memory at a time.

        Raises:
            SceneReadError: An asset could not be read, also after retries, or a scene lacks one.
        """
        scenes = self._scenes(cell, season, bins)
        values = np.empty((len(bins), len(self.recipe.bands), *cell.geobox.shape), np.int16)
        counts = SceneCounts()
        for group, rows in zip(self.recipe.sensors, group_slices(self.recipe.group_sizes), strict=True):
            own = [scene for scene in scenes if scene.group == group]
            for place, index in enumerate(bins):
                out = values[place : place + 1, rows]
                counts += self._fill(out, own, cell, season, index)
        return Composite(values, cell.geobox, bins, self.recipe.bands, counts)

    @property
    def _catalog(self) -> SceneCatalog:
        return open_catalog(self.href, self.collection, self.recipe, self.choice)

    def _scenes(self, cell: Cell, season: Season, bins: range) -> list[Scene]:
        """The scenes of a cell in the order in which they are laid on one another."""
        area = around_cell(cell)
        span = season.span(bins, self.recipe.bin_days)
        return within(self._catalog.around(area, span).touching(area), span)

    def _fill(
        self, out: NDArray[np.int16], scenes: list[Scene], cell: Cell, season: Season, index: int
    ) -> SceneCounts:
        """The median of one sensor and bin into `out` `(1, band, y, x)`; only its scenes are in memory."""
        span = season.bin(index, self.recipe.bin_days)
        scenes = within(scenes, span)
        stack = np.empty((len(scenes), *out.shape[1:]), np.int16)
        clear = np.zeros((len(scenes), *out.shape[2:]), np.bool_)
        reads = [self._read(scene, cell, stack[i], clear[i]) for i, scene in enumerate(scenes)]
        seen = np.array([read is not None and read.there for read in reads], np.bool_)
        used = [read for read in reads if read is not None]
        days = np.array([(_counted_day(scene, span) - season.start).days for scene in scenes], np.int64)
        edges = season.edges(range(index, index + 1), self.recipe.bin_days)
        _, dropped = median_composite(stack, clear, days, edges, out=out)
        return SceneCounts(
            scenes=int(seen.sum()),
            without_score=sum(
                bool(there) and scene.without_score for there, scene in zip(seen, scenes, strict=True)
            ),
            same_day=same_day(days[seen].tolist()),
            duplicates_dropped=dropped,
            empty=sum(
                _covers(scene, cell)
                for scene, read in zip(scenes, reads, strict=True)
                if read is not None and not read.there
            ),
            clear=sum(read.clear for read in used),
            struck=sum(read.struck for read in used),
            left_out=reads.count(None),
        )

    def _read(
        self, scene: Scene, cell: Cell, values: NDArray[np.int16], clear: NDArray[np.bool_]
    ) -> SeenPixels | None:
        """What the scene has in the cell; None where it cannot be used and is left out."""
        try:
            return self._read_or_fail(scene, cell, values, clear)
        except SceneReadError as error:
            if self.choice.bad == "stop" or not error.for_good:
                raise
            _log.warning("Scene %s is left out of cell %s: %s", scene.id, cell.name, error)
            clear[:] = False
            return None

    def _read_or_fail(
        self, scene: Scene, cell: Cell, values: NDArray[np.int16], clear: NDArray[np.bool_]
    ) -> SeenPixels:
        try:
            scene.require()
            return SceneRead(scene, cell, self.retries).into(values, clear)
        except InputError as error:
            raise SceneReadError(f"Cell {cell.name} cannot be composited: {error}", for_good=True) from error


def around_cell(cell: Cell) -> BaseGeometry:
    """The place of a cell in EPSG:4326 with a margin; in two parts where it crosses the antimeridian."""
    extent = on_globe(cell.geobox.extent.to_crs("EPSG:4326").geom)
    return on_globe(shapely.clip_by_rect(extent.buffer(_MARGIN), -360, -90, 360, 90))


def _covers(scene: Scene, cell: Cell) -> bool:
    """Whether the whole cell lies in the footprint of a scene, whose corners may be rounded to ten metres."""
    return bool(scene.footprint.buffer(1e-4).contains(on_globe(cell.geobox.extent.to_crs("EPSG:4326").geom)))


def _counted_day(scene: Scene, span: TimeBin) -> date:
    """The day that a scene counts for: one image a year counts once, whatever day it is dated."""
    return span.start if scene.group.sensor.yearly else scene.day(span.hours_ahead)


def _require_sensors(found: Found, recipe: Recipe, season: Season) -> None:
    """Refuse a recipe of several sensors of which one has no scene; of an API only where all are known."""
    missing = [g.sensor.title for g in recipe.sensors if all(scene.group != g for scene in found.scenes)]
    if missing and len(found.scenes) == found.matched:
        raise InputError(
            f"The recipe takes {titles_of(recipe)}; of {' and '.join(missing)} there is no scene over the "
            f"area in the season from {season.start}. Add a catalog or collection that has it (--source, "
            "--collection), or leave its bands out (--bands)."
        )


def _notices(scenes: Sequence[Scene], recipe: Recipe) -> tuple[str, ...]:
    return tuple(notice for group in recipe.sensors for notice in _group_notices(scenes, group))


def _group_notices(scenes: Sequence[Scene], group: SensorGroup) -> tuple[str, ...]:
    own = [scene for scene in scenes if scene.group == group]
    without = sum(scene.without_score for scene in own)
    if group.clear is None or not without:
        return ()
    return (
        f"{without} of {len(own)} scenes have no Cloud Score+ (asset `{group.clear.score_band}`): their "
        f"clear pixels are those of the scene classes (SCL) {group.clear.clear_classes}.",
    )
