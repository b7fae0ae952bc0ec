"""The scenes of a run, listed once a block of cells and kept, so that a continued run is made of the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites.block_scenes import (
    SIDE,
    BlockScenes,
    ListedRow,
    Withdrawn,
    block_path,
    read_block,
    write_block,
)
from gee_pipeline.earthengine.composites.blocks import Block
from gee_pipeline.earthengine.composites.scene_list import ListedScene, Scenes
from gee_pipeline.grid import Cell
from gee_pipeline.season import TimeBin

IN_MEMORY: Final = 256
"""Blocks whose lists are kept in memory, some 50 kB each; the others are read again from the folder."""

Survey = Callable[[GeoBox, Sequence[GeoBox], TimeBin], Sequence[Scenes]]
"""Lists the scenes of each part of a box in some days."""


class PinnedScenes:
    """The scenes of cells: asked for once a block, whoever asks, and kept in a folder where there is one.

    Safe to use from many threads. It travels without what it has in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Ask nothing yet.

        Args:
            folder: Folder of a run; None keeps lists in memory only.
        """
        self.folder = folder
        self._known: OrderedDict[_Place, BlockScenes] = OrderedDict()
        self._lock, self._surveying = threading.Lock(), threading.Lock()

    def __reduce__(self) -> tuple[type[PinnedScenes], tuple[Path | None]]:
        return PinnedScenes, (self.folder,)

    def of(self, cells: Iterable[Cell], span: TimeBin, sensors: tuple[str, ...], survey: Survey) -> Scenes:
        """The scenes of some days that touch any of some cells.

        Args:
            cells: Cells of one grid.
            span: Days, by their own clock.
            sensors: Names of the sensors.
            survey: Lists scenes where that was not done yet.

        Raises:
            CorruptFileError: A file of the folder is damaged.
            DiskFullError: The disk has no room.
        """
        found: dict[str, set[ListedScene]] = {name: set() for name in sensors}
        for place, bits in _by_block(cells).items():
            for name, scenes in self._listed(place, span, sensors, survey).touching(bits).items():
                found[name] |= scenes
        return {name: sorted(scenes) for name, scenes in found.items()}

    def survey_again(
        self, cells: Iterable[Cell], index: str, span: TimeBin, sensors: tuple[str, ...], survey: Survey
    ) -> list[Block]:
        """List again the scenes of the blocks that list a scene which is gone.

        Args:
            cells: Cells of one grid.
            index: The scene.
            span: Days, by their own clock.
            sensors: Names of the sensors.
            survey: Lists scenes.

        Returns:
            The blocks that were surveyed now; another thread may have been faster.
        """
        again = []
        with self._surveying:
            for place in _by_block(cells):
                former = self._recall(place)
                if former is not None and former.lists(index):
                    self._survey(place, _hull(former.span, span), sensors, survey, former)
                    again.append(former.block)
        return again

    def _listed(self, place: _Place, span: TimeBin, sensors: tuple[str, ...], survey: Survey) -> BlockScenes:
        found = self._recall(place)
        if found is not None and found.covers(span, sensors):
            return found
        with self._surveying:  # one of many threads asks, the others wait for its answer
            found = self._recall(place)
            if found is None or not found.covers(span, sensors):
                found = self._survey(place, span, sensors, survey, found)
            return found

    def _survey(
        self,
        place: _Place,
        span: TimeBin,
        sensors: tuple[str, ...],
        survey: Survey,
        former: BlockScenes | None,
    ) -> BlockScenes:
        by_cell = survey(place.box, place.cell_boxes, span)
        rows: dict[str, dict[ListedScene, int]] = {name: {} for name in sensors}
        for n, scenes in enumerate(by_cell):
            for name in sensors:
                for scene in scenes[name]:
                    rows[name][scene] = rows[name].get(scene, 0) | 1 << n
        listed = {name: tuple(sorted(found.items())) for name, found in rows.items()}
        now = datetime.now(UTC)
        gone = _gone(former, listed, now) if former else ()
        found = BlockScenes(place.block, span, now, listed, gone)
        if self.folder is not None:
            write_block(self.folder, found)
        self._remember(place, found)
        return found

    def _recall(self, place: _Place) -> BlockScenes | None:
        with self._lock:
            if place in self._known:
                self._known.move_to_end(place)
                return self._known[place]
        path = self.folder and block_path(self.folder, place.block)
        if path is None or not path.is_file():
            return None
        found = read_block(path)
        self._remember(place, found)
        return found

    def _remember(self, place: _Place, found: BlockScenes) -> None:
        with self._lock:
            self._known[place] = found
            self._known.move_to_end(place)
            while len(self._known) > IN_MEMORY:
                self._known.popitem(last=False)


@dataclass(frozen=True)
class _Place:
    """A block on its grid: two grids have blocks of the same name."""

    block: Block
    first: GeoBox = field(compare=False)
    """Pixels of its first cell."""
    corner: tuple[str, int, float, float]
    """CRS, size and, to a millimetre, the corner of the first cell, by which grids differ."""

    @property
    def box(self) -> GeoBox:
        """All its pixels."""
        height, width = self.first.shape
        return GeoBox((SIDE * height, SIDE * width), self.first.affine, self.first.crs)

    @property
    def cell_boxes(self) -> list[GeoBox]:
        """The pixels of each cell, in row order."""
        return [_moved(self.first, row, col) for row in range(SIDE) for col in range(SIDE)]


def _by_block(cells: Iterable[Cell]) -> dict[_Place, int]:
    """The blocks of some cells, and which of theirs these are, as bits."""
    found: dict[_Place, int] = {}
    for cell in cells:
        row, col = cell.row % SIDE, cell.col % SIDE
        block = Block(cell.row - row, cell.col - col, SIDE, SIDE)
        place = _place(block, _moved(cell.geobox, -row, -col))
        found[place] = found.get(place, 0) | 1 << row * SIDE + col
    return found


def _place(block: Block, first: GeoBox) -> _Place:
    corner = round(first.affine.c, 3), round(first.affine.f, 3)
    return _Place(block, first, (str(first.crs), first.shape[0], *corner))


def _moved(box: GeoBox, rows: int, cols: int) -> GeoBox:
    """A box as large, some boxes further down and to the right."""
    height, width = box.shape
    return GeoBox(box.shape, box.affine * Affine.translation(cols * width, rows * height), box.crs)


def _gone(
    former: BlockScenes, listed: Mapping[str, tuple[ListedRow, ...]], now: datetime
) -> tuple[Withdrawn, ...]:
    """What was noticed before, and what a former list has and a new one lacks."""
    there = {scene for rows in listed.values() for scene, _ in rows}
    lost = (s.index for rows in former.sensors.values() for s, _ in rows if s not in there)
    return (*former.withdrawn, *(Withdrawn(index, former.cells_of(index), now) for index in lost))


def _hull(one: TimeBin, other: TimeBin) -> TimeBin:
    """The days from the first of two spans to the last."""
    return TimeBin(min(one.start, other.start), max(one.end, other.end), other.hours_ahead)
