"""Reading the geometries of a vector file, one layer of it, whatever else is in the file."""

from __future__ import annotations

import codecs
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gee_pipeline.errors import CropmapError, InputError
from gee_pipeline.files import parse_json, read_limited
from gee_pipeline.incoming.addresses import is_endless

if TYPE_CHECKING:
    import pyproj
    from shapely.geometry.base import BaseGeometry

_JSON: Final = (".geojson", ".json")
_LARGEST_JSON: Final = 2**24
"""Bytes of a file that is read without GDAL; of larger ones loading its packages is a small part."""

_PARQUET: Final = (".parquet", ".geoparquet")
_PARTS: Final = (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx")
"""Endings of the files next to a .shp."""

_NO_AREAS: Final = ("Point", "LineString", "MultiPoint", "MultiLineString")
_NAMED: Final = 12
"""Layers that a message names."""


@dataclass(frozen=True)
class Vectors:
    """What a layer of a vector file holds, without attributes."""

    geometries: tuple[BaseGeometry | None, ...]
    """One a feature; None where it has none."""
    crs: pyproj.CRS | None
    """CRS of the coordinates, x before y; None where the file names none."""


def read_vectors(path: Path, layer: str | None = None) -> Vectors:
    """The geometries of one layer of a file, without their attributes.

    Args:
        path: A file that GDAL reads as vectors.
        layer: Which layer; None is the only one that can hold polygons.

    Raises:
        InputError: The file is missing, is no vector file, lacks a part, or does not have that one layer.
    """
    require_vector_file(path)
    plain = _read_plainly(path) if layer is None and path.suffix.lower() in _JSON else None
    return plain or _read_by_gdal(path, layer)


def _read_plainly(path: Path) -> Vectors | None:
    """A file that needs no GDAL; None where it does."""
    import pyproj

    from gee_pipeline.incoming.plain_geojson import plain_polygons

    try:
        polygons = plain_polygons(parse_json(read_limited(path, _LARGEST_JSON), path))
    except CropmapError:
        return None
    return None if polygons is None else Vectors(tuple(polygons), pyproj.CRS("EPSG:4326"))


def _read_by_gdal(path: Path, layer: str | None) -> Vectors:
    import geopandas
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        chosen = _chosen_layer(path, layer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of rings and numbers, which are looked at later
            frame = geopandas.read_file(path, layer=chosen, columns=[])  # attributes in any encoding
    except (DataSourceError, DataLayerError, shapely.errors.ShapelyError, ValueError, LookupError) as error:
        reason = str(error).split(";")[0].strip().rstrip(".")  # what follows is advice to programmers
        raise InputError(
            f"The area {path} cannot be read as vectors: {reason}. Give a GeoJSON, GeoPackage or Shapefile "
            "with --aoi."
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(f"The area {path} holds a table without geometry. Give a file with polygons.")
    return Vectors(tuple(frame.geometry), frame.crs)


def _chosen_layer(path: Path, asked: str | None) -> str | None:
    """The layer to read: that which is asked for, else the only one that may hold polygons."""
    import pyogrio

    found = [(str(name), kind) for name, kind in pyogrio.list_layers(path)]
    if asked is not None:
        names = [name for name, _ in found]
        if asked not in names:
            raise InputError(
                f"The area {path} has no layer {asked!r}; it has {_listed(names)}. Name one with --layer."
            )
        return asked
    areal = [name for name, kind in found if kind and kind.removesuffix(" Z") not in _NO_AREAS]
    if len(areal) > 1:
        raise InputError(
            f"The area {path} has {len(areal)} layers: {_listed(areal)}. Say which one is the area, such as "
            f"--layer {areal[-1]}."
        )
    return areal[0] if areal else None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more if names else "none"


def require_vector_file(path: Path) -> None:
    """Refuse what can be seen to be wrong with a file in no time, without a look into its geometries.

    Raises:
        InputError: It is missing, lacks a part, or is of a kind that is not read.
    """
    if not path.exists():
        raise InputError(
            f"The area {path} does not exist. Give a GeoJSON, GeoPackage or Shapefile with --aoi."
        )
    suffix = path.suffix.lower()
    for part in (path, *(path.with_suffix(ending) for ending in _PARTS if suffix == ".shp")):
        if is_endless(part):
            raise InputError(
                f"The area {part} is not a file, but a pipe or a device. Give a file with --aoi."
            )
    if suffix in _PARQUET:
        raise InputError(
            f"The area {path} is a GeoParquet file, which is read as samples only. Save it as GeoPackage."
        )
    if suffix in _PARTS and path.with_suffix(".shp").exists():
        raise InputError(
            f"{path} is a part of a Shapefile. Give {path.with_suffix('.shp').name}, next to it, with --aoi."
        )
    if suffix == ".shp" and not any(path.with_suffix(ending).exists() for ending in (".shx", ".SHX")):
        raise InputError(
            f"The area {path} lacks {path.with_suffix('.shx').name}: a Shapefile is several files of one "
            "name. Copy all of them, or save the area as GeoPackage."
        )
    if path.is_file() and _is_utf_16(path):
        raise InputError(f"The area {path} is a text in UTF-16. Save it in UTF-8.")


def _is_utf_16(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
