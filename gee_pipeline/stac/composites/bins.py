"""One bin of one cell: its scenes are read one by one, and their median is taken."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.composite import median_composite
from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.grid import Cell
from gee_pipeline.incoming.geometry import on_globe
from gee_pipeline.observations import group_slices
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season, TimeBin
from gee_pipeline.source import SceneCounts, same_day
from gee_pipeline.stac.choice import BadScenes
from gee_pipeline.stac.composites.observation import SceneRead, SeenPixels
from gee_pipeline.stac.composites.reading import OpenFiles
from gee_pipeline.stac.index import within
from gee_pipeline.stac.scene import Scene

_log = logging.getLogger("cropmap.stac")


@dataclass(frozen=True)
class BinReader:
    """Takes the medians of bins of a season."""

    recipe: Recipe
    """Bands, bin length and cloud rule."""
    season: Season
    """Season to map."""
    retries: int
    """Attempts after the first at an asset that cannot be read."""
    bad: BadScenes
    """What becomes of a scene that cannot be used."""

    def fill(
        self, out: NDArray[np.int16], scenes: list[Scene], cell: Cell, index: int, files: OpenFiles
    ) -> SceneCounts:
        """The medians of one bin of a cell, and what they were made of; only its scenes are in memory.

        Args:
            out: `(band, y, x)`, C-contiguous, all of it is written.
            scenes: Those of the cell, in the order in which they are laid on one another.
            cell: The cell.
            index: The bin within the season.
            files: Where files stay open for other cells.

        Raises:
            SceneReadError: An asset could not be read, also after retries, or a scene lacks one.
        """
        span, counts = self.season.bin(index, self.recipe.bin_days), SceneCounts()
        seen = within(scenes, span)
        for group, rows in zip(self.recipe.sensors, group_slices(self.recipe.group_sizes), strict=True):
            own = [scene for scene in seen if scene.group == group]
            counts += self._fill_group(out[rows], own, cell, index, files)
        return counts

    def _fill_group(
        self, out: NDArray[np.int16], scenes: list[Scene], cell: Cell, index: int, files: OpenFiles
    ) -> SceneCounts:
        """The median of one sensor into `out` `(band, y, x)`."""
        span = self.season.bin(index, self.recipe.bin_days)
        stack = np.empty((len(scenes), *out.shape), np.int16)
        clear = np.zeros((len(scenes), *out.shape[1:]), np.bool_)
        reads = [
            self._read(SceneRead(scene, cell, self.retries, files), stack[i], clear[i])
            for i, scene in enumerate(scenes)
        ]
        seen = np.array([read is not None and read.there for read in reads], np.bool_)
        used = [read for read in reads if read is not None]
        days = np.array([(_counted_day(scene, span) - self.season.start).days for scene in scenes], np.int64)
        edges = self.season.edges(range(index, index + 1), self.recipe.bin_days)
        _, dropped = median_composite(stack, clear, days, edges, out=out[np.newaxis])
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
        self, read: SceneRead, values: NDArray[np.int16], clear: NDArray[np.bool_]
    ) -> SeenPixels | None:
        """What the scene has in the cell; None where it cannot be used and is left out."""
        try:
            return _read_or_fail(read, values, clear)
        except SceneReadError as error:
            if self.bad == "stop" or not error.for_good:
                raise
            _log.warning("Scene %s is left out of cell %s: %s", read.scene.id, read.cell.name, error)
            clear[:] = False
            return None


def scene_as_it_is(read: SceneRead) -> NDArray[np.int16]:
    """What a scene has in a cell, clouds and all: `SceneRead.as_it_is`.

    Raises:
        SceneReadError: An asset could not be read, also after retries, or the scene lacks one.
    """
    try:
        read.scene.require()
        return read.as_it_is()
    except InputError as error:
        raise SceneReadError(f"Cell {read.cell.name} cannot be read: {error}", for_good=True) from error


def _read_or_fail(read: SceneRead, values: NDArray[np.int16], clear: NDArray[np.bool_]) -> SeenPixels:
    try:
        read.scene.require()
        return read.into(values, clear)
    except InputError as error:
        raise SceneReadError(f"Cell {read.cell.name} cannot be composited: {error}", for_good=True) from error


def _covers(scene: Scene, cell: Cell) -> bool:
    """Whether the whole cell lies in the footprint of a scene, whose corners may be rounded to ten metres."""
    return bool(scene.footprint.buffer(1e-4).contains(on_globe(cell.geobox.extent.to_crs("EPSG:4326").geom)))


def _counted_day(scene: Scene, span: TimeBin) -> date:
    """The day that a scene counts for: one image a year counts once, whatever day it is dated."""
    return span.start if scene.group.sensor.yearly else scene.day(span.hours_ahead)
