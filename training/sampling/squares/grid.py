"""Where samples may lie: squares of land in degrees, and one lattice of points in each UTM zone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from gee_pipeline.bands import PIXEL_SIZE
from training.sampling.squares.rule import ZONE_WIDTH, SamplingRule

_EQUATOR_DEGREE: Final = 111_319.49
"""Metres of one degree of longitude at the equator (WGS84); at a latitude at least this x its cosine."""

_LATITUDE_DEGREE: Final = 110_574.0
"""Least metres of one degree of latitude (WGS84, at the equator)."""


@dataclass(frozen=True, order=True)
class SampleCell:
    """A square of land between whole multiples of its side; it lies in one UTM zone and hemisphere."""

    row: int
    """South edge in sides north of the equator."""
    col: int
    """West edge in sides east of Greenwich."""
    cells_in_zone: int
    """Squares side by side in the 6 degrees of a UTM zone: exact where a side in degrees is rounded."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees; neighbours share the very same numbers."""
        return (
            _degrees(self.col, self.cells_in_zone),
            _degrees(self.row, self.cells_in_zone),
            _degrees(self.col + 1, self.cells_in_zone),
            _degrees(self.row + 1, self.cells_in_zone),
        )

    @property
    def name(self) -> str:
        """South-west corner, for example `35.1N_91.2W`."""
        west, south, _, _ = self.bounds
        return f"{_text(south)}{'N' if south >= 0 else 'S'}_{_text(west)}{'E' if west >= 0 else 'W'}"

    @property
    def crs(self) -> str:
        """UTM zone."""
        zone = self.col // self.cells_in_zone + 31  # zone 31 begins at Greenwich
        return f"EPSG:{(32600 if self.row >= 0 else 32700) + zone}"

    def lattice(self, spacing: int) -> GeoBox:
        """Pixels of `spacing` metres that cover the square; their centres are those of 10 m pixels.

        All squares of a zone share one lattice: a centre lies 5 m north-east of a whole multiple of the
        spacing. So two of its points are never nearer than the spacing, within a square and across squares.
        """
        edges = shapely.segmentize(shapely.box(*self.bounds), _degrees(1, self.cells_in_zone) / 8)
        to_zone = pyproj.Transformer.from_crs("EPSG:4326", self.crs, always_xy=True)
        x, y = to_zone.transform(*shapely.get_coordinates(edges).T)
        first_col, last_col = math.floor(x.min() / spacing) - 1, math.ceil(x.max() / spacing) + 1
        first_row, last_row = math.floor(y.min() / spacing) - 1, math.ceil(y.max() / spacing) + 1
        offset = PIXEL_SIZE / 2 - spacing / 2  # from a multiple of the spacing to the edge of its pixel
        transform = Affine(
            spacing, 0, first_col * spacing + offset, 0, -spacing, (last_row + 1) * spacing + offset
        )
        return GeoBox((last_row - first_row + 1, last_col - first_col + 1), transform, self.crs)


@dataclass(frozen=True)
class LatticePoints:
    """The points of a square's lattice in degrees, and which of them samples may take."""

    lon: NDArray[np.float64]
    """`(y, x)`, degrees east."""
    lat: NDArray[np.float64]
    """`(y, x)`, degrees north."""
    allowed: NDArray[np.bool_]
    """`(y, x)`: in the square and the area, and not too near to another zone's lattice."""


def cells_touching(area: BaseGeometry, rule: SamplingRule) -> list[SampleCell]:
    """The squares that share area with a polygon, from south to north and west to east.

    Args:
        area: Polygon in EPSG:4326.
        rule: Side of the squares.
    """
    n = rule.cells_in_zone
    west, south, east, north = (edge * n / ZONE_WIDTH for edge in area.bounds)
    rows, cols = np.mgrid[math.floor(south) : math.ceil(north), math.floor(west) : math.ceil(east)]
    rows, cols = rows.ravel(), cols.ravel()
    boxes = shapely.box(_degrees(cols, n), _degrees(rows, n), _degrees(cols + 1, n), _degrees(rows + 1, n))
    shapely.prepare(area)
    shared = shapely.intersects(area, boxes)
    border = shared & ~shapely.contains_properly(area, boxes)
    shared[border] = ~shapely.touches(area, boxes[border])  # a shared edge or corner is not a shared area
    return [SampleCell(int(row), int(col), n) for row, col in zip(rows[shared], cols[shared], strict=True)]


