"""Images that are ingested from Cloud Storage: what a manifest asks for, and the asset that comes of it.

Fields, their meaning and what values properties may have are those of Google's guide to manifests
(guides/image_manifest). Not known, and made up here: the words of refusals, which of them come at once and
which end the task, and the form of property names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile

from tests.support.ee_emulator.archive import ImageAsset, Raster, milliseconds
from tests.support.ee_emulator.assets import IngestedImage, check_name
from tests.support.ee_emulator.faults import Refusal, foreign_project, unknown_field

_FIELDS: Final = {"imageManifest", "description", "overwrite", "requestId"}
_MANIFEST: Final = {"name", "tilesets", "bands", "properties", "startTime", "endTime"}
_UNKNOWN_HERE: Final = {
    "uriPrefix",
    "maskBands",
    "footprint",
    "missingData",
    "pyramidingPolicy",
    "skipMetadataRead",
    "memo",
}
"""Fields of a manifest that the service knows and the emulator does not."""

_POLICIES: Final = ("MEAN", "MODE", "SAMPLE")
_URI: Final = re.compile(r"gs://([^/]+)/(.+)")
_PROPERTY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""Property names that are taken for sure; others are refused, though the service may take them."""

Fetch = Callable[[str, str], bytes]
"""Bytes of an object by bucket and name."""


@dataclass(frozen=True)
class ImportedBand:
    """A band of the asset, as the manifest says it."""

    id: str
    uri: tuple[str, str]
    """Bucket and object."""
    index: int
    """Band of the file, counted from 0."""
    missing: tuple[float, ...]
    policy: str


@dataclass(frozen=True)
class Import:
    """One `image:import`, understood."""

    name: str
    """projects/PROJECT/assets/NAME."""
    overwrite: bool
    bands: tuple[ImportedBand, ...]
    properties: Mapping[str, str | float]
    start: str | None
    end: str | None


def import_of(body: dict[str, Any], project: str) -> Import:
    """What an `image:import` asks for.

    Args:
        body: The request.
        project: The only project that assets can be written to.

    Raises:
        Refusal: A field is unknown, or it asks for what cannot be, or for what the emulator does not do.
    """
    _only(body, _FIELDS)
    manifest = body.get("imageManifest") or {}
    if known := sorted(set(manifest) & _UNKNOWN_HERE):
        raise Refusal(400, f"The emulator ingests images without {known[0]}.")
    _only(manifest, _MANIFEST)
    check_name(manifest.get("name", ""))
    if manifest["name"].split("/")[1] != project:
        raise foreign_project(manifest["name"].split("/")[1])
    for name, value in manifest.get("properties", {}).items():
        _require_property(name, value)
    return Import(
        manifest["name"],
        body.get("overwrite", False),
        _bands(manifest),
        manifest.get("properties", {}),
        _time(manifest.get("startTime")),
        _time(manifest.get("endTime")),
    )


def ingest(asked: Import, fetch: Fetch) -> IngestedImage:
    """The asset.

    Args:
        asked: What is asked for.
        fetch: Gives the files.

    Raises:
        Refusal: A file is not there, or is no such raster.
    """
    rasters = {band.id: _raster(band, fetch) for band in asked.bands}
    times = {"startTime": asked.start, "endTime": asked.end}
    properties = dict(asked.properties)
    if asked.end is not None:
        properties["system:time_end"] = milliseconds(datetime.fromisoformat(asked.end))
    told = {
        "bands": [_told(band, rasters[band.id]) for band in asked.bands],
        "properties": dict(asked.properties),
        **{name: time for name, time in times.items() if time is not None},
    }
    start = None if asked.start is None else datetime.fromisoformat(asked.start)
    return IngestedImage(ImageAsset(asked.name, start, rasters, properties), told)


def _only(message: Mapping[str, Any], names: set[str]) -> None:
    if unknown := set(message) - names:
        raise unknown_field(min(unknown))


def _require_property(name: str, value: Any) -> None:
    if not _PROPERTY.fullmatch(name):
        raise Refusal(400, f"Invalid property name: '{name}'.")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refusal(400, f"Property '{name}' is neither a number nor a string.")


