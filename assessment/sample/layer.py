"""Small vector files that people bring: points with answers, districts with names."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import shapely

from gee_pipeline.errors import InputError
from gee_pipeline.files import ODD_VALUES, require_no_pipe

_NO_AREAS: Final = ("Point", "LineString", "MultiPoint", "MultiLineString")


def read_layer(path: Path, what: str, *, areas: bool = False) -> Any:
    """The rows of the only layer of a vector file, as a data frame; with geometries where it has some.

    Args:
        path: GeoPackage, GeoJSON or Shapefile.
        what: What it holds, for messages.
        areas: Whether layers of points and lines are no layers of it.

    Raises:
        InputError: It cannot be read, or has several layers.
        CorruptFileError: It is a pipe.
    """
    require_no_pipe(path)
    import geopandas
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        found = [(str(name), kind) for name, kind in pyogrio.list_layers(path)]
        layers = [name for name, kind in found if not areas or _may_hold_areas(kind)]
        if len(layers) > 1:
            raise InputError(
                f"The {what} {path} have {len(layers)} layers: {', '.join(layers[:20])}. Save the one "
                "that is meant as a file of its own."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of geometries, which are looked at later
            return geopandas.read_file(path, layer=layers[0] if layers else None)
    except (DataSourceError, DataLayerError, shapely.errors.ShapelyError, *ODD_VALUES) as error:
        reason = str(error).split(";")[0].rstrip(".")
        raise InputError(
            f"The {what} {path} cannot be read as vectors: {reason}. Give a GeoJSON, GeoPackage or Shapefile."
        ) from error


def _may_hold_areas(kind: str | None) -> bool:
    return kind is not None and kind.removesuffix(" Z") not in _NO_AREAS
