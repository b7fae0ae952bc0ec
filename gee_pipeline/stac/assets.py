"""Which asset of a STAC item holds which band, and how its numbers are stored."""

from __future__ import annotations

import marshal
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from gee_pipeline.incoming.addresses import existing, is_remote, without_secrets
from gee_pipeline.sensors import SENTINEL_2, Band, Sensor
from gee_pipeline.stac.item import Item

_NO_MEASUREMENT: Final = {"thumbnail", "overview", "visual", "metadata"}
"""Roles of assets whose pixels are made for the eye."""

_BOA_OFFSET: Final = -0.1
"""Offset of reflectance in ESA's products since `_OFFSET_BASELINE`."""

_OFFSET_BASELINE: Final = 4.0
"""First processing baseline with the offset, 25 January 2022."""

_OFFSET_APPLIED: Final = "boa_offset_applied"
"""Under any prefix, the property by which an item says that ESA's offset is in its numbers already."""

_BASELINES: Final = ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline")
"""Properties that name the processing baseline."""

_NUMBERS: Final = ("nodata", "data_type", "raster:scale", "raster:offset")
_PLACE: Final = ("proj:transform", "proj:code", "proj:epsg")

_BAND_LISTS: Final = ("eo:bands", "raster:bands", "bands")
"""All three places where catalogs say something of the bands of an asset."""

_SAID: Final = frozenset((*_BAND_LISTS, *_NUMBERS, *_PLACE, "unit"))
"""Fields of an asset that are read."""

_INHERITED: Final = (*_NUMBERS, *_PLACE, *_BASELINES)
"""Properties of an item that count for its assets, where these do not say it themselves."""

_ALIKE: Final = 1_024
"""Kinds of items that are remembered: a catalog has a few, for each tile where the place is declared."""

_PLAIN: Final = 2
"""Version of marshal in which equal values are equal bytes; it takes a fifth of the time of JSON."""

Numbers = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
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

    @property
    def values(self) -> tuple[Any, ...]:
        """All fields in order."""
        return _FIELDS(self)

    def at(self, href: str) -> BandAsset:
        """The same at another path or URL; `dataclasses.replace` takes three times as long."""
        key, _, *read_as = _FIELDS(self)
        return BandAsset(key, href, *read_as)


_FIELDS: Final = attrgetter(*(field.name for field in fields(BandAsset)))


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


@dataclass(frozen=True)
class ItemAssets:
    """What an item says of its assets, as bytes: most items of a catalog say the same, which is read once."""

    item: Item
    """The item, which knows where they lie."""
    said: bytes
    """Of each asset that has pixels to measure: its key, and the fields of it that are read."""
    inherited: bytes
    """What the item says of all of them."""

    @classmethod
    def of(cls, item: Item) -> ItemAssets:
        """Those of an item."""
        said = [
            (key, {name: value for name, value in asset.items() if name in _SAID})
            for key, asset in item.assets.items()
            if _NO_MEASUREMENT.isdisjoint(asset.get("roles") or ())
        ]
        properties = {name: value for name, value in item.properties.items() if _concerns_assets(name)}
        return cls(item, *(marshal.dumps(values, _PLAIN) for values in (said, properties)))

    def located(self, asset: BandAsset) -> BandAsset:
        """An asset of items like this one, where it lies for this one."""
        return asset.at(existing(self.item.href_of(asset.key)))


def _concerns_assets(field: str) -> bool:
    return field in _INHERITED or field.rpartition(":")[2] == _OFFSET_APPLIED


def band_names(assets: ItemAssets, sensor: Sensor) -> set[str]:
    """The bands of a sensor that an item has."""
    return set(_bands_said(assets.said, assets.inherited, sensor))


def find_bands(assets: ItemAssets, sensor: Sensor = SENTINEL_2) -> dict[str, BandAsset]:
    """Assets of a sensor's bands by name (`B2`); those that the item lacks are absent."""
    found = _bands_said(assets.said, assets.inherited, sensor)
    return {name: assets.located(asset) for name, asset in found.items()}


