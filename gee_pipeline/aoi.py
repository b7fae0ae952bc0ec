"""The area of interest: a polygon from any vector file, in any CRS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError
from gee_pipeline.incoming.geometry import GeometryError, on_globe, sound
from gee_pipeline.vector_file import read_vectors


@dataclass(frozen=True)
class Aoi:
    """A valid polygon or multipolygon with an area, and its CRS."""

    geometry: BaseGeometry
    """Polygon or MultiPolygon, holes included, in `crs`."""
    crs: pyproj.CRS
    """CRS of the coordinates, x before y."""
    notices: tuple[str, ...] = ()
    """What was repaired while reading, one sentence each."""

    def to(self, crs: Any) -> BaseGeometry:
        """The polygon in another CRS, with edges that stay within a metre of their true course.

        Args:
            crs: Anything pyproj understands.
        """
        target = pyproj.CRS.from_user_input(crs)
        if target == self.crs:
            return self.geometry
        dense = shapely.segmentize(self.geometry, _segment_length(self.geometry, self.crs))
        transform = pyproj.Transformer.from_crs(self.crs, target, always_xy=True).transform
        moved = shapely.transform(dense, lambda xy: _columns(transform(xy[:, 0], xy[:, 1])))
        if target.is_geographic:
            moved = _turned(moved)
        return moved if moved.is_valid else polygonal_part(shapely.make_valid(moved))

    @property
    def lonlat(self) -> BaseGeometry:
        """The polygon in degrees, EPSG:4326, longitude first."""
        return self.to("EPSG:4326")


def read_aoi(path: Path, layer: str | None = None) -> Aoi:
    """The area of interest in a GeoJSON, GeoPackage or Shapefile: all its polygons, joined.

    Args:
        path: A file that GDAL reads as vectors; a bare GeoJSON Geometry or Feature is one too.
        layer: Which layer of it; None is the only one that can hold polygons.

    Raises:
        InputError: The file is missing, empty, of several layers, without CRS, has no area or crosses the
            antimeridian.
    """
    read = read_vectors(path, layer)
    geometries = _sound(read.geometries, path)
    if not geometries:
        raise InputError(f"The area {path} holds no polygon. Give a file with at least one polygon.")
    if read.crs is None:
        raise InputError(
            f"The area {path} has no CRS, so its coordinates have no place. Add one, for example "
            "with a .prj file or by saving it as GeoPackage with its CRS set."
        )
    if read.crs.is_geographic:
        geometries = [_turned(g) for g in geometries]
    notices = _repair_notices(geometries)
    joined = polygonal_part(shapely.union_all([shapely.make_valid(g) for g in geometries]))
    if joined.is_empty or joined.area == 0:
        raise InputError(f"The area {path} has zero area: points and lines cannot be mapped. Give polygons.")
    aoi = Aoi(joined, read.crs, notices)
    _require_on_earth(aoi, path)
    return aoi


def _sound(geometries: Iterable[BaseGeometry | None], path: Path) -> list[BaseGeometry]:
    """Those that are not empty, after a look that GEOS needs: it crashes on some."""
    try:
        found = [sound(geometry) for geometry in geometries if geometry is not None]
    except GeometryError as error:
        raise InputError(
            f"The area {path} holds a geometry that cannot be used: {error}. Correct it, for example with "
            "'Fix geometries' in QGIS."
        ) from error
    return [geometry for geometry in found if not geometry.is_empty]


def _turned(geometry: BaseGeometry) -> BaseGeometry:
    """The geometry with longitudes from -180 to 180; as it is where they are none, which is refused later."""
    try:
        return on_globe(geometry)
    except GeometryError:
        return geometry


def _repair_notices(geometries: list[BaseGeometry]) -> tuple[str, ...]:
    reasons = [shapely.is_valid_reason(g) for g in geometries if not g.is_valid]
    return tuple(f"The area was repaired: {reason}." for reason in reasons)


def polygonal_part(geometry: BaseGeometry) -> BaseGeometry:
    """The polygons of any geometry, joined; lines and points are left out."""
    parts = [p for p in shapely.get_parts(shapely.get_parts(geometry)) if p.geom_type == "Polygon"]
    return shapely.union_all(parts) if parts else shapely.MultiPolygon()


def _require_on_earth(aoi: Aoi, path: Path) -> None:
    try:
        west, south, east, north = aoi.lonlat.bounds
    except pyproj.exceptions.ProjError as error:
        raise InputError(f"The area {path} cannot be placed on the globe: {error}") from error
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise InputError(
            f"The area {path} must lie within longitude -180..180 and latitude -90..90, got "
            f"{west:.3f}..{east:.3f} and {south:.3f}..{north:.3f}. {_way_out(aoi)}"
        )
    if east - west > 180:
        raise InputError(
            f"The area {path} spans {east - west:.0f} degrees of longitude: it crosses the antimeridian, "
            "which one grid cannot. Cut it at 180 degrees and map the two parts on their own."
        )


def _way_out(aoi: Aoi) -> str:
    """What is likely wrong with coordinates that lie on no globe."""
    west, south, east, north = aoi.geometry.bounds
    if aoi.crs.is_geographic and max(map(abs, (west, south, east, north))) > 1_000:
        return (
            f"They are metres, as of UTM, in a file whose CRS is {aoi.crs.name}: save it in that CRS, or as "
            "GeoPackage with the CRS that it has."
        )
    if aoi.crs.is_geographic and -90 <= west <= east <= 90 and -180 <= south <= north <= 180:
        return "Latitude and longitude are swapped: write the longitude first."
    return (
        "Where it crosses the antimeridian, cut it there and map the two parts on their own; otherwise check "
        "its CRS."
    )


def _segment_length(geometry: BaseGeometry, crs: pyproj.CRS) -> float:
    """Longest edge before reprojection: about a kilometre, or a 2000th of a very large area."""
    unit = 0.01 if crs.is_geographic else 1_000.0
    west, south, east, north = geometry.bounds
    return max(unit, max(east - west, north - south) / 2_000)


def _columns(xy: tuple[Any, Any]) -> Any:
    import numpy as np

    return np.column_stack(xy)
