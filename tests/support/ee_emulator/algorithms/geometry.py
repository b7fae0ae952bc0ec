# ruff: noqa: N803 (arguments are named by Google)
"""GeometryConstructors.*, Geometry.*, Projection and Feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import shapely
from affine import Affine
from shapely.geometry.base import BaseGeometry

from tests.support.ee_emulator.algorithms.registry import algorithm, register_as
from tests.support.ee_emulator.algorithms.shapes import lonlat, meets, projected
from tests.support.ee_emulator.reading import metres_per_unit, nominal_scale, parse_crs, same_crs
from tests.support.ee_emulator.values import (
    Collection,
    EmulatorError,
    ErrorMargin,
    Feature,
    Geometry,
    Image,
    Projection,
)


@algorithm("ErrorMargin")
def _error_margin(request: Any, value: float | None, unit: str) -> ErrorMargin:
    return ErrorMargin(0.0 if value is None else value, unit)


@algorithm("Projection")
def _projection(request: Any, crs: Any, transform: list[Any] | None, transformWkt: str | None) -> Projection:
    if not isinstance(crs, str) or transformWkt is not None:
        raise EmulatorError("The emulator knows projections of a code or WKT, with a transform as a list.")
    parse_crs(crs)
    return Projection(crs, Affine.identity() if transform is None else affine_of(transform))


def affine_of(numbers: list[Any]) -> Affine:
    """The transform of six numbers in row-major order."""
    if len(numbers) != 6:
        raise EmulatorError(f"A CRS transform has 6 numbers, got {len(numbers)}.")
    return Affine(*map(float, numbers))


@algorithm("Projection.nominalScale")
def _nominal_scale(request: Any, proj: Projection) -> float:
    return nominal_scale(proj)


@algorithm("Projection.crs")
def _crs(request: Any, projection: Projection) -> str:
    return projection.crs


@algorithm("Projection.atScale")
def _at_scale(request: Any, projection: Projection, meters: float) -> Projection:
    return at_scale(projection, meters)


def at_scale(projection: Projection, metres: float) -> Projection:
    """The same CRS with pixels of a size in metres; origin and direction of the axes stay."""
    factor = metres / nominal_scale(projection)
    t = projection.transform
    if t == Affine.identity():  # a CRS alone: rows run south
        size = metres / metres_per_unit(projection.crs)
        return Projection(projection.crs, Affine(size, 0, 0, 0, -size, 0))
    return Projection(
        projection.crs, Affine(t.a * factor, t.b * factor, t.c, t.d * factor, t.e * factor, t.f)
    )


def points_of(coordinates: Any) -> list[tuple[float, float]]:
    """A list of pairs, or of numbers that alternate, as pairs."""
    if coordinates and all(isinstance(item, int | float) for item in coordinates):
        if len(coordinates) % 2:
            raise EmulatorError(f"Invalid number of coordinates: {len(coordinates)}.")
        return list(zip(coordinates[::2], coordinates[1::2], strict=True))
    return [_point_of(item) for item in coordinates]


def _point_of(item: Any) -> tuple[float, float]:
    if isinstance(item, Geometry) and isinstance(item.shape, shapely.Point):
        return item.shape.x, item.shape.y
    if isinstance(item, list) and len(item) == 2 and all(isinstance(value, int | float) for value in item):
        return float(item[0]), float(item[1])
    raise EmulatorError(f"Invalid point: {item!r}.")


def _made(shape: BaseGeometry, crs: Projection | None, geodesic: bool | None) -> Geometry:
    """Coordinates are those of the projection's pixels, where it has any."""
    base = Projection("EPSG:4326") if crs is None else crs
    default = same_crs(base.crs, "EPSG:4326")
    return Geometry(moved(shape, base.transform), base.crs, default if geodesic is None else geodesic)


