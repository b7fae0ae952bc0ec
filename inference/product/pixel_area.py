"""Square metres of ground under a pixel: a projected pixel is 100 m² only in an equal-area CRS."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.grid import Grid


def cell_pixel_area(geobox: GeoBox) -> float:
    """Square metres of ground of a mean pixel of a cell, on the ellipsoid of its CRS.

    Args:
        geobox: Pixels of the cell; its CRS is projected and in metres.
    """
    height, width = geobox.shape
    transform = geobox.transform
    x, y = transform.c + transform.a * width / 2, transform.f + transform.e * height / 2
    pixel = abs(transform.a * transform.e)
    return float(ground_area(geobox.crs, np.array([x]), np.array([y]), pixel)[0])


def cell_pixel_areas(grid: Grid, cells: NDArray[np.int32]) -> NDArray[np.float64]:
    """Square metres of ground of a mean pixel, for many cells at once.

    Args:
        grid: Grid of the run.
        cells: Rows and columns `(n, 2)`.

    Returns:
        One area a cell `(n,)`.
    """
    step = grid.cell_size * PIXEL_SIZE
    x = grid.geobox.transform.c + (cells[:, 1] + 0.5) * step
    y = grid.geobox.transform.f - (cells[:, 0] + 0.5) * step
    return ground_area(grid.geobox.crs, x, y, PIXEL_SIZE**2)


def ground_area(crs: Any, x: NDArray[Any], y: NDArray[Any], pixel: float) -> NDArray[np.float64]:
    """Ground under `pixel` square metres of a projection at some points `x`, `y`, square metres.

    The area element of the ellipsoid, M N cos(lat) dlon dlat (Snyder 1987, equations 4-18 to 4-20), times the
    Jacobian of the projection by central differences: PROJ's own factors take Web Mercator for a sphere. One
    point serves a whole cell: over 2,560 m the mean differs by 1e-7.
    """
    to_degrees, geod = _ellipsoid(str(crs))
    lonlat = to_degrees.transform
    step = 100.0  # metres, either side
    east, west = lonlat(x + step, y, radians=True), lonlat(x - step, y, radians=True)
    north, south = lonlat(x, y + step, radians=True), lonlat(x, y - step, radians=True)
    eastward, northward = _turn(east[0] - west[0]), _turn(north[0] - south[0])
    jacobian = (eastward * (north[1] - south[1]) - northward * (east[1] - west[1])) / (2 * step) ** 2
    lat = (north[1] + south[1]) / 2
    curved = 1 - geod.es * np.sin(lat) ** 2
    element = geod.a**2 * (1 - geod.es) * np.cos(lat) / curved**2
    return np.asarray(pixel * element * np.abs(jacobian), np.float64)


@lru_cache(maxsize=8)  # a sample of blocks asks for one CRS once a block
def _ellipsoid(crs: str) -> tuple[pyproj.Transformer, pyproj.Geod]:
    """From the coordinates of a projection to longitude and latitude, and on which ellipsoid."""
    projected = pyproj.CRS.from_user_input(crs)
    to_degrees = pyproj.Transformer.from_crs(projected, projected.geodetic_crs, always_xy=True)
    return to_degrees, projected.get_geod() or pyproj.Geod(ellps="WGS84")


def _turn(step: NDArray[np.float64]) -> NDArray[np.float64]:
    """A difference of longitudes the short way round, also across the antimeridian, radians."""
    return np.where(np.abs(step) > np.pi, step - 2 * np.pi * np.sign(step), step)
