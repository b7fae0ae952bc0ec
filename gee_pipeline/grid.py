"""One pixel grid in one projected CRS, and its cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from gee_pipeline.aoi import Aoi, polygonal_part
from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.errors import InputError
from gee_pipeline.files import in_words
from gee_pipeline.incoming.addresses import is_endless

CELL_SIZE = 256
"""Pixels along one side of a cell: Earth Engine's own tile and a GeoTIFF block."""

CELL_SIZES: Final = range(32, 1025, 16)
"""Pixels along one side that a cell may have: whole tiles of a GeoTIFF."""

_SAME_PIXEL: Final = 1e-9
"""Metres by which a pixel of 10 m may be another: what a program's arithmetic loses."""

WIDEST_UTM = 8.0
"""Degrees of longitude up to which one UTM zone still serves (a zone is 6 wide)."""


@dataclass(frozen=True)
class Cell:
    """A square of the grid, named by row and column: the unit of work."""

    row: int
    """Counted from the top of the grid."""
    col: int
    """Counted from the left of the grid."""
    geobox: GeoBox
    """CRS, transform and shape of its pixels."""

    @property
    def name(self) -> str:
        """File stem, for example `r0003_c0012`."""
        return cell_name(self.row, self.col)


@dataclass(frozen=True)
class Grid:
    """All pixels of a run: 10 m, whole cells, origin on a multiple of the cell's size in metres.

    Only a grid that was taken from a raster has any other origin.
    """

    geobox: GeoBox
    """The whole grid; its shape is a multiple of `cell_size`."""
    cell_size: int = CELL_SIZE
    """Pixels along one side of a cell."""
    map_shape: tuple[int, int] | None = None
    """Rows and columns of pixels that the map has, from the top left, where it ends within cells."""

    @property
    def map_box(self) -> GeoBox:
        """The pixels of the map's rasters."""
        if self.map_shape is None:
            return self.geobox
        height, width = self.map_shape
        return self.geobox[:height, :width]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        height, width = self.geobox.shape
        return height // self.cell_size, width // self.cell_size

    def cell(self, row: int, col: int) -> Cell:
        """The cell at a row and column."""
        top, left = row * self.cell_size, col * self.cell_size
        return Cell(row, col, self.geobox[top : top + self.cell_size, left : left + self.cell_size])

    def cells(self, indices: NDArray[np.int32]) -> Iterator[Cell]:
        """The cells of an `(n, 2)` array of rows and columns, one at a time."""
        return (self.cell(int(row), int(col)) for row, col in indices)

    def cells_touching(self, area: BaseGeometry) -> NDArray[np.int32]:
        """Rows and columns `(n, 2)` of the cells that share area with a polygon, in row order.

        Blocks of cells are halved until they lie completely inside or outside, so the work grows with the
        polygon's border and not with its area.

        Args:
            area: Polygon in the grid's CRS; holes, many parts and slivers are welcome.
        """
        shapely.prepare(area)
        rows, cols = self.shape
        found = list(_touching(area, self, 0, rows, 0, cols))
        indices = np.concatenate(found) if found else np.empty((0, 2), np.int32)
        return indices[np.lexsort((indices[:, 1], indices[:, 0]))].astype(np.int32)

    def bounds(self, row: int, rows: int, col: int, cols: int) -> tuple[float, float, float, float]:
        """West, south, east, north of a block of cells, in metres."""
        step = self.cell_size * PIXEL_SIZE
        left, top = self.geobox.transform.c, self.geobox.transform.f
        return left + col * step, top - (row + rows) * step, left + (col + cols) * step, top - row * step


def cell_name(row: int, col: int) -> str:
    """File stem of a cell, for example `r0003_c0012`."""
    return f"r{row:04d}_c{col:04d}"


def inside(area: BaseGeometry, geobox: GeoBox) -> NDArray[np.bool_]:
    """Mask `(y, x)`: True where a pixel's centre lies in the polygon.

    Two areas that share a border therefore never claim the same pixel.

    Args:
        area: Polygon in the geobox's CRS.
        geobox: Pixels to test.
    """
    from rasterio.features import geometry_mask

    part = shapely.clip_by_rect(area, *geobox.boundingbox.bbox)
    if part.is_empty or part.area == 0:
        return np.zeros(geobox.shape, bool)
    return geometry_mask([part], geobox.shape, geobox.transform, invert=True)


