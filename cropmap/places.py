"""Areas as people have them in Python, brought to the file that a request names."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from os import getpid
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError

DEGREES: Final = "EPSG:4326"

_WAYS: Final = (
    "Give the path of a vector file, a GeoDataFrame or GeoSeries with a CRS, a pair (geometry, CRS), a box "
    "(west, south, east, north) in degrees, GeoJSON, or an ee.Geometry."
)


def area_file(aoi: Any, beside: Path) -> Path:
    """The vector file of an area; what is not a file yet is written next to a run's folder.

    The name of a written file follows from what it holds, so that the same area is written once and another
    one never replaces it: the run's own run.toml names it.

    Args:
        aoi: A path; a GeoDataFrame or GeoSeries; a pair of a shapely geometry and its CRS; a shapely geometry
            in degrees; a box of four numbers in degrees; GeoJSON as a mapping, or anything with
            `__geo_interface__`; an `ee.Geometry`, `ee.Feature` or `ee.FeatureCollection`.
        beside: Folder of the run, which need not exist.

    Raises:
        InputError: It is none of these, has no CRS or holds no polygon; nothing was written.
    """
    if isinstance(aoi, str | Path):
        return Path(aoi)
    series = _series_of(aoi)
    if series.crs is None:
        raise InputError(f"An area has a CRS, and this one has none (set it with .set_crs). {_WAYS}")
    joined = shapely.union_all(series.geometry.values)
    if not joined.area > 0:
        raise InputError(
            f"An area holds polygons, and this one is {joined.geom_type} of zero area. Give polygons; points "
            "and lines become some by .buffer(metres) in a CRS in metres."
        )
    name = hashlib.sha256(shapely.to_wkb(joined) + str(series.crs).encode()).hexdigest()[:8]
    path = beside.parent / f"{beside.name}.area-{name}.gpkg"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(geopandas.GeoDataFrame(geometry=[joined], crs=series.crs), path)
    return path


def points_file(points: Any, out: Path) -> Path:
    """The vector file of labelled places; a table with geometries is written beside the samples made of it.

    Args:
        points: A path, or a GeoDataFrame.
        out: File of the samples; the places of `here.npz` come to `here.places.gpkg`.

    Raises:
        InputError: It is neither, or has no CRS.
    """
    if isinstance(points, str | Path):
        return Path(points)
    if not isinstance(points, geopandas.GeoDataFrame) or points.crs is None:
        raise InputError(
            "Labelled places are a vector file or a GeoDataFrame with a CRS, got "
            f"{type(points).__name__}. A table with lon and lat becomes one by geopandas.GeoDataFrame(table, "
            "geometry=geopandas.points_from_xy(table.lon, table.lat), crs='EPSG:4326')."
        )
    path = out.with_name(f"{out.stem}.places.gpkg")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(points, path)
    return path


def _write(frame: geopandas.GeoDataFrame, path: Path) -> None:
    """A GeoPackage that is whole or not there."""
    part = path.with_name(f"{path.stem}.{getpid()}.part.gpkg")  # a process killed here leaves no half
    frame.to_file(part, driver="GPKG")
    part.replace(path)


@contextmanager
def passing_area_file(aoi: Any, name: str) -> Iterator[Path]:
    """The vector file of an area for a request that keeps nothing: what is not a file is one only meanwhile.

    Args:
        aoi: The area, as for `area_file`.
        name: What the file's name begins with.

    Raises:
        InputError: As `area_file`.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield area_file(aoi, Path(folder, name))


def _series_of(aoi: Any) -> geopandas.GeoSeries:
    if isinstance(aoi, geopandas.GeoDataFrame | geopandas.GeoSeries):
        return _active_geometry(aoi)
    if isinstance(aoi, BaseGeometry):
        return _in_degrees(aoi)
    if isinstance(aoi, tuple | list | np.ndarray):
        return _of_sequence(list(aoi))
    if _is_of_earth_engine(aoi):
        return _of_geojson(_plain(aoi) if hasattr(aoi, "toGeoJSON") else aoi.getInfo())
    if isinstance(aoi, Mapping):
        return _of_geojson(aoi)
    if hasattr(aoi, "crs") and hasattr(aoi, "geom"):  # a geometry of odc.geo
        return geopandas.GeoSeries([aoi.geom], crs=str(aoi.crs))
    if hasattr(aoi, "__geo_interface__"):
        return _of_geojson(aoi.__geo_interface__)
    raise InputError(f"An area of the type {type(aoi).__name__} is not known. {_WAYS}")


def _active_geometry(frame: geopandas.GeoDataFrame | geopandas.GeoSeries) -> geopandas.GeoSeries:
    try:
        return frame.geometry
    except AttributeError as error:  # so geopandas says that no column is the active one
        raise InputError(
            f"An area is the active geometry column of a GeoDataFrame, and this one has none among "
            f"{', '.join(map(str, frame.columns)) or 'no columns'}. Set it with .set_geometry."
        ) from error


def _of_sequence(aoi: list[Any]) -> geopandas.GeoSeries:
    if len(aoi) == 2 and isinstance(aoi[0], BaseGeometry):
        return _of_pair(*aoi)
    if len(aoi) == 4 and all(isinstance(value, Real) for value in aoi):
        west, south, east, north = map(float, aoi)
        if not (west < east and south < north):
            raise InputError(
                f"A box is (west, south, east, north) in degrees, got ({west:g}, {south:g}, {east:g}, "
                f"{north:g}). One that crosses 180 degrees is two areas: cut it there."
            )
        return _in_degrees(shapely.box(west, south, east, north))
    raise InputError(f"This sequence of {len(aoi)} is no area. {_WAYS}")


def _of_pair(geometry: BaseGeometry, crs: Any) -> geopandas.GeoSeries:
    try:
        return geopandas.GeoSeries([geometry], crs=crs)
    except (pyproj.exceptions.CRSError, TypeError) as error:
        raise InputError(f"A geometry comes with its CRS, and {crs!r} is none ({error}). {_WAYS}") from error


def _in_degrees(geometry: BaseGeometry) -> geopandas.GeoSeries:
    west, south, east, north = geometry.bounds
    if not geometry.is_empty and not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise InputError(
            f"A geometry without a CRS counts as degrees, and this one reaches from {west:g} to {east:g} and "
            f"{south:g} to {north:g}: give it with its CRS, as a pair (geometry, 'EPSG:32615')."
        )
    return geopandas.GeoSeries([geometry], crs=DEGREES)


def _of_geojson(values: Mapping[str, Any]) -> geopandas.GeoSeries:
    """The geometries of GeoJSON, which are in degrees."""
    try:
        if values.get("type") == "FeatureCollection":
            geometries = [feature["geometry"] for feature in values["features"]]
        elif values.get("type") == "Feature":
            geometries = [values["geometry"]]
        else:
            geometries = [values]
        shapes = [shapely.geometry.shape(geometry) for geometry in geometries if geometry]
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise InputError(f"This is no GeoJSON of an area ({error!r}). {_WAYS}") from error
    return geopandas.GeoSeries(shapes, crs=DEGREES)


def _is_of_earth_engine(aoi: Any) -> bool:
    return type(aoi).__module__.split(".")[0] == "ee"


def _plain(geometry: Any) -> Mapping[str, Any]:
    """The GeoJSON of an `ee.Geometry`; one that the servers compute is asked for in the caller's session."""
    import ee

    try:
        values: Mapping[str, Any] = geometry.toGeoJSON()
    except ee.EEException:  # it is computed, which the client says by an error
        values = geometry.getInfo()
    return values