def lattice_points(cell: SampleCell, area: BaseGeometry, rule: SamplingRule) -> LatticePoints:
    """The points of a square's lattice, and those that lie in the square and the area.

    Points of different zones, or of both sides of the equator, stand on different lattices. Where a square
    borders on such a line, half the spacing along it is left out on both sides.

    Args:
        cell: The square.
        area: Polygon in EPSG:4326.
        rule: Spacing.
    """
    geobox = cell.lattice(rule.spacing)
    lon, lat = _centres(geobox)
    west, south, east, north = cell.bounds
    inside = (lon >= west) & (lon < east) & (lat >= south) & (lat < north)
    inside &= _away_from_other_lattices(cell, lon, lat, rule.spacing / 2)
    part = shapely.clip_by_rect(area, west, south, east, north)
    shapely.prepare(part)
    inside[inside] = shapely.contains_xy(part, lon[inside], lat[inside])
    return LatticePoints(lon, lat, inside)


def draw(cell: SampleCell, codes: NDArray[Any], allowed: NDArray[np.bool_], rule: SamplingRule) -> Any:
    """Rows and columns `(n, 2)` of a square's samples, in the order in which they were drawn.

    Every point of the lattice gets a random number that depends on the seed and the square alone; the
    candidates with the lowest are taken. So a draw is independent of the order of the work, and a smaller
    area keeps the samples of a larger one that lie in it.

    Args:
        cell: The square.
        codes: `(y, x)`, class codes of the lattice's points, 0 for none.
        allowed: `(y, x)`, points that may be taken.
        rule: How many, and the seed.
    """
    numbers = _generator(cell, rule.seed).random(codes.shape)
    candidates = allowed & (codes > 0)
    groups = (
        [candidates & (codes == code) for code in np.unique(codes[candidates])]
        if rule.each_class
        else [candidates]
    )
    taken = [_lowest(numbers, group, rule.per_cell) for group in groups]
    return np.concatenate(taken) if taken else np.empty((0, 2), np.int64)


def pixel_at(geobox: GeoBox, row: int, col: int) -> GeoBox:
    """The 10 m pixel whose centre is that of a lattice's pixel."""
    x, y = geobox.transform * (col + 0.5, row + 0.5)
    half = PIXEL_SIZE / 2
    return GeoBox((1, 1), Affine(PIXEL_SIZE, 0, x - half, 0, -PIXEL_SIZE, y + half), geobox.crs)


def _lowest(numbers: NDArray[np.float64], candidates: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    where = np.argwhere(candidates)
    order = np.argsort(numbers[candidates], kind="stable")
    return where[order[:count]]


def _generator(cell: SampleCell, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, cell.row % 2**32, cell.col % 2**32, cell.cells_in_zone])


def _centres(geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(y, x)` longitudes and latitudes of the pixels' centres."""
    rows, cols = np.mgrid[: geobox.shape[0], : geobox.shape[1]]
    x, y = geobox.transform * (cols + 0.5, rows + 0.5)
    to_degrees = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(x, y)
    return lon, lat


def _away_from_other_lattices(
    cell: SampleCell, lon: NDArray[np.float64], lat: NDArray[np.float64], margin: float
) -> NDArray[np.bool_]:
    """True where a point is at least `margin` metres away from the edges that are a zone's or the equator."""
    west, south, east, north = cell.bounds
    east_west = _EQUATOR_DEGREE * np.cos(np.radians(lat))
    keep = np.ones(lon.shape, np.bool_)
    if cell.col % cell.cells_in_zone == 0:
        keep &= (lon - west) * east_west >= margin
    if (cell.col + 1) % cell.cells_in_zone == 0:
        keep &= (east - lon) * east_west >= margin
    if cell.row == 0:
        keep &= (lat - south) * _LATITUDE_DEGREE >= margin
    if cell.row == -1:
        keep &= (north - lat) * _LATITUDE_DEGREE >= margin
    return keep


def _degrees(index: Any, cells_in_zone: int) -> Any:
    return index * ZONE_WIDTH / cells_in_zone


def _text(degrees: float) -> str:
    return f"{round(abs(degrees), 5):.8g}"