def make_grid(
    aoi: Aoi, crs: str | None = None, cell_size: int = CELL_SIZE, *, like: Path | None = None
) -> Grid:
    """The grid that covers an area: whole cells at 10 m, snapped so that two runs share pixel edges.

    With `like` it is that of a raster, whatever the area.

    Args:
        aoi: Area of interest.
        crs: Projected CRS in metres; None takes the UTM zone of the centroid.
        cell_size: Pixels along one side of a cell.
        like: A raster whose pixels the map has; without a CRS.

    Raises:
        InputError: The CRS is unknown, geographic or not in metres, or the area is too wide for one zone; or
            the raster cannot be read or has no square pixels of 10 m.
    """
    require_one_crs(crs, like)
    if like is not None:
        return grid_like(like, cell_size)
    target = parse_crs(crs) if crs else _utm_zone(aoi)
    west, south, east, north = aoi.to(target).bounds
    if not all(math.isfinite(v) for v in (west, south, east, north)):
        raise InputError(
            f"The area cannot be projected to {name_crs(target)}. Choose a --crs that covers it."
        )
    step = cell_size * PIXEL_SIZE
    left, top = math.floor(west / step), math.ceil(north / step)
    cols, rows = math.ceil(east / step) - left, top - math.floor(south / step)
    transform = Affine(PIXEL_SIZE, 0, left * step, 0, -PIXEL_SIZE, top * step)
    return Grid(GeoBox((rows * cell_size, cols * cell_size), transform, target.to_wkt()), cell_size)


def require_one_crs(crs: str | None, like: Path | None) -> None:
    """Refuse a CRS together with a raster that has its own.

    Raises:
        InputError: Both are given.
    """
    if crs is not None and like is not None:
        raise InputError(f"--like {like} brings its own CRS, and --crs names {crs}. Omit one of the two.")


def grid_like(path: Path, cell_size: int = CELL_SIZE) -> Grid:
    """The grid of a raster: its CRS, origin and extent, pixel for pixel. Cells reach beyond its edges.

    Args:
        path: Any raster that GDAL reads.
        cell_size: Pixels along one side of a cell.

    Raises:
        InputError: It cannot be read, or its pixels are not squares of 10 m in a projected CRS, north up.
    """
    import rasterio
    from rasterio.errors import RasterioIOError

    if is_endless(path):
        raise InputError(f"The raster --like {path} is not a file, but a pipe or a device. Give a GeoTIFF.")
    try:
        with rasterio.open(path) as file:
            crs, transform, (height, width) = file.crs, file.transform, file.shape
    except RasterioIOError as error:
        raise InputError(
            f"The raster --like {path} cannot be read: {in_words(error)}. Give a GeoTIFF."
        ) from error
    target = _require_pixels_of_ten_metres(path, crs, transform)
    rows, cols = math.ceil(height / cell_size), math.ceil(width / cell_size)
    corner = Affine(PIXEL_SIZE, 0, transform.c, 0, -PIXEL_SIZE, transform.f)
    geobox = GeoBox((rows * cell_size, cols * cell_size), corner, target.to_wkt())
    return Grid(geobox, cell_size, (height, width))


def _require_pixels_of_ten_metres(path: Path, crs: Any, transform: Affine) -> pyproj.CRS:
    """The CRS of a raster whose pixels a map can have."""
    way_out = (
        "Warp it with gdalwarp -t_srs EPSG:NNNN -tr 10 10, a CRS in metres, or choose a CRS alone with --crs."
    )
    found = pyproj.CRS.from_user_input(crs) if crs else None
    units = {axis.unit_name for axis in found.axis_info} if found else set()
    if found is None or not found.is_projected or units != {"metre"}:
        name = name_crs(found) if found else "none"
        raise InputError(
            f"--like takes a raster in a projected CRS in metres, the CRS of {path} is {name}. {way_out}"
        )
    expected = (PIXEL_SIZE, 0, 0, -PIXEL_SIZE)
    got = (transform.a, transform.b, transform.d, transform.e)
    if not np.allclose(got, expected, rtol=0, atol=_SAME_PIXEL):
        raise InputError(
            f"--like takes a raster with square pixels of 10 m, north up; those of {path} have the transform "
            f"{tuple(transform[:6])}. {way_out}"
        )
    return found


