"""Geometries of any origin: sound before GEOS sees them, and cut at the antimeridian."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

_SHAPES: Final = {
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"
}  # fmt: skip

_GLOBE: Final = 180.0
"""Degrees of longitude from the prime meridian to the antimeridian."""

_FARTHEST: Final = 720.0
"""Degrees of longitude that may still be meant; metres are far beyond."""

_NUMBERS: Final = frozenset((int, float))
"""The types of JSON's numbers; neither true nor false is one."""

Ring = NDArray[np.float64]
"""`(vertex, 2)`: closed, longitude first where it is on the globe."""


class GeometryError(ValueError):
    """A geometry cannot be used; the text is one clause that says why."""


def geometry_of(values: Any) -> BaseGeometry:
    """The geometry of GeoJSON values: rings are closed; heights, empty holes and empty parts left out.

    Raises:
        GeometryError: It is no GeoJSON geometry, has a coordinate that is not a finite number, or a ring of
            fewer than three corners.
    """
    kind = values.get("type") if isinstance(values, dict) else None
    if kind not in _SHAPES:
        raise GeometryError(f"it is not a GeoJSON geometry but {_short(values)}")
    if kind == "GeometryCollection":
        parts = _list(values.get("geometries"))
        return sound(shapely.GeometryCollection([geometry_of(part) for part in parts]))
    coordinates = values.get("coordinates")
    if kind == "Polygon":
        return _polygon(coordinates)
    if kind == "MultiPolygon":
        return shapely.MultiPolygon([_polygon(rings) for rings in _list(coordinates)])
    _require_numbers(coordinates)
    return sound(_made(lambda: shapely.geometry.shape(values)))


def footprint_of(values: Any) -> BaseGeometry:
    """The place that GeoJSON values in degrees describe: valid, on the globe, not empty.

    Raises:
        GeometryError: As `geometry_of`; or there is nothing in it.
    """
    found = shapely.make_valid(on_globe(geometry_of(values)))
    if found.is_empty:
        raise GeometryError("it is empty")
    return found