def _ring_lists(coordinates: list[Any]) -> list[list[Any]]:
    """Rings of a polygon, where a single ring may stand alone."""
    first = coordinates[0] if coordinates else None
    if isinstance(first, list) and first and isinstance(first[0], list | Geometry):
        return coordinates
    if isinstance(first, Geometry) and isinstance(first.shape, shapely.LineString):
        return [[list(point) for point in ring.shape.coords] for ring in coordinates]
    return [coordinates]


def _polygon(coordinates: list[Any]) -> shapely.Polygon:
    shell, *holes = [points_of(ring) for ring in _ring_lists(coordinates)]
    return shapely.Polygon(shell, holes)


def moved(shape: BaseGeometry, transform: Affine) -> BaseGeometry:
    """A shape whose points are transformed."""
    if transform == Affine.identity():
        return shape
    return shapely.transform(shape, lambda points: np.column_stack(transform @ tuple(points.T)))


@algorithm("GeometryConstructors.Point")
def _point(request: Any, coordinates: list[Any], crs: Projection | None) -> Geometry:
    return _made(shapely.Point(_point_of(coordinates)), crs, None)


@algorithm("GeometryConstructors.MultiPoint")
def _multi_point(request: Any, coordinates: list[Any], crs: Projection | None) -> Geometry:
    return _made(shapely.MultiPoint(points_of(coordinates)), crs, None)


@algorithm("GeometryConstructors.LineString", "GeometryConstructors.LinearRing")
def _line(
    request: Any, coordinates: list[Any], crs: Projection | None, geodesic: bool | None, maxError: Any
) -> Geometry:
    return _made(shapely.LineString(points_of(coordinates)), crs, geodesic)


@algorithm("GeometryConstructors.Polygon")
def _polygon_made(
    request: Any,
    coordinates: list[Any],
    crs: Projection | None,
    geodesic: bool | None,
    maxError: Any,
    evenOdd: bool,
) -> Geometry:
    return _made(_polygon(coordinates), crs, geodesic)


@algorithm("GeometryConstructors.MultiPolygon")
def _multi_polygon(
    request: Any,
    coordinates: list[Any],
    crs: Projection | None,
    geodesic: bool | None,
    maxError: Any,
    evenOdd: bool,
) -> Geometry:
    return _made(shapely.MultiPolygon([_polygon(part) for part in coordinates]), crs, geodesic)


@algorithm("GeometryConstructors.Rectangle")
def _rectangle(
    request: Any, coordinates: list[Any], crs: Projection | None, geodesic: bool | None, evenOdd: bool
) -> Geometry:
    points = points_of(coordinates)
    (west, south), (east, north) = points[0], points[-1]
    return _made(shapely.box(west, south, east, north), crs, geodesic)


@algorithm("GeometryConstructors.BBox")
def _bbox(request: Any, west: float, south: float, east: float, north: float) -> Geometry:
    return Geometry(shapely.box(west, south, east, north), "EPSG:4326", False)


@algorithm("Feature")
def _feature(
    request: Any, geometry: Geometry | None, metadata: Mapping[str, Any] | None, geometryKey: str | None
) -> Feature:
    if geometryKey is not None:
        raise EmulatorError("The emulator knows no geometryKey.")
    return Feature(geometry, dict(metadata or {}))


@algorithm("Element.geometry", "Image.geometry", "Feature.geometry")
def _element_geometry(
    request: Any, feature: Any, maxError: Any, proj: Projection | None, geodesics: bool | None
) -> Geometry:
    geometry = geometry_of(feature)
    if proj is None and geodesics is None:
        return geometry
    return _in_projection(geometry, proj or Projection(geometry.crs))


def geometry_of(element: Any) -> Geometry:
    """The place of an element."""
    if isinstance(element, Image):
        if element.footprint is None:
            raise EmulatorError("The image is unbounded; the emulator has no geometry for it.")
        return Geometry(element.footprint.shape)
    if isinstance(element, Feature) and element.geometry is not None:
        return element.geometry
    raise EmulatorError("The element has no geometry.")