def on_grid(aoi: Aoi, grid: Grid) -> Aoi:
    """The part of an area that lies on the map's pixels, with a notice where some of it does not.

    Args:
        aoi: Area of interest.
        grid: A grid; only that of a raster ends anywhere.

    Raises:
        InputError: No part of the area lies on the raster.
    """
    if grid.map_shape is None:
        return aoi
    area = aoi.to(str(grid.geobox.crs))
    raster = shapely.box(*grid.map_box.boundingbox.bbox)
    if raster.covers(area):
        return aoi
    part = polygonal_part(shapely.intersection(area, raster))
    if part.is_empty:
        raise InputError("The area of --aoi lies completely outside the raster of --like. Check both.")
    share = 1 - part.area / area.area
    text = f"The area reaches beyond the raster of --like: {share:.1%} of it is not mapped."
    crs = pyproj.CRS.from_user_input(str(grid.geobox.crs))
    return Aoi(part, crs, (*aoi.notices, text))


def require_cell_size(cell_size: int) -> None:
    """Refuse a side of cells that files or memory cannot hold.

    Raises:
        InputError: It is not in `CELL_SIZES`.
    """
    if cell_size not in CELL_SIZES:
        raise InputError(
            f"--cell-size is a multiple of 16 from {CELL_SIZES[0]} to {CELL_SIZES[-1]} pixels, got "
            f"{cell_size}."
        )


def parse_crs(text: str) -> pyproj.CRS:
    """The projected CRS in metres that a user named.

    Raises:
        InputError: The name is unknown, or the CRS is geographic or not in metres.
    """
    try:
        crs = pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError as error:
        raise InputError(f"Unknown CRS {text!r}. Give an EPSG code such as EPSG:3035.") from error
    units = {axis.unit_name for axis in crs.axis_info}
    if not crs.is_projected or units != {"metre"}:
        raise InputError(
            f"The grid has square pixels of 10 m, so --crs must be projected and in metres; {text} is in "
            f"{' and '.join(sorted(units))}. Omit --crs for UTM, or give an equal-area CRS such as "
            "EPSG:3035 (Europe) or EPSG:5070 (USA)."
        )
    return crs


def name_crs(crs: Any) -> str:
    """Short name of a CRS: its EPSG code where it has one."""
    found = pyproj.CRS.from_user_input(crs)
    code = found.to_epsg()
    return f"EPSG:{code}" if code else found.name


def _utm_zone(aoi: Aoi) -> pyproj.CRS:
    lonlat = aoi.lonlat
    west, _, east, _ = lonlat.bounds
    if east - west >= WIDEST_UTM:
        raise InputError(
            f"One UTM zone serves less than {WIDEST_UTM:g} degrees of longitude, the area spans "
            f"{east - west:.1f}. Give a national or equal-area CRS with --crs, such as EPSG:3035 (Europe) "
            "or EPSG:5070 (USA)."
        )
    lon, lat = lonlat.centroid.x, lonlat.centroid.y
    zone = min(int((lon + 180) // 6) + 1, 60)
    return pyproj.CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)


def _touching(
    area: BaseGeometry, grid: Grid, row: int, rows: int, col: int, cols: int
) -> Iterator[NDArray[np.int32]]:
    """Blocks of cell indices that share area with a polygon, by halving."""
    block = shapely.box(*grid.bounds(row, rows, col, cols))
    if not area.intersects(block):
        return
    if area.contains(block) or (rows == 1 and cols == 1):
        if area.touches(block):  # a shared edge or corner is not a shared area
            return
        grid_rows, grid_cols = np.mgrid[row : row + rows, col : col + cols]
        yield np.column_stack([grid_rows.ravel(), grid_cols.ravel()]).astype(np.int32)
        return
    half_rows, half_cols = max(rows // 2, 1), max(cols // 2, 1)
    for r, nr in ((row, half_rows), (row + half_rows, rows - half_rows)):
        for c, nc in ((col, half_cols), (col + half_cols, cols - half_cols)):
            if nr > 0 and nc > 0:
                yield from _touching(area, grid, r, nr, c, nc)
