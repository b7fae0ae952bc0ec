"""GeoJSON of polygons and nothing unusual, read without GDAL, whose packages take half a second to load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shapely.geometry.base import BaseGeometry

from gee_pipeline.incoming.geometry import geometry_of

_DEGREES: Final = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
"""The CRS that GeoJSON has, as older programs write it into their files."""

_ELSEWHERE: Final = ("conformsTo", "coordRefSys", "place")
"""Members of JSON-FG, whose geometries may have any CRS."""


def plain_polygons(values: Any) -> list[BaseGeometry] | None:
    """The polygons of a GeoJSON in degrees, the same as GDAL reads; None where GDAL has to look at the file.

    That is everything which GDAL might read differently, repair or refuse: geometries of other kinds,
    heights, another CRS, rings that are not closed.

    Args:
        values: What the JSON says.
    """
    try:
        return [_polygon(geometry) for geometry in _geometries(values)]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None


def _geometries(values: Any) -> Iterator[Any]:
    """The geometries of a FeatureCollection, a Feature or of one that stands alone."""
    _require_degrees(values)
    if values["type"] == "FeatureCollection":
        for feature in values["features"]:
            yield from _geometries(_of_type(feature, "Feature"))
    elif values["type"] == "Feature":
        yield values["geometry"]
    else:
        yield values


def _polygon(values: Any) -> BaseGeometry:
    _require_degrees(values)
    several = _of_type(values, "Polygon", "MultiPolygon")["type"] == "MultiPolygon"
    for rings in values["coordinates"] if several else [values["coordinates"]]:
        for ring in rings:
            _require_plain(ring)
    return geometry_of(values)


def _require_degrees(values: Any) -> None:
    if values.get("crs", _DEGREES) != _DEGREES or any(name in values for name in _ELSEWHERE):
        raise ValueError("it may have another CRS")


def _of_type(values: Any, *types: str) -> Any:
    if values["type"] not in types:
        raise ValueError(f"it is none of {types}")
    return values


def _require_plain(ring: Any) -> None:
    if len(ring) < 4 or ring[0] != ring[-1] or any(len(corner) != 2 for corner in ring):
        raise ValueError("it is not a closed ring of corners without heights")