@algorithm("Collection.geometry")
def _collection_geometry(request: Any, collection: Collection, maxError: Any) -> Geometry:
    return Geometry(shapely.union_all([lonlat(geometry_of(element)) for element in collection.elements]))


@algorithm("Geometry.transform")
def _transform(
    request: Any, geometry: Geometry, proj: Projection | None, maxError: Any, geodesic: bool | None
) -> Geometry:
    return _in_projection(geometry, proj or Projection("EPSG:4326"))


def _in_projection(geometry: Geometry, projection: Projection) -> Geometry:
    shape = projected(geometry, projection.crs)
    return Geometry(shape, projection.crs, False)


@algorithm("Geometry.bounds")
def _bounds(request: Any, geometry: Geometry, maxError: Any, proj: Projection | None) -> Geometry:
    crs = "EPSG:4326" if proj is None else proj.crs
    return Geometry(shapely.box(*projected(geometry, crs).bounds), crs, False)


@algorithm("Geometry.buffer")
def _buffer(
    request: Any, geometry: Geometry, distance: float, maxError: Any, proj: Projection | None
) -> Geometry:
    """In metres in the UTM zone of the centre, unless a projection is given."""
    if proj is not None:
        shape = shapely.buffer(projected(geometry, proj.crs), distance)
        return Geometry(shape, proj.crs, False)
    utm = _utm(lonlat(geometry).centroid)
    buffered = Geometry(shapely.buffer(projected(geometry, utm), distance), utm, False)
    return Geometry(lonlat(buffered))


def _utm(point: shapely.Point) -> str:
    zone = int((point.x + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if point.y >= 0 else 32700) + zone}"


@algorithm("Geometry.centroid")
def _centroid(request: Any, geometry: Geometry, maxError: Any, proj: Projection | None) -> Geometry:
    crs = "EPSG:4326" if proj is None else proj.crs
    return Geometry(projected(geometry, crs).centroid, crs)


@algorithm("Geometry.area")
def _area(request: Any, geometry: Geometry, maxError: Any, proj: Projection | None) -> float:
    """Square metres on the ellipsoid, or in a projection."""
    if proj is not None:
        return float(projected(geometry, proj.crs).area)
    area, _ = parse_crs("EPSG:4326").get_geod().geometry_area_perimeter(lonlat(geometry))
    return abs(float(area))


@algorithm("Geometry.coordinates")
def _coordinates(request: Any, geometry: Geometry) -> list[Any]:
    return coordinates_of(geometry.shape)


def coordinates_of(shape: BaseGeometry) -> list[Any]:
    """Coordinates as GeoJSON nests them, in lists."""
    return _listed(shapely.geometry.mapping(shape)["coordinates"])


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


@algorithm("Geometry.type")
def _type(request: Any, geometry: Geometry) -> str:
    return geometry.shape.geom_type


@algorithm("Geometry.projection")
def _geometry_projection(request: Any, geometry: Geometry) -> Projection:
    return Projection(geometry.crs)


def _relation(name: str, test: Callable[[BaseGeometry, BaseGeometry], Any]) -> None:
    def relate(request: Any, left: Geometry, right: Geometry, maxError: Any, proj: Projection | None) -> Any:
        crs = "EPSG:4326" if proj is None else proj.crs
        found = test(projected(left, crs), projected(right, crs))
        return Geometry(found, crs, False) if isinstance(found, BaseGeometry) else found

    register_as(f"Geometry.{name}", relate)


_relation("intersects", meets)
_relation("disjoint", lambda one, two: not meets(one, two))
_relation("contains", lambda one, two: bool(one.contains(two)))
_relation("containedIn", lambda one, two: bool(one.within(two)))
_relation("intersection", lambda one, two: one.intersection(two))
_relation("union", lambda one, two: one.union(two))
_relation("difference", lambda one, two: one.difference(two))