def find_layer(assets: ItemAssets, name: str) -> BandAsset | None:
    """The asset whose key or band has a name (in any case, also with a resolution such as `SCL_20m`)."""
    found = _layer_said(assets.said, assets.inherited, name)
    return assets.located(found) if found else None


@lru_cache(maxsize=_ALIKE)
def _bands_said(said: bytes, inherited: bytes, sensor: Sensor) -> dict[str, BandAsset]:
    entries, properties = _entries(said, inherited), marshal.loads(inherited)
    found = {band.name: _best(entries, _band_name(band), band.common_names) for band in sensor.bands}
    assets = {name: entry.asset for name, entry in found.items() if entry}
    return (
        {name: _applied(properties, asset) for name, asset in assets.items()} if sensor.esa_offset else assets
    )


@lru_cache(maxsize=_ALIKE)
def _layer_said(said: bytes, inherited: bytes, name: str) -> BandAsset | None:
    entry = _best(_entries(said, inherited), _exactly(name), ())
    return entry.asset if entry else None


@dataclass(frozen=True)
class _Entry:
    """One band of one asset, with the names it goes by."""

    asset: BandAsset
    names: tuple[str, ...]
    common: tuple[str, ...]
    siblings: int
    """Bands of the asset: a file of its own comes before a picture that repeats the band."""


@lru_cache(maxsize=_ALIKE)
def _entries(said: bytes, inherited: bytes) -> tuple[_Entry, ...]:
    properties = marshal.loads(inherited)
    return tuple(entry for key, asset in marshal.loads(said) for entry in _entries_of(key, asset, properties))


def _entries_of(key: str, asset: Numbers, properties: Numbers) -> Iterator[_Entry]:
    bands = _band_fields(asset)
    for place, band in enumerate(bands):
        own = (key,) if len(bands) == 1 else ()
        name = (str(band["name"]),) if band.get("name") else ()
        common = tuple(str(band[k]) for k in ("common_name", "eo:common_name") if band.get(k))
        chain = (band, asset, properties)
        yield _Entry(_band_asset(key, place + 1, chain), own + name, common, len(bands))


def _band_fields(asset: Numbers) -> list[dict[str, Any]]:
    """What the item says of each band of an asset, from all three places where catalogs say it."""
    lists = [asset.get(k) or [] for k in _BAND_LISTS]
    length = max(1, *(len(entries) for entries in lists))
    merged: list[dict[str, Any]] = [{} for _ in range(length)]
    for entries in lists:
        for place, said in enumerate(entries):
            merged[place].update(said)
    return merged


def _band_asset(key: str, index: int, chain: tuple[Numbers, ...]) -> BandAsset:
    band = chain[0]
    return BandAsset(
        key,
        "",
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


def _best(entries: Sequence[_Entry], name: re.Pattern[str], common: tuple[str, ...]) -> _Entry | None:
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


def _applied(properties: Numbers, asset: BandAsset) -> BandAsset:
    """The asset with the offset that its numbers really have.

    Earth Search subtracts ESA's offset from the pixels, says so in `earthsearch:boa_offset_applied` (v1) or
    `sentinel:boa_offset_applied` (v0, cirrus-geo/cirrus-earth-search issue 33), and still declares it
    (Element84/earth-search issue 66).
    """
    if _offset_applied(properties):
        offset = 0.0 if asset.offset == _BOA_OFFSET else asset.offset
        return replace(asset, offset=offset, default_offset=0.0)
    return replace(asset, default_offset=_BOA_OFFSET if _baseline(properties) >= _OFFSET_BASELINE else 0.0)


def _offset_applied(properties: Numbers) -> bool:
    """Whether the item says, under any prefix, that ESA's offset is in its numbers already."""
    flags = (v for key, v in properties.items() if key.rpartition(":")[2] == _OFFSET_APPLIED)
    return any(str(flag).lower() in ("true", "1") for flag in flags)


def _baseline(properties: Numbers) -> float:
    """Processing baseline, 0 where the item does not say; `N0400` and `04.00` are both in use."""
    text = next((str(properties[k]) for k in _BASELINES if properties.get(k)), "0")
    match = re.fullmatch(r"N?(\d\d)\.?(\d\d)", text)
    return int(match[1]) + int(match[2]) / 100 if match else 0.0
