"""Values as the JSON of a value:compute answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely

from tests.support.ee_emulator.algorithms.shapes import lonlat
from tests.support.ee_emulator.values import (
    INDEX,
    WGS84,
    Array,
    Band,
    Classifier,
    Collection,
    Date,
    DateRange,
    EmulatorError,
    Feature,
    Geometry,
    Image,
    PixelType,
    Projection,
)


def plain(value: Any) -> Any:
    """JSON values of what `evaluate` returned.

    Raises:
        EmulatorError: It is of a kind that the emulator cannot write, such as a filter.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    raise EmulatorError(f"The emulator cannot write a {type(value).__name__} as JSON.")


def _number(value: float) -> Any:
    if not math.isfinite(value):
        raise EmulatorError(f"JSON has no {value}.")
    return value


def _image(image: Image) -> dict[str, Any]:
    info: dict[str, Any] = {"type": "Image", "bands": [_band(band) for band in image.bands]}
    if image.id is not None:
        info["id"] = image.id
    return {**info, "properties": plain(image.properties)}


def _band(band: Band) -> dict[str, Any]:
    info = {
        "id": band.name,
        "data_type": _pixel_type(PixelType(band.dtype)) | _dimensions(band),
        "crs": band.projection.crs,
        "crs_transform": list(band.projection.transform)[:6],
    }
    if band.shape is not None and band.projection != WGS84:
        info["dimensions"] = [band.shape[1], band.shape[0]]
    return info


def _dimensions(band: Band) -> dict[str, Any]:
    return {"dimensions": band.dimensions} if band.dimensions else {}


def _pixel_type(kind: PixelType) -> dict[str, Any]:
    if kind.dtype.kind == "f":
        return {"type": "PixelType", "precision": "float" if kind.dtype.itemsize == 4 else "double"}
    limits = np.iinfo(kind.dtype)
    return {"type": "PixelType", "precision": "int", "min": int(limits.min), "max": int(limits.max)}


def _geometry(geometry: Geometry) -> dict[str, Any]:
    shape = geometry.shape if geometry.geodesic else lonlat(geometry)
    return {**_listed(shapely.geometry.mapping(shape)), "geodesic": geometry.geodesic}


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


def _feature(feature: Feature) -> dict[str, Any]:
    place = None if feature.geometry is None else _geometry(feature.geometry)
    properties = {name: plain(value) for name, value in feature.properties.items() if name != INDEX}
    info: dict[str, Any] = {"type": "Feature", "geometry": place, "properties": properties}
    return {**info, "id": feature.properties[INDEX]} if INDEX in feature.properties else info


def _collection(collection: Collection) -> dict[str, Any]:
    images = bool(collection.elements) and all(isinstance(one, Image) for one in collection.elements)
    info: dict[str, Any] = {"type": "ImageCollection" if images else "FeatureCollection"}
    if collection.id is not None:
        info["id"] = collection.id
    return {
        **info,
        "features": [plain(one) for one in collection.elements],
        "properties": plain(collection.properties),
    }


_WRITERS = {
    Array: lambda array: plain(array.values.tolist()),
    Classifier: lambda classifier: {"type": "Classifier", "mode": classifier.mode},
    Image: _image,
    Feature: _feature,
    Collection: _collection,
    Geometry: _geometry,
    PixelType: _pixel_type,
    Date: lambda date: {"type": "Date", "value": date.millis},
    DateRange: lambda span: {"type": "DateRange", "dates": [span.start, span.end]},
    Projection: lambda projection: {
        "type": "Projection",
        "crs": projection.crs,
        "transform": list(projection.transform)[:6],
    },
}
