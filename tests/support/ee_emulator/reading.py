"""Bands are read on grids: where the pixels lie, and what was read before."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.values import Band, EmulatorError, Pixels, Projection

CACHE_BYTES = 4 * 2**30
"""Arrays that a request keeps, so that a band shared by many others is computed once."""

COARSEST = 1.99
"""Pixels of a source across one of a request; from two on the servers read their pyramid."""


class Reader:
    """The pixels of one request; each (band, grid) is computed once while there is room."""

    def __init__(self, budget: int = CACHE_BYTES) -> None:
        self._budget, self._used = budget, 0
        self._kept: OrderedDict[tuple[Any, Grid], Pixels] = OrderedDict()
        self._places: dict[Any, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def read(self, band: Band, grid: Grid) -> Pixels:
        """Values and mask of a band."""
        key = (band.compute, grid)
        if (found := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return found
        pixels = band.compute(self, grid)
        self._keep(key, pixels)
        return pixels

    def places(self, grid: Grid, projection: Projection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the pixels that hold the centres of a grid, broadcastable to its shape."""
        key = (grid, projection)
        if key not in self._places:
            self._places[key] = locate(grid, projection)
        return self._places[key]

    def _keep(self, key: tuple[Any, Grid], pixels: Pixels) -> None:
        self._kept[key] = pixels
        self._used += pixels.values.nbytes + pixels.mask.nbytes
        while self._used > self._budget and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._used -= dropped.values.nbytes + dropped.mask.nbytes


def shape_of(grid: Grid) -> tuple[int, int]:
    """Rows and columns."""
    return grid.height, grid.width


def centres(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of the pixels' centres in the grid's CRS, broadcastable to its shape."""
    cols = np.arange(grid.width)[None, :] + 0.5
    rows = np.arange(grid.height)[:, None] + 0.5
    t = grid.transform
    if t.b == 0 and t.d == 0:
        return t.c + t.a * cols, t.f + t.e * rows
    return t.c + t.a * cols + t.b * rows, t.f + t.d * cols + t.e * rows


def centres_in(grid: Grid, crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of the pixels' centres in another CRS."""
    x, y = centres(grid)
    if same_crs(grid.crs, crs):
        return x, y
    x, y = np.broadcast_arrays(x, y)
    return transformer(grid.crs, crs).transform(x, y)


def locate(grid: Grid, projection: Projection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of a projection's pixels that hold the centres of a grid.

    A centre on an edge belongs to the pixel to the right of it, or below.
    """
    x, y = centres_in(grid, projection.crs)
    t = projection.transform
    if t.b == 0 and t.d == 0:
        cols, rows = (x - t.c) / t.a, (y - t.f) / t.e
    else:
        cols, rows = ~t @ (x, y)
    if not (np.isfinite(cols).all() and np.isfinite(rows).all()):
        raise EmulatorError(f"The grid in {grid.crs} cannot be projected to {projection.crs}.")
    return np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)


def require_fine(grid: Grid, projection: Projection) -> None:
    """Refuse to read an asset on pixels from twice its own size on.

    The servers would then read a pyramid of means or samples, which the emulator does not have.
    """
    ratio = pixel_size(grid, projection.crs) / max(abs(projection.transform.a), abs(projection.transform.b))
    if ratio > COARSEST:
        raise EmulatorError(
            f"The emulator has no pyramids: it was asked for pixels {ratio:.3g} times as large as those of "
            f"an asset in {projection.crs}."
        )


@lru_cache(maxsize=4096)
def pixel_size(grid: Grid, crs: str) -> float:
    """Width of the middle pixel of a grid in the units of a CRS."""
    t = grid.transform
    row, col = grid.height / 2, grid.width / 2
    if same_crs(grid.crs, crs):
        return float(np.hypot(t.a, t.d))
    (x0, y0), (x1, y1) = t @ (col - 0.5, row), t @ (col + 0.5, row)
    (u0, u1), (v0, v1) = transformer(grid.crs, crs).transform([x0, x1], [y0, y1])
    return float(np.hypot(u1 - u0, v1 - v0))


def metres_per_pixel(grid: Grid) -> float:
    """Width of a pixel in metres: as it is in a projected CRS, at the equator in degrees."""
    return nominal_scale(Projection(grid.crs, grid.transform))


def nominal_scale(projection: Projection) -> float:
    """Metres of one pixel of a projection; degrees count as at the equator."""
    width = float(np.hypot(projection.transform.a, projection.transform.d))
    return width * metres_per_unit(projection.crs)


@lru_cache(maxsize=256)
def metres_per_unit(crs: str) -> float:
    """Metres of one unit of a CRS."""
    parsed = parse_crs(crs)
    factor = parsed.axis_info[0].unit_conversion_factor
    return 6_378_137.0 * factor if parsed.is_geographic else factor


@lru_cache(maxsize=256)
def parse_crs(crs: str) -> pyproj.CRS:
    """The CRS of a code or WKT.

    Raises:
        EmulatorError: There is none.
    """
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise EmulatorError(f"The CRS of a map projection could not be parsed: {crs!r}.") from error


@lru_cache(maxsize=1024)
def same_crs(one: str, other: str) -> bool:
    """Whether two names mean the same CRS."""
    return one == other or parse_crs(one) == parse_crs(other)


def transformer(source: str, target: str) -> pyproj.Transformer:
    """From one CRS to another, x before y; one per thread, because PROJ's are not shared."""
    return _transformer(source, target, threading.get_ident())


@lru_cache(maxsize=512)
def _transformer(source: str, target: str, thread: int) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)


def window(grid: Grid, projection: Projection, margin: int = 0) -> Grid:
    """The pixels of a projection that hold the centres of a grid, as a grid of their own."""
    rows, cols = locate(grid, projection)
    top, left = int(rows.min()) - margin, int(cols.min()) - margin
    height, width = int(rows.max()) - top + 1 + margin, int(cols.max()) - left + 1 + margin
    return Grid(projection.crs, projection.transform * Affine.translation(left, top), width, height)
