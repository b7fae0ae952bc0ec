"""The STAC engine: a cell's scenes are read one by one and composited bin by bin."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.grid import Cell
from gee_pipeline.incoming.geometry import on_globe
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import Season
from gee_pipeline.source import Composite, SceneCounts, Survey
from gee_pipeline.stac.catalog import SceneCatalog, StaticCatalog, absolute, open_catalog
from gee_pipeline.stac.choice import ALL, LeftOut, SceneChoice, left_out_notice
from gee_pipeline.stac.composites.bin_store import BinStore
from gee_pipeline.stac.composites.bins import BinReader, scene_as_it_is
from gee_pipeline.stac.composites.observation import SceneRead
from gee_pipeline.stac.composites.reading import OpenFiles
from gee_pipeline.stac.index import Found, within
from gee_pipeline.stac.scene import Scene, titles_of
from gee_pipeline.stac.scene_file import has_secrets, open_scenes, write_scenes

_MARGIN = 0.005
"""Degrees, about 500 m: how far a tile may reach beyond the straight edges of its footprint in degrees."""


_STEP = 10_000
"""Metres between two points of the outline of a grid, whose edges are no straight lines in degrees."""

SCENES_FILE = "scenes.npz"
"""The scenes of a run's grid, in its folder."""


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
    listed: Path | None = field(default=None, kw_only=True)
    """File of a run that has the scenes of its grid; None where the catalog is to be read."""

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

    def kept(self, folder: Path, extent: GeoBox, season: Season, bins: range) -> StacSource:
        """The same source for other processes, which find its scenes in a file of the run's folder.

        An API is searched by each process, for the places that it works on; so is a catalog read whose links
        hold what gives access, for that is written to no file.

        Args:
            folder: Folder of the run.
            extent: All pixels of its grid.
            season: Season to map.
            bins: Bins within the season.

        Raises:
            DiskFullError: The disk has no room.
        """
        catalog = self._catalog
        if not isinstance(catalog, StaticCatalog):
            return self
        scenes = catalog.known(around_grid(extent), season.span(bins, self.recipe.bin_days))
        if has_secrets(scenes):
            return self
        path = folder / SCENES_FILE
        write_scenes(path, scenes)
        return replace(self, listed=path)

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
        scenes, reader = self._scenes(cell, season, bins), self._reader(season)
        values, counts = self._empty(cell, bins), SceneCounts()
        for place, index in enumerate(bins):
            with OpenFiles() as files:
                counts += reader.fill(values[place], scenes, cell, index, files)
        return Composite(values, cell.geobox, bins, self.recipe.bands, counts)

    def acquisitions(
        self, cell: Cell, season: Season, bins: range
    ) -> Iterator[tuple[Scene, NDArray[np.int16]]]:
        """Each scene of a cell as it is, in order: `(band + 2, y, x)`, see `SceneRead.as_it_is`.

        Raises:
            SceneReadError: An asset could not be read, also after retries, or a scene lacks one.
        """
        with OpenFiles() as files:
            for scene in self._scenes(cell, season, bins):
                try:
                    values = scene_as_it_is(SceneRead(scene, cell, self.retries, files))
                except SceneReadError as error:
                    if self.choice.bad == "stop" or not error.for_good:
                        raise
                else:
                    yield scene, values

    def read_block(
        self, cells: Sequence[Cell], season: Season, bins: range, folder: Path
    ) -> Iterator[tuple[Cell, Composite]]:
        """The composites of neighbouring cells, each as `read_cell` makes it, from files that are read once.

        Bin by bin the scenes of all cells are read; what is done of the cells waits on the disk. A cell of
        which a scene cannot be read is left out: `read_cell` says why.

        Args:
            cells: Cells near one another; in the order of their rows files are read best.
            season: Season to map.
            bins: Bins within the season.
            folder: A folder on the disk that has room for the composites.

        Raises:
            OSError: The disk has no room.
        """
        reader, values, store = self._reader(season), self._empty(cells[0], bins), BinStore(folder)
        scenes = [self._scenes(cell, season, bins) for cell in cells]
        counts = dict.fromkeys(range(len(cells)), SceneCounts())
        with store:
            for place, index in enumerate(bins):
                with OpenFiles([cell.geobox for cell in cells]) as files:
                    for number in list(counts):
                        try:
                            made_of = reader.fill(values[0], scenes[number], cells[number], index, files)
                        except SceneReadError:
                            del counts[number]
                            continue
                        counts[number] += made_of
                        if made_of.scenes:
                            store.put(number, place, values[0])
            for number, cell in ((n, cells[n]) for n in counts):
                store.read(number, values)
                yield cell, Composite(values, cell.geobox, bins, self.recipe.bands, counts[number])

    def _reader(self, season: Season) -> BinReader:
        return BinReader(self.recipe, season, self.retries, self.choice.bad)

    def _empty(self, cell: Cell, bins: range) -> NDArray[np.int16]:
        return np.empty((len(bins), len(self.recipe.bands), *cell.geobox.shape), np.int16)

    @property
    def _catalog(self) -> SceneCatalog:
        return open_catalog(self.href, self.collection, self.recipe, self.choice)

    def _scenes(self, cell: Cell, season: Season, bins: range) -> list[Scene]:
        """The scenes of a cell in the order in which they are laid on one another."""
        area = around_cell(cell)
        span = season.span(bins, self.recipe.bin_days)
        index = open_scenes(self.listed, self.recipe) if self.listed else self._catalog.around(area, span)
        return within(index.touching(area), span)


def around_grid(extent: GeoBox) -> BaseGeometry:
    """A place in EPSG:4326 that holds `around_cell` of every cell of a grid."""
    outline = on_globe(extent.extent.to_crs("EPSG:4326", resolution=_STEP).geom)
    return on_globe(shapely.clip_by_rect(outline.buffer(10 * _MARGIN), -360, -90, 360, 90))


def around_cell(cell: Cell) -> BaseGeometry:
    """The place of a cell in EPSG:4326 with a margin; in two parts where it crosses the antimeridian."""
    extent = on_globe(cell.geobox.extent.to_crs("EPSG:4326").geom)
    return on_globe(shapely.clip_by_rect(extent.buffer(_MARGIN), -360, -90, 360, 90))


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
