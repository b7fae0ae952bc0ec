"""What a source of composites has to offer; every engine implements it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from gee_pipeline.grid import Cell
from gee_pipeline.layers import LayerName
from gee_pipeline.season import Season


@dataclass(frozen=True)
class SceneCounts:
    """What a composite was made of."""

    scenes: int = 0
    """Scenes that touch the cell within the bins."""
    without_score: int = 0
    """Scenes of these that had no Cloud Score+ and were masked by their scene classes (SCL)."""
    same_day: int = 0
    """Scenes of these that share their day with another of them: what both show counts once."""
    duplicates_dropped: int | None = 0
    """Clear pixel observations left out because the same day had another of the same pixel; None where
    counting them would cost computing time (Earth Engine)."""
    empty: int = 0
    """Scenes whose footprint covers the cell and which have no pixel there."""
    clear: int = 0
    """Clear pixel observations by the cloud mask; counted where scenes are read."""
    struck: int = 0
    """Clear pixel observations of these that a band has no valid value for."""
    left_out: int = 0
    """Scenes that could not be used and were left out."""

    def __add__(self, other: SceneCounts) -> SceneCounts:
        mine, theirs = vars(self), vars(other)  # not astuple, which copies: a country adds a million
        return SceneCounts(**{name: (mine[name] or 0) + (theirs[name] or 0) for name in mine})


def same_day(days: Iterable[Hashable]) -> int:
    """How many scenes share their day with another one.

    Args:
        days: The day of each scene, in any form that compares.
    """
    return sum(count for count in Counter(days).values() if count > 1)


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
    cropland: NDArray[np.bool_] | None = None
    """`(y, x)`: where the source says there is cropland; elsewhere all bins are nodata. None where it has
    no mask of its own."""


@dataclass(frozen=True)
class Spent:
    """What a server was asked for and what that cost."""

    requests: int = 0
    """Requests that were answered or refused."""
    bytes: int = 0
    """Bytes of the answers."""
    eecu_seconds: float = 0.0
    """Earth Engine compute units times seconds, as its profiler says."""
    unmeasured: int = 0
    """Requests whose computing time is not known."""

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.requests + other.requests,
            self.bytes + other.bytes,
            self.eecu_seconds + other.eecu_seconds,
            self.unmeasured + other.unmeasured,
        )

    def __sub__(self, other: Spent) -> Spent:
        return Spent(
            self.requests - other.requests,
            self.bytes - other.bytes,
            self.eecu_seconds - other.eecu_seconds,
            self.unmeasured - other.unmeasured,
        )


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


@runtime_checkable
class SceneSource(Source, Protocol):
    """A source that knows the files of its scenes, and so what has changed since a cell was made."""

    def fingerprints(self, area: BaseGeometry, season: Season, bins: range) -> dict[str, str]:
        """What decides the pixels of each scene, sixteen hex digits by its name; "" where that is not known.

        Empty where the scenes are not known.
        """

    def shows(self, cell: Cell, season: Season, bins: range, scenes: Collection[str]) -> bool:
        """Whether a cell is made of any of some scenes, by their names."""


@runtime_checkable
class BlockSource(Source, Protocol):
    """A source that makes the composites of neighbouring cells together for less than one by one."""

    def read_block(
        self, cells: Sequence[Cell], season: Season, bins: range, folder: Path
    ) -> Iterator[tuple[Cell, Composite]]:
        """The composites of cells, each as `read_cell` makes it; one that fails there is left out here.

        The array of a composite is used again for the next one.

        Args:
            cells: Cells near one another.
            season: Season to map.
            bins: Bins within the season.
            folder: A folder on the disk that has room for the composites.

        Raises:
            OSError: The disk has no room.
        """


@runtime_checkable
class ListedSource(Source, Protocol):
    """A source that lists its scenes, which takes time and memory that one process is to spend for all."""

    def kept(self, folder: Path, extent: GeoBox, season: Season, bins: range) -> Source:
        """The same source for other processes, which find its scenes in a file of the run's folder.

        Args:
            folder: Folder of the run.
            extent: All pixels of its grid.
            season: Season to map.
            bins: Bins within the season.

        Raises:
            DiskFullError: The disk has no room.
        """


@runtime_checkable
class RemoteSource(Source, Protocol):
    """A source whose cells a server computes: they are fetched in one process, ahead of the workers.

    So one limit of requests and one budget hold for the whole job, and workers need no credentials.
    """

    def cells_ahead(self, bins: int, cell_size: int) -> int:
        """Cells worth fetching at a time, so that the server is kept as busy as it allows."""

    def spent(self) -> Spent:
        """What this process has asked the server for so far; what that cost may be known later."""

    def settle(self) -> None:
        """Find out what has been spent on all that was asked for so far."""

    def keeping(self, folder: Path) -> Self:
        """The same source, which keeps in the folder of a run what it learns of the archive.

        Args:
            folder: Folder of the run.
        """

    def label(self, name: str) -> None:
        """Name what the server is asked for from now on, so that its costs can be attributed."""

    def take_notices(self) -> list[str]:
        """What the user should know since the last call, one sentence each."""


@runtime_checkable
class PredictingSource(RemoteSource, Protocol):
    """A source whose server classifies too: nothing is left to do of a cell that was fetched."""

    def read_prediction(
        self, cell: Cell, season: Season, layers: tuple[LayerName, ...] = ()
    ) -> tuple[NDArray[np.uint8], SceneCounts]:
        """Class code, confidence and clear observations `(band, y, x)` of one cell, of its whole square.

        The bands of layers follow.

        Args:
            cell: The cell.
            season: Season to map.
            layers: Layers on request, in the order of the table.

        Raises:
            AccessError: The server cannot be used.
            EarthEngineError: A part of the cell failed for good.
        """
