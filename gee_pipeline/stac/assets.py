"""Which asset of a STAC item holds which band, and how its numbers are stored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pystac

from gee_pipeline.incoming.addresses import existing, is_remote, without_secrets
from gee_pipeline.sensors import SENTINEL_2, Band, Sensor

_NO_MEASUREMENT: Final = {"thumbnail", "overview", "visual", "metadata"}
"""Roles of assets whose pixels are made for the eye."""

_BOA_OFFSET: Final = -0.1
"""Offset of reflectance in ESA's products since `_OFFSET_BASELINE`."""

_OFFSET_BASELINE: Final = 4.0
"""First processing baseline with the offset, 25 January 2022."""

Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class BandAsset:
    """Where one band of a scene lies, and how its numbers become values: ``number * scale + offset``."""

    key: str
    """Key of the asset in its item."""
    href: str
    """Absolute path or URL."""
    index: int
    """Band within the file, counted from 1."""
    scale: float | None
    """Value of one step; None where nothing is declared."""
    offset: float | None
    """Value of number 0; None where nothing is declared."""
    nodata: float | None
    """Declared number without meaning."""
    data_type: str | None
    """Declared type of the numbers, such as `uint16`."""
    default_offset: float = 0.0
    """Reflectance of number 0 where whole numbers come without scale and offset."""
    unit: str | None = None
    """Declared unit of the values, such as `dB`."""
    transform: tuple[float, ...] | None = None
    """Declared affine transform of its pixels, six numbers in row order (`proj:transform`)."""
    crs: int | None = None
    """Declared EPSG code of the transform."""

    @property
    def identity(self) -> str:
        """All that decides its values: the link without user and query, how numbers are read; of a file on a
        disk its name and that of its folder, its size and time of change. A renewed token is the same asset,
        and so is a file that was moved with all of its catalog.

        Raises:
            OSError: The file is not there.
        """
        read_as = (self.index, self.scale, self.offset, self.nodata, self.data_type, self.default_offset)
        return " ".join(map(str, (self.key, _name(self.href), *read_as, self.unit, *_stamp(self.href))))


def _name(href: str) -> str:
    """A link without its secrets; of a local file its name and that of its folder."""
    return "/".join(Path(href).parts[-2:]) if _is_local(href) else without_secrets(href)


def _is_local(href: str) -> bool:
    return not (is_remote(href) or href.startswith("/vsi"))


def _stamp(href: str) -> tuple[int, ...]:
    """Bytes and time of change of a local file; nothing of one on a server."""
    if not _is_local(href):
        return ()
    found = Path(href.removeprefix("file://")).stat()
    return found.st_size, found.st_mtime_ns


def find_bands(item: pystac.Item, sensor: Sensor = SENTINEL_2) -> dict[str, BandAsset]:
    """The assets that hold the bands of a sensor, by their names; those that the item lacks are absent."""
    entries = list(_entries(item))
    found = {band.name: _best(entries, _band_name(band), band.common_names) for band in sensor.bands}
    assets = {name: entry.asset for name, entry in found.items() if entry}
    return {name: _applied(item, asset) for name, asset in assets.items()} if sensor.esa_offset else assets


def find_layer(item: pystac.Item, name: str) -> BandAsset | None:
    """The asset whose key or band has a name (in any case, also with a resolution such as `SCL_20m`)."""
    entry = _best(list(_entries(item)), _exactly(name), ())
    return entry.asset if entry else None


@dataclass(frozen=True)
class _Entry:
    """One band of one asset, with the names it goes by."""

    asset: BandAsset
    names: tuple[str, ...]
    common: tuple[str, ...]
    siblings: int
    """Bands of the asset: a file of its own comes before a picture that repeats the band."""


def _entries(item: pystac.Item) -> Iterator[_Entry]:
    for key, asset in item.assets.items():
        if not _NO_MEASUREMENT.isdisjoint(asset.roles or ()):
            continue
        href = asset.get_absolute_href()
        if href is None:
            continue
        href = existing(href)
        fields = asset.to_dict()
        bands = _band_fields(fields)
        for place, band in enumerate(bands):
            own = (key,) if len(bands) == 1 else ()
            name = (str(band["name"]),) if band.get("name") else ()
            common = tuple(str(band[k]) for k in ("common_name", "eo:common_name") if band.get(k))
            chain = (band, fields, item.properties)
            yield _Entry(_band_asset(key, href, place + 1, chain), own + name, common, len(bands))


