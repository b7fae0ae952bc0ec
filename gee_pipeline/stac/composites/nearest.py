"""The nearest source pixels of a cell, where they are a matter of rows and columns alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.math import is_affine_st
from odc.geo.overlap import ReprojectInfo, compute_reproject_roi
from rasterio.windows import Window

from gee_pipeline.composite import kernel

_SHIFTED: Final = 0.9
"""Part of a pixel by which two grids of one pixel size may be shifted and still be read pixel for pixel."""

_OFF_EDGE: Final = 1e-4
"""Part of a source pixel by which the centre of a pixel stays off its edges, so that one pixel is nearest."""


_Pixels = tuple[tuple[int, int], tuple[float, ...], str]
"""Shape, transform and CRS: quick to hash, for the cells of a block ask again and again; a GeoBox is not."""


@dataclass(frozen=True)
class Axis:
    """The rows, or the columns, of a cell that lie on a file."""

    part: slice
    """Where they are in the cell."""
    source: NDArray[np.intp]
    """The nearest source pixel of each, counted from the first that is needed."""
    first: int
    """That one, counted from the edge of the file."""

    @property
    def length(self) -> int:
        """Source pixels from the first to the last that is needed."""
        return int(self.source[-1]) + 1 if len(self.source) else 0


@dataclass(frozen=True)
class Lookup:
    """Where the source pixels of a cell are."""

    rows: Axis
    """Its rows."""
    cols: Axis
    """Its columns."""
    same_pixels: bool
    """Whether each source pixel is one pixel of the cell."""

    @property
    def window(self) -> Window | None:
        """The source pixels that are needed; None where the cell lies beside the file."""
        rows, cols = self.rows, self.cols
        return (
            Window(cols.first, rows.first, cols.length, rows.length) if rows.length and cols.length else None
        )

    def spread(self, numbers: NDArray[np.generic], nodata: float | None, out: NDArray[np.float32]) -> None:
        """Give the pixels of a cell the numbers of their source pixels, NaN for nodata.

        Args:
            numbers: `(band, y, x)` of the window.
            nodata: Number without meaning; None where there is none.
            out: `(band, y, x)` of the cell; pixels beside the file are left as they are.
        """
        missing = np.nan if nodata is None else float(nodata)
        _spread(numbers, missing, self.rows.source, self.cols.source, out[:, self.rows.part, self.cols.part])


@kernel
def _spread(numbers, nodata, rows, cols, out):  # type: ignore[no-untyped-def]
    for band in range(out.shape[0]):
        for y in range(out.shape[1]):
            source, target = numbers[band, rows[y]], out[band, y]
            for x in range(out.shape[2]):
                number = np.float32(source[cols[x]])
                target[x] = np.float32(np.nan) if number == nodata else number


def overlap(source: GeoBox, geobox: GeoBox) -> ReprojectInfo:
    """Which part of a cell lies on a file, and how their pixels belong together.

    Args:
        source: Pixels of a file.
        geobox: Pixels of a cell.
    """
    return compute_reproject_roi(source, geobox, ttol=_SHIFTED)


def look_up(source: GeoBox, geobox: GeoBox) -> Lookup | None:
    """Where the nearest source pixels of a cell are.

    None where the file has another CRS, finer pixels or is turned, or where a pixel lies half-way between two
    source pixels: then it is a matter of warping.

    Args:
        source: Pixels of a file.
        geobox: Pixels of a cell.
    """
    return _look_up(_pixels(source), _pixels(geobox))


def _pixels(box: GeoBox) -> _Pixels:
    return box.shape.yx, tuple(box.transform)[:6], str(box.crs)


@lru_cache(maxsize=4_096)
def _look_up(source_pixels: _Pixels, cell_pixels: _Pixels) -> Lookup | None:
    source, geobox = (GeoBox(shape, Affine(*six), crs) for shape, six, crs in (source_pixels, cell_pixels))
    info = overlap(source, geobox)
    to_source = info.transform.back.linear
    if to_source is None or not is_affine_st(to_source) or info.read_shrink != 1:
        return None
    if info.paste_ok:
        return _pixel_for_pixel(info)
    rows = _axis(to_source.e, to_source.f, geobox.shape.y, source.shape.y)
    cols = _axis(to_source.a, to_source.c, geobox.shape.x, source.shape.x)
    return Lookup(rows, cols, same_pixels=False) if rows and cols else None


def _pixel_for_pixel(info: ReprojectInfo) -> Lookup:
    rows, cols = (
        Axis(slice(part.start, part.stop), np.arange(found.stop - found.start), found.start)
        for part, found in zip(info.roi_dst, info.roi_src, strict=True)
    )
    return Lookup(rows, cols, same_pixels=True)


def _axis(scale: float, offset: float, size: int, source_size: int) -> Axis | None:
    """One axis of pixels whose centres lie at ``scale * (pixel + 0.5) + offset`` in the file.

    None where it is turned, or where a centre lies on an edge.
    """
    place = scale * (np.arange(size) + 0.5) + offset
    if scale <= 0 or np.abs(place - np.rint(place)).min() < _OFF_EDGE:
        return None
    there = np.flatnonzero((place > 0) & (place < source_size))
    if not len(there):
        return Axis(slice(0, 0), np.empty(0, np.intp), 0)
    part = slice(int(there[0]), int(there[-1]) + 1)
    nearest = np.floor(place[part]).astype(np.intp)
    return Axis(part, nearest - nearest[0], int(nearest[0]))
