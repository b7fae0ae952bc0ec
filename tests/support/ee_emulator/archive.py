"""The data that the emulator serves: rasters, images and the collections their ids make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import Reader, locate, require_fine, shape_of, transformer
from tests.support.ee_emulator.values import (
    INDEX,
    TIME,
    Band,
    Collection,
    EmulatorError,
    Footprint,
    Image,
    Pixels,
    Projection,
)

EDGE_POINTS = 16
"""Points along each side of a raster, so that its outline in degrees bends as the projection does."""


@dataclass(frozen=True, eq=False)
class Raster:
    """One band on its own pixels."""

    values: NDArray[Any]
    """`(y, x)`, of the type that the band has."""
    transform: Affine
    """From (column, row) to coordinates of the CRS."""
    crs: str
    nodata: float | None = None
    """Value of masked pixels; NaN is always masked."""
    mask: NDArray[np.bool_] | None = None
    """`(y, x)`, True where valid, besides `nodata`."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or (self.mask is not None and self.mask.shape != self.values.shape):
            raise ValueError("A raster has values (y, x), and a mask of the same shape.")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape  # type: ignore[return-value]

    @property
    def projection(self) -> Projection:
        """Its pixels."""
        return Projection(self.crs, self.transform)

    @cached_property
    def outline(self) -> shapely.Polygon:
        """Its edge in EPSG:4326."""
        height, width = self.shape
        edge = shapely.segmentize(shapely.box(0, 0, width, height), max(height, width) / EDGE_POINTS)
        x, y = self.transform @ tuple(np.array(edge.exterior.coords).T)
        lon, lat = transformer(self.crs, "EPSG:4326").transform(x, y)
        if np.ptp(lon) > 180:  # it crosses the antimeridian
            lon = np.where(lon < 0, lon + 360, lon)
        return shapely.Polygon(np.column_stack([lon, lat]))

    def read(self, rows: slice, cols: slice) -> Pixels:
        """A window of it."""
        values = self.values[rows, cols]
        mask = np.ones(values.shape, bool) if self.mask is None else self.mask[rows, cols]
        if self.nodata is not None:
            mask = mask & (values != self.nodata)
        if values.dtype.kind == "f":
            mask = mask & ~np.isnan(values)
        return Pixels(values, mask)

    def covers(self, grid: Grid) -> NDArray[np.bool_]:
        """Which pixel centres of a grid lie on it."""
        rows, cols = locate(grid, self.projection)
        height, width = self.shape
        return np.broadcast_to((rows >= 0) & (cols >= 0) & (rows < height) & (cols < width), shape_of(grid))

    def band(self, name: str) -> Band:
        """A band that reads the nearest pixel; masked beyond the raster."""
        projection, (height, width) = self.projection, self.shape

        def compute(reader: Reader, grid: Grid) -> Pixels:
            require_fine(grid, projection)
            rows, cols = reader.places(grid, projection)
            inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
            if not inside.any():
                empty = np.zeros((), self.dtype)
                return Pixels(np.broadcast_to(empty, shape_of(grid)), np.zeros(shape_of(grid), bool))
            rows, cols = rows.clip(0, height - 1), cols.clip(0, width - 1)
            top, left = int(rows.min()), int(cols.min())
            part = self.read(slice(top, int(rows.max()) + 1), slice(left, int(cols.max()) + 1))
            rows, cols = rows - top, cols - left
            return Pixels(part.values[rows, cols], part.mask[rows, cols] & inside)

        return Band(name, self.dtype, compute, projection, self.shape)


@dataclass(frozen=True, eq=False)
class ImageAsset:
    """One image with an id."""

    id: str
    """For example `COPERNICUS/S2_SR_HARMONIZED/20210605T164901_20210605T165513_T15SYV`."""
    time_start: datetime | None
    """Acquisition; without time zone it is UTC. None leaves the property out."""
    bands: Mapping[str, Raster]
    """By name, in order; CRS and pixel sizes may differ."""
    properties: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.bands:
            raise ValueError(f"An image has at least one band; {self.id} has none.")

    @property
    def collection(self) -> str:
        """Id without its last part."""
        return self.id.rpartition("/")[0]

    @property
    def index(self) -> str:
        """Last part of the id."""
        return self.id.rpartition("/")[2]

    @cached_property
    def image(self) -> Image:
        """The value of `Image.load`."""
        bands = tuple(raster.band(name) for name, raster in self.bands.items())
        return Image(bands, self._properties(), self._footprint(), self.id)

    def _properties(self) -> dict[str, Any]:
        time = {} if self.time_start is None else {TIME: milliseconds(self.time_start)}
        return {INDEX: self.index, **time, **self.properties}

    def _footprint(self) -> Footprint:
        rasters = list({(r.crs, r.transform, r.shape): r for r in self.bands.values()}.values())

        def inside(grid: Grid) -> NDArray[np.bool_]:
            return np.logical_or.reduce([raster.covers(grid) for raster in rasters])

        return Footprint(shapely.union_all([raster.outline for raster in rasters]), inside)


class Archive:
    """Images by id; an id up to its last slash is a collection."""

    def __init__(self, images: Iterable[ImageAsset] = (), *, collections: Iterable[str] = ()) -> None:
        """Hold some images, and collections that may be empty."""
        self._images: dict[str, ImageAsset] = {}
        self._collections = set(collections)
        for image in images:
            self.add(image)

    def add(self, image: ImageAsset) -> None:
        """Add an image, or replace that of the same id."""
        self._images[image.id] = image

    def withdraw(self, name: str) -> None:
        """Take an image away; its collection stays."""
        self._collections.add(self._images.pop(name).collection)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[ImageAsset]:
        return iter(self._images.values())

    def image(self, name: str) -> Image:
        """The image of an id.

        Raises:
            EmulatorError: There is none.
        """
        if name not in self._images:
            raise EmulatorError(
                f"Image.load: Image asset '{name}' not found (does not exist or caller does not have access)."
            )
        return self._images[name].image

    def images(self, name: str) -> Collection:
        """The images whose ids begin with that of a collection, in order of their ids.

        Raises:
            EmulatorError: There is none.
        """
        found = sorted((image for image in self._images.values() if image.collection == name), key=_by_id)
        if not found and name not in self._collections:
            raise EmulatorError(
                f"ImageCollection.load: ImageCollection asset '{name}' not found (does not exist or caller "
                "does not have access)."
            )
        return Collection(tuple(image.image for image in found), name)


def milliseconds(time: datetime) -> int:
    """Milliseconds since 1970 of a moment, UTC where it names no time zone."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return round(aware.timestamp() * 1000)


def _by_id(image: ImageAsset) -> str:
    return image.id
