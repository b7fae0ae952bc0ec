"""Shapes in one CRS become shapes in another; edges bend as Earth Engine would bend them."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from tests.support.ee_emulator.reading import parse_crs, same_crs, transformer
from tests.support.ee_emulator.values import Geometry

_PIECES = 32
"""Pieces into which a long edge is cut before it is projected."""

_SPHERE = pyproj.Geod(a=6_378_137.0, b=6_378_137.0)
"""Geodesic edges run over a sphere."""


def lonlat(geometry: Geometry) -> BaseGeometry:
    """The shape in EPSG:4326, its edges densified."""
    return projected(geometry, "EPSG:4326")


def projected(geometry: Geometry, crs: str) -> BaseGeometry:
    """The shape in a CRS, its edges densified where they bend."""
    if same_crs(geometry.crs, crs) and not geometry.geodesic:
        return geometry.shape
    return _projected(geometry.shape, geometry.crs, geometry.geodesic, crs)


def meets(one: BaseGeometry | None, other: BaseGeometry | None) -> bool:
    """Whether two shapes in EPSG:4326 share a point; None is everywhere."""
    if one is None or other is None:
        return True
    return _meets(one, other)


@lru_cache(maxsize=16_384)
def _meets(one: BaseGeometry, other: BaseGeometry) -> bool:
    return any(
        shapely.intersects(
            one, shapely.transform(other, lambda points, turn=turn: points + np.array([turn, 0]))
        )
        for turn in (0, -360, 360)
    )


@lru_cache(maxsize=1024)
def _projected(shape: BaseGeometry, source: str, geodesic: bool, target: str) -> BaseGeometry:
    to_target = transformer(source, target)

    def project(points: Any) -> Any:
        return np.column_stack(to_target.transform(points[:, 0], points[:, 1]))

    return shapely.transform(_dense(shape, source, geodesic), project)


def _dense(shape: BaseGeometry, crs: str, geodesic: bool) -> BaseGeometry:
    """More points along the edges: on great circles, or straight in the CRS."""
    if shape.length == 0:
        return shape
    if not (geodesic and parse_crs(crs).is_geographic):
        west, south, east, north = shape.bounds
        return shapely.segmentize(shape, max(east - west, north - south) / _PIECES)
    if isinstance(shape, shapely.Polygon):
        return shapely.Polygon(_curved(shape.exterior), [_curved(ring) for ring in shape.interiors])
    if isinstance(shape, shapely.LineString):
        return shapely.LineString(_curved(shape))
    if hasattr(shape, "geoms"):
        return type(shape)([_dense(part, crs, geodesic) for part in shape.geoms])
    return shape


def _curved(line: Any) -> list[tuple[float, float]]:
    points = list(line.coords)
    curved = [points[0]]
    for (x0, y0), (x1, y1) in pairwise(points):
        curved += [*_SPHERE.npts(x0, y0, x1, y1, _PIECES - 1), (x1, y1)]
    return curved