def box_of(bbox: Any) -> BaseGeometry:
    """The rectangle of a GeoJSON bbox, on the globe; west may be greater than east across the antimeridian.

    Args:
        bbox: West, south, east, north in degrees, with or without heights.

    Raises:
        GeometryError: It is not four or six finite numbers.
    """
    numbers = _row(bbox)
    if len(numbers) not in (4, 6):
        raise GeometryError(f"a bbox has four or six numbers, got {_short(bbox)}")
    (west, south), (east, north) = numbers[:2], numbers[len(numbers) // 2 :][:2]
    return on_globe(shapely.box(west, south, east + 2 * _GLOBE if west > east else east, north))


def sound(geometry: BaseGeometry) -> BaseGeometry:
    """The same geometry without heights, and without empty holes and parts, on which GEOS crashes.

    Raises:
        GeometryError: A coordinate is not finite, or it is a curve or a surface of triangles.
    """
    if geometry.geom_type not in _SHAPES | {"LinearRing"}:
        raise GeometryError(f"a {geometry.geom_type} is no polygon")
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise GeometryError("a coordinate is not a finite number")
    return _each_polygon(shapely.force_2d(geometry), _without_empty_holes)


def on_globe(geometry: BaseGeometry) -> BaseGeometry:
    """A geometry in degrees with longitudes from -180 to 180, cut in two where it crosses the antimeridian.

    Rings may run on beyond 180 degrees, or jump from 179 to -179: of two ways around the earth an edge takes
    the shorter one. A ring around a pole holds the pole; the rectangle of the whole globe stays as it is.

    Args:
        geometry: Of finite coordinates, longitude first.

    Raises:
        GeometryError: They are no degrees.
    """
    west, south, east, north = geometry.bounds if not geometry.is_empty else (0.0, 0.0, 0.0, 0.0)
    if not (-_FARTHEST <= west <= east <= _FARTHEST and -90 <= south <= north <= 90):
        raise GeometryError(f"{west:g} to {east:g}, {south:g} to {north:g} are no longitudes and latitudes")
    if west >= -_GLOBE and east <= _GLOBE and not (east - west > _GLOBE and _jumps(geometry)):
        return geometry
    return _wrapped(_each_polygon(geometry, _unrolled))


def boxes_around(geometry: BaseGeometry) -> list[tuple[float, float, float, float]]:
    """West, south, east, north of the rectangles that hold a geometry on the globe.

    Two where it touches both sides of the antimeridian, so that none of them spans the earth.

    Args:
        geometry: In degrees, not empty, as `on_globe` returns it.
    """
    west, south, east, north = geometry.bounds
    if east - west <= _GLOBE:
        return [(west, south, east, north)]
    parts = shapely.get_parts(geometry)
    middles = [(part.bounds[0] + part.bounds[2]) / 2 for part in parts]
    sides = [[p for p, x in zip(parts, middles, strict=True) if (x < 0) is side] for side in (False, True)]
    if not all(sides):
        return [(west, south, east, north)]
    return [tuple(shapely.total_bounds(side).tolist()) for side in sides]


def bbox_of(geometry: BaseGeometry) -> list[float]:
    """West, south, east, north as in GeoJSON: across the antimeridian west is the greater (RFC 7946).

    Args:
        geometry: In degrees, not empty, as `on_globe` returns it.
    """
    first, *more = boxes_around(geometry)
    return [first[0], geometry.bounds[1], more[0][2] if more else first[2], geometry.bounds[3]]


def _polygon(rings: Any) -> shapely.Polygon:
    shell, *holes = _list(rings) or [[]]
    if not _list(shell):
        return shapely.Polygon()
    outline, inside = _ring(shell), [_ring(hole) for hole in holes if _list(hole)]
    return _made(lambda: shapely.polygons(outline, [shapely.linearrings(hole) for hole in inside] or None))


def _ring(values: Any) -> Ring:
    """A closed ring; corners may have heights, which are left out."""
    corners = [_row(corner) for corner in _list(values)]
    if any(len(corner) < 2 for corner in corners):
        raise GeometryError("a corner has fewer than two numbers")
    ring = np.array([corner[:2] for corner in corners], np.float64)
    if (ring[0] != ring[-1]).any():
        ring = np.vstack([ring, ring[:1]])
    if len(ring) < 4:
        raise GeometryError("a ring has fewer than three corners")
    return ring


def _row(values: Any) -> list[float]:
    numbers = _list(values)
    if not _NUMBERS.issuperset(map(type, numbers)):
        raise GeometryError(f"a coordinate is not a number: {_short(values)}")
    try:
        floats = [float(v) for v in numbers]
    except OverflowError as error:
        raise GeometryError("a coordinate is not a finite number") from error
    if not all(map(math.isfinite, floats)):
        raise GeometryError("a coordinate is not a finite number")
    return floats


def _require_numbers(values: Any) -> None:
    """Go down to the rows of numbers of points and lines."""
    if isinstance(values, list | tuple) and values and isinstance(values[0], list | tuple):
        for part in values:
            _require_numbers(part)
    else:
        _row(values)


def _list(values: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise GeometryError(f"coordinates are lists of numbers, got {_short(values)}")
    return values


def _made(make: Callable[[], BaseGeometry]) -> Any:
    try:
        return make()
    except (shapely.errors.ShapelyError, ValueError, TypeError, IndexError) as error:
        raise GeometryError(str(error).splitlines()[0]) from error


def _short(values: Any) -> str:
    text = repr(values)
    return text if len(text) <= 60 else text[:60] + "..."


def _each_polygon(geometry: BaseGeometry, change: Callable[[shapely.Polygon], BaseGeometry]) -> BaseGeometry:
    """The geometry with each of its polygons changed; points and lines stay."""
    if geometry.geom_type == "Polygon":
        return change(geometry)
    if geometry.geom_type not in ("MultiPolygon", "GeometryCollection"):
        return geometry
    parts = [_each_polygon(part, change) for part in shapely.get_parts(geometry) if not part.is_empty]
    if all(part.geom_type == "Polygon" for part in parts):
        return shapely.MultiPolygon(parts)
    return shapely.GeometryCollection(parts)


def _without_empty_holes(polygon: shapely.Polygon) -> shapely.Polygon:
    if polygon.is_empty:
        return shapely.Polygon()
    return shapely.Polygon(polygon.exterior, [hole for hole in polygon.interiors if not hole.is_empty])


def _jumps(geometry: BaseGeometry) -> bool:
    return any(_jump(ring).any() for ring in _rings(geometry))


def _rings(geometry: BaseGeometry) -> Iterable[Ring]:
    polygons = (part for part in _simple(geometry) if part.geom_type == "Polygon")
    return (shapely.get_coordinates(ring) for polygon in polygons for ring in shapely.get_rings(polygon))


def _jump(ring: Ring) -> NDArray[np.bool_]:
    """`(edge,)`: which edges go the long way round.

    One of exactly 360 degrees does, unless the ring would then have no width, or not close.
    """
    step = np.diff(ring[:, 0])
    long, exact = np.abs(step) > _GLOBE, np.abs(step) == 2 * _GLOBE
    course = np.cumsum(step - np.where(long, 2 * _GLOBE * np.sign(step), 0))
    whole = exact.any() and (abs(course[-1]) > _GLOBE or np.ptp(course) == 0)
    return long & ~exact if whole else long


def _unrolled(polygon: shapely.Polygon) -> BaseGeometry:
    """A polygon whose longitudes run on beyond 180 degrees instead of jumping."""
    shell = _unrolled_ring(shapely.get_coordinates(polygon.exterior))
    middle = shell[:, 0].mean()
    holes = [_unrolled_ring(shapely.get_coordinates(hole)) for hole in polygon.interiors]
    for hole in holes:
        hole[:, 0] += 2 * _GLOBE * np.round((middle - hole[:, 0].mean()) / (2 * _GLOBE))
    return shapely.make_valid(shapely.Polygon(shell, holes))


def _unrolled_ring(ring: Ring) -> Ring:
    step = np.diff(ring[:, 0])
    step -= np.where(_jump(ring), 2 * _GLOBE * np.sign(step), 0)
    lon = ring[0, 0] + np.concatenate([[0.0], np.cumsum(step)])
    run = np.column_stack([lon, ring[:, 1]])
    if abs(lon[-1] - lon[0]) < _GLOBE:
        return run
    pole = np.copysign(90.0, ring[:, 1].mean())  # it went around the earth: the pole is inside
    return np.vstack([run, [lon[-1], pole], [lon[0], pole], run[:1]])


def _wrapped(geometry: BaseGeometry) -> BaseGeometry:
    """The parts of a geometry, each moved by whole turns onto the globe."""
    polygons = [part for part in _simple(geometry) if part.geom_type == "Polygon"]
    geometry = shapely.union_all(polygons) if polygons else geometry
    west, _, east, _ = geometry.bounds
    first, last = (int(np.floor((lon + _GLOBE) / (2 * _GLOBE))) for lon in (west, np.nextafter(east, west)))
    kinds, parts = {part.geom_type for part in _simple(geometry)}, []
    for turn in range(first, last + 1):
        shift = turn * 2 * _GLOBE
        part = shapely.intersection(geometry, shapely.box(shift - _GLOBE, -90, shift + _GLOBE, 90))
        moved = shapely.transform(part, lambda xy, shift=shift: xy - [shift, 0])
        parts += [p for p in _simple(moved) if not p.is_empty and p.geom_type in kinds]
    return shapely.union_all(parts)


def _simple(geometry: BaseGeometry) -> list[BaseGeometry]:
    """Its points, lines and polygons one by one, also out of collections of collections."""
    if not hasattr(geometry, "geoms"):
        return [geometry]
    return [simple for part in geometry.geoms for simple in _simple(part)]