def _band_fields(asset: Numbers) -> list[dict[str, Any]]:
    """What the item says of each band of an asset, from all three places where catalogs say it."""
    lists = [asset.get(k) or [] for k in ("eo:bands", "raster:bands", "bands")]
    length = max(1, *(len(entries) for entries in lists))
    merged: list[dict[str, Any]] = [{} for _ in range(length)]
    for entries in lists:
        for place, fields in enumerate(entries):
            merged[place].update(fields)
    return merged


def _band_asset(key: str, href: str, index: int, chain: tuple[Numbers, ...]) -> BandAsset:
    band = chain[0]
    return BandAsset(
        key,
        href,
        index,
        scale=_number(band.get("scale", _first(chain, "raster:scale"))),
        offset=_number(band.get("offset", _first(chain, "raster:offset"))),
        nodata=_number(_first(chain, "nodata")),
        data_type=_first(chain, "data_type"),
        unit=_first(chain[:2], "unit"),
        transform=_transform(_first(chain, "proj:transform")),
        crs=_epsg(chain),
    )


def _first(chain: tuple[Numbers, ...], field: str) -> Any:
    """A field of the band, else of its asset, else of the item (STAC 1.1 inherits so)."""
    return next((fields[field] for fields in chain if fields.get(field) is not None), None)


def _transform(value: Any) -> tuple[float, ...] | None:
    return tuple(map(float, value[:6])) if isinstance(value, list) and len(value) >= 6 else None


def _epsg(chain: tuple[Numbers, ...]) -> int | None:
    """The EPSG code of the projection extension, in the words of its first or second version."""
    code, old = _first(chain, "proj:code"), _first(chain, "proj:epsg")
    digits = re.fullmatch(r"(?:EPSG:)?(\d+)", str(old if code is None else code))
    return int(digits[1]) if digits else None


def _number(value: Any) -> float | None:
    """A JSON number; the raster extension also writes "nan", "inf" and "-inf"."""
    return None if value is None else float(value)


def _best(entries: list[_Entry], name: re.Pattern[str], common: tuple[str, ...]) -> _Entry | None:
    ranked = [(rank, entry) for entry in entries if (rank := _rank(entry, name, common)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _rank(entry: _Entry, pattern: re.Pattern[str], common: tuple[str, ...]) -> tuple[Any, ...] | None:
    """Order of preference: by name before by colour, few bands, fine pixels, a short key."""
    matches = [match for name in entry.names if (match := pattern.fullmatch(name))]
    metres = min((int(match["metres"] or 0) for match in matches), default=0)
    coloured = not {name.lower() for name in entry.names + entry.common}.isdisjoint(common)
    if not matches and not coloured:
        return None
    return (not matches, entry.siblings, metres, len(entry.asset.key), entry.asset.key)


def _band_name(band: Band) -> re.Pattern[str]:
    return re.compile(rf"(?:{band.names})(?:[_-](?P<metres>\d+)m)?", re.IGNORECASE)


def _exactly(name: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(name)}(?:[_-](?P<metres>\d+)m)?", re.IGNORECASE)


def _applied(item: pystac.Item, asset: BandAsset) -> BandAsset:
    """The asset with the offset that its numbers really have.

    Earth Search subtracts ESA's offset from the pixels, says so in `earthsearch:boa_offset_applied` (v1) or
    `sentinel:boa_offset_applied` (v0, cirrus-geo/cirrus-earth-search issue 33), and still declares it
    (Element84/earth-search issue 66).
    """
    if _offset_applied(item):
        offset = 0.0 if asset.offset == _BOA_OFFSET else asset.offset
        return replace(asset, offset=offset, default_offset=0.0)
    return replace(asset, default_offset=_BOA_OFFSET if _baseline(item) >= _OFFSET_BASELINE else 0.0)


def _offset_applied(item: pystac.Item) -> bool:
    """Whether the item says, under any prefix, that ESA's offset is in its numbers already."""
    flags = (v for key, v in item.properties.items() if key.rpartition(":")[2] == "boa_offset_applied")
    return any(str(flag).lower() in ("true", "1") for flag in flags)


def _baseline(item: pystac.Item) -> float:
    """Processing baseline, 0 where the item does not say; `N0400` and `04.00` are both in use."""
    keys = ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline")
    text = next((str(item.properties[k]) for k in keys if item.properties.get(k)), "0")
    match = re.fullmatch(r"N?(\d\d)\.?(\d\d)", text)
    return int(match[1]) + int(match[2]) / 100 if match else 0.0