def _bands(manifest: Mapping[str, Any]) -> tuple[ImportedBand, ...]:
    files = {}
    for tileset in manifest.get("tilesets", []):
        _only(tileset, {"id", "sources"})
        if tileset.get("id", "") in files:
            raise Refusal(400, f"Tileset ID '{tileset.get('id', '')}' is not unique.")
        files[tileset.get("id", "")] = _uri(tileset)
    bands = tuple(_band(band, files) for band in manifest.get("bands", []))
    if not bands:
        raise Refusal(400, "The emulator ingests images whose bands are named.")
    if twice := [name for name, n in Counter(band.id for band in bands).items() if n > 1]:
        raise Refusal(400, f"Band ID '{twice[0]}' is not unique.")
    return bands


def _uri(tileset: Mapping[str, Any]) -> tuple[str, str]:
    sources = tileset.get("sources", [])
    if len(sources) != 1 or set(sources[0]) != {"uris"} or len(sources[0]["uris"]) != 1:
        raise Refusal(400, "The emulator ingests one file a tileset.")
    found = _URI.fullmatch(sources[0]["uris"][0])
    if not found:
        raise Refusal(400, f"Invalid Cloud Storage URI: '{sources[0]['uris'][0]}'.")
    return found[1], found[2]


def _band(band: Mapping[str, Any], files: Mapping[str, tuple[str, str]]) -> ImportedBand:
    _only(band, {"id", "tilesetId", "tilesetBandIndex", "missingData", "pyramidingPolicy"})
    policy = band.get("pyramidingPolicy", "MEAN")
    if policy not in _POLICIES:
        raise Refusal(400, f"Invalid value at 'pyramiding_policy': '{policy}'.")
    if band.get("tilesetId", "") not in files:
        raise Refusal(400, f"Band '{band['id']}' is of no tileset: '{band.get('tilesetId', '')}'.")
    missing = band.get("missingData", {})
    _only(missing, {"values"})
    return ImportedBand(
        band["id"],
        files[band.get("tilesetId", "")],
        band.get("tilesetBandIndex", 0),
        tuple(missing.get("values", ())),
        policy,
    )


def _time(text: Any) -> str | None:
    if text is None:
        return None
    try:
        if datetime.fromisoformat(text).tzinfo is not None:
            return str(text)
    except (TypeError, ValueError):
        pass
    raise Refusal(400, f"Illegal timestamp format: {text!r}.")


def _raster(band: ImportedBand, fetch: Fetch) -> Raster:
    bucket, name = band.uri
    content = fetch(bucket, name)
    try:
        with MemoryFile(content) as memory, memory.open() as file:
            return _read(band, file)
    except RasterioIOError as error:
        raise Refusal(400, f"Unable to read 'gs://{bucket}/{name}' as a TIFF.") from error


def _read(band: ImportedBand, file: rasterio.DatasetReader) -> Raster:
    if not 0 <= band.index < file.count:
        raise Refusal(400, f"Band '{band.id}' is band {band.index} of a file with {file.count} bands.")
    if file.crs is None:
        raise Refusal(400, f"The file of band '{band.id}' has no CRS.")
    values = file.read(band.index + 1)
    missing = band.missing or (() if file.nodata is None else (file.nodata,))
    code = file.crs.to_epsg()
    crs = f"EPSG:{code}" if code else file.crs.to_wkt()
    return Raster(values, Affine(*file.transform[:6]), crs, mask=~np.isin(values, missing))


def _told(band: ImportedBand, raster: Raster) -> dict[str, Any]:
    """A band as the service tells it: shears of 0 are left out."""
    names = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    affine = dict(zip(names, raster.transform[:6], strict=True))
    crs = {"crsCode": raster.crs} if raster.crs.startswith("EPSG:") else {"crsWkt": raster.crs}
    height, width = raster.shape
    return {
        "id": band.id,
        "dataType": {"precision": "INT", "range": _range(raster.dtype)},
        "grid": {
            **crs,
            "dimensions": {"width": width, "height": height},
            "affineTransform": {name: value for name, value in affine.items() if value},
        },
        "pyramidingPolicy": band.policy,
    }


def _range(dtype: np.dtype[Any]) -> dict[str, float]:
    if dtype.kind not in "iu":
        raise Refusal(400, f"The emulator ingests whole numbers, not {dtype}.")
    info = np.iinfo(dtype)
    return {name: limit for name, limit in (("min", info.min), ("max", info.max)) if limit}
