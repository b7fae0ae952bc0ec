# ruff: noqa: N803 (arguments are named by Google)
"""Images: bands chosen, named, masked, put together, reduced and placed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tests.support.ee_emulator.algorithms import reducing
from tests.support.ee_emulator.algorithms.image_math import cast_band
from tests.support.ee_emulator.algorithms.pixels import (
    array_band,
    constant_band,
    mask_of,
    masked_band,
    mosaic_band,
    renamed,
    stacked_bands,
    union_footprint,
    union_type,
)
from tests.support.ee_emulator.algorithms.reducing import Reducer
from tests.support.ee_emulator.algorithms.registry import algorithm, register_as
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import Reader, shape_of
from tests.support.ee_emulator.values import (
    INDEX,
    TIME,
    Array,
    Band,
    Collection,
    Date,
    EmulatorError,
    Image,
    Pixels,
    PixelType,
    Projection,
)


@algorithm("Image.load")
def _load(request: Any, id: str, version: int) -> Image:
    return request.assets.image(id) if id in request.assets else request.archive.image(id)


@algorithm("Image.constant")
def _constant(request: Any, value: Any) -> Image:
    values = value if isinstance(value, list) else [value]
    for one in values:
        if not isinstance(one, int | float | Array) or isinstance(one, bool):
            raise EmulatorError(f"Image.constant: a number or a list of numbers is needed, got {value!r}.")
    if len(values) == 1:
        return Image((_constant_band(values[0], "constant"),))
    return Image(tuple(_constant_band(one, f"constant_{place}") for place, one in enumerate(values)))


def _constant_band(value: Any, name: str) -> Band:
    return array_band(value.values, name) if isinstance(value, Array) else constant_band(value, name)


@algorithm("Image.select")
def _select(request: Any, input: Image, bandSelectors: list[Any], newNames: list[str] | None) -> Image:
    return selected(input, bandSelectors, newNames)


def selected(image: Image, selectors: Sequence[Any], names: Sequence[str] | None = None) -> Image:
    """Bands by name, pattern or place, under new names if given."""
    bands = [band for selector in selectors for band in _matching(image, selector)]
    if names is not None:
        if len(names) != len(bands):
            raise EmulatorError(
                f"Image.select: {len(names)} new names were given for {len(bands)} selected bands."
            )
        bands = [renamed(band, name) for band, name in zip(bands, names, strict=True)]
    return replace(image, bands=_distinct(bands, "Image.select"))


def _matching(image: Image, selector: Any) -> list[Band]:
    if isinstance(selector, int) and not isinstance(selector, bool):
        if not -len(image.bands) <= selector < len(image.bands):
            raise EmulatorError(f"Image.select: Band index {selector} out of range.")
        return [image.bands[selector]]
    if not isinstance(selector, str):
        raise EmulatorError(f"Image.select: a band is chosen by name or number, got {selector!r}.")
    exact = [band for band in image.bands if band.name == selector]
    found = exact or [band for band in image.bands if re.fullmatch(selector, band.name)]
    if not found:
        raise EmulatorError(
            f"Image.select: Band pattern '{selector}' was applied to an Image with no matching bands. "
            f"Available bands: [{', '.join(image.names)}]."
        )
    return found


def _distinct(bands: Sequence[Band], name: str) -> tuple[Band, ...]:
    """Bands whose names must differ."""
    seen: set[str] = set()
    for band in bands:
        if band.name in seen:
            raise EmulatorError(f"{name}: Duplicate band name '{band.name}'; the emulator renames none.")
        seen.add(band.name)
    return tuple(bands)


@algorithm("Image.rename")
def _rename(request: Any, input: Image, names: list[str]) -> Image:
    if len(names) != len(input.bands):
        raise EmulatorError(
            f"Image.rename: The number of names ({len(names)}) must match the number of bands "
            f"({len(input.bands)})."
        )
    bands = [renamed(band, name) for band, name in zip(input.bands, names, strict=True)]
    return replace(input, bands=_distinct(bands, "Image.rename"))


@algorithm("Image.addBands")
def _add_bands(request: Any, dstImg: Image, srcImg: Image, names: list[Any] | None, overwrite: bool) -> Image:
    added = srcImg if names is None else selected(srcImg, names)
    return replace(dstImg, bands=_added(dstImg.bands, added.bands, overwrite))


def _added(bands: Sequence[Band], more: Sequence[Band], overwrite: bool) -> tuple[Band, ...]:
    """Bands after others; one of the same name replaces the other, or gets a number."""
    result = list(bands)
    for band in more:
        names = [one.name for one in result]
        if band.name not in names:
            result.append(band)
        elif overwrite:
            result[names.index(band.name)] = band
        else:
            result.append(renamed(band, _numbered(band.name, names)))
    return tuple(result)


def _numbered(name: str, taken: Sequence[str]) -> str:
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


@algorithm("Image.cat")
def _cat(request: Any, images: Any) -> Image:
    raise EmulatorError("Image.cat is written by the client as Image.addBands.")


@algorithm("Image.slice")
def _slice(request: Any, image: Image, start: int, end: int | None) -> Image:
    return replace(image, bands=image.bands[start:end])


@algorithm("Image.bandNames")
def _band_names(request: Any, image: Image) -> list[str]:
    return image.names


@algorithm("Image.bandTypes")
def _band_types(request: Any, image: Image) -> dict[str, PixelType]:
    return {band.name: PixelType(band.dtype) for band in image.bands}


@algorithm("Image.date")
def _date(request: Any, image: Image) -> Date:
    if TIME not in image.properties:
        raise EmulatorError(f"Image.date: the image has no {TIME}.")
    return Date(int(image.properties[TIME]))


@algorithm("Image.id", "Feature.id")
def _id(request: Any, element: Any) -> Any:
    return element.properties.get(INDEX)


@algorithm("Image.mask")
def _mask(request: Any, image: Image, mask: Image | None) -> Image:
    if mask is None:
        return replace(image, bands=tuple(map(mask_of, image.bands)))
    raise EmulatorError("The emulator does not set masks with Image.mask; use updateMask and unmask.")


@algorithm("Image.updateMask")
def _update_mask(request: Any, image: Image, mask: Image) -> Image:
    masks = _for_each(image, mask, "Image.updateMask")
    bands = tuple(masked_band(band, one) for band, one in zip(image.bands, masks, strict=True))
    return replace(image, bands=bands)


def _for_each(image: Image, other: Image, name: str) -> list[Band]:
    """A band of another image for each band of the first: the only one it has, or one by one."""
    if len(other.bands) == 1:
        return list(other.bands) * len(image.bands)
    if len(other.bands) != len(image.bands):
        raise EmulatorError(
            f"{name}: the second image must have one band or {len(image.bands)}, it has {len(other.bands)}."
        )
    return list(other.bands)


@algorithm("Image.selfMask")
def _self_mask(request: Any, image: Image) -> Image:
    return replace(image, bands=tuple(masked_band(band, band) for band in image.bands))


@algorithm("Image.unmask")
def _unmask(request: Any, input: Image, value: Image | None, sameFootprint: bool) -> Image:
    fill = Image((constant_band(0),)) if value is None else value
    fills = _for_each(input, fill, "Image.unmask")
    footprint = input.footprint if sameFootprint else None
    bands = tuple(_unmasked(band, one, footprint) for band, one in zip(input.bands, fills, strict=True))
    whole = footprint if sameFootprint else union_footprint([input.footprint, fill.footprint])
    return replace(input, bands=bands, footprint=whole)


def _unmasked(band: Band, fill: Band, footprint: Any) -> Band:
    dtype = union_type([band.dtype, fill.dtype])

    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels, other = reader.read(band, grid), reader.read(fill, grid)
        new = ~pixels.mask & other.mask
        if footprint is not None:
            new = new & footprint.inside(grid)
        return Pixels(np.where(new, other.values, pixels.values).astype(dtype, copy=False), pixels.mask | new)

    return Band(band.name, dtype, compute, band.projection)


@algorithm("Image.where")
def _where(request: Any, input: Image, test: Image, value: Image) -> Image:
    tests = _for_each(input, test, "Image.where")
    values = _for_each(input, value, "Image.where")
    triples = zip(input.bands, tests, values, strict=True)
    return replace(input, bands=tuple(_replaced(*triple) for triple in triples))


def _replaced(band: Band, test: Band, value: Band) -> Band:
    """The value where it is valid and the test is valid and not 0; the mask stays that of the input."""
    dtype = union_type([band.dtype, value.dtype])

    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels, when, new = (reader.read(one, grid) for one in (band, test, value))
        taken = when.mask & (when.values != 0) & new.mask
        return Pixels(np.where(taken, new.values, pixels.values).astype(dtype, copy=False), pixels.mask)

    return Band(band.name, dtype, compute, band.projection)


@algorithm("Image.remap")
def _remap(
    request: Any, image: Image, from_: list[Any], to: list[Any], defaultValue: Any, bandName: str | None
) -> Image:
    if len(from_) != len(to):
        raise EmulatorError(f"Image.remap: 'from' has {len(from_)} values, 'to' has {len(to)}.")
    band = image.bands[0] if bandName is None else _matching(image, bandName)[0]
    if isinstance(defaultValue, Image):
        raise EmulatorError("The emulator knows a number as defaultValue of Image.remap.")
    return replace(image, bands=(_remapped(band, from_, to, defaultValue),))


def _remapped(band: Band, old: list[Any], new: list[Any], default: float | None) -> Band:
    """The band `remapped`; values not listed get the default, or are masked."""
    whole = all(float(value).is_integer() for value in [*new, default or 0])
    dtype = np.dtype(np.int32 if whole else np.float64)
    order = np.argsort(old)
    keys, targets = np.array(old)[order], np.array(new, dtype)[order]

    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels = reader.read(band, grid)
        place = np.searchsorted(keys, pixels.values).clip(max=len(keys) - 1)
        known = keys[place] == pixels.values
        if default is None:
            return Pixels(targets[place], pixels.mask & known)
        return Pixels(np.where(known, targets[place], np.array(default, dtype)), pixels.mask)

    return Band("remapped", dtype, compute, band.projection)


@algorithm("Image.cast")
def _cast(request: Any, image: Image, bandTypes: Any, bandOrder: list[str] | None) -> Image:
    types = {
        name: kind.dtype if isinstance(kind, PixelType) else pixel_dtype(kind)
        for name, kind in bandTypes.items()
    }
    bands = tuple(cast_band(band, types[band.name]) if band.name in types else band for band in image.bands)
    return (
        replace(image, bands=bands) if bandOrder is None else selected(replace(image, bands=bands), bandOrder)
    )


_PIXEL_TYPES = {
    "uint8": "u1", "int8": "i1", "uint16": "u2", "int16": "i2", "uint32": "u4", "int32": "i4", "int64": "i8",
    "byte": "u1", "short": "i2", "int": "i4", "long": "i8", "float": "f4", "double": "f8",
}  # fmt: skip


def pixel_dtype(name: Any) -> np.dtype[Any]:
    """The type that a name means."""
    if name not in _PIXEL_TYPES:
        raise EmulatorError(f"Unknown pixel type {name!r}.")
    return np.dtype(_PIXEL_TYPES[name])


def _register_pixel_type(name: str) -> None:
    register_as(f"PixelType.{name}", lambda request: PixelType(pixel_dtype(name)))


for _name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float", "double"):
    _register_pixel_type(_name)


@algorithm("Image.metadata")
def _metadata(request: Any, image: Image, property: str, name: str | None) -> Image:
    value = image.properties.get(property)
    if not isinstance(value, int | float):
        raise EmulatorError(f"Image.metadata: property '{property}' is no number: {value!r}.")
    return Image((constant_band(float(value), name or property),), {}, image.footprint)


@algorithm("Image.reduce")
def _reduce(request: Any, image: Image, reducer: Reducer) -> Image:
    bands = stacked_bands(image.bands, reducer, reducer.outputs)
    return Image(tuple(_placed(band, image.bands[0].projection) for band in bands), {}, image.footprint)


def _placed(band: Band, projection: Projection) -> Band:
    return replace(band, projection=projection)


@algorithm("ImageCollection.reduce")
def _reduce_collection(request: Any, collection: Collection, reducer: Reducer, parallelScale: float) -> Image:
    return reduced(collection, reducer, suffix=True)


def reduced(collection: Collection, reducer: Reducer, *, suffix: bool) -> Image:
    """What a reducer makes of the images of a collection, band by band; bands are matched by name.

    Args:
        collection: The images; without any there are no bands.
        reducer: One input.
        suffix: Whether names of outputs are appended to those of the bands.
    """
    images = collection.images
    names = list(dict.fromkeys(name for image in images for name in image.names))
    bands: list[Band] = []
    for name in names:
        same = [band for image in images for band in image.bands if band.name == name]
        made = [f"{name}_{output}" for output in reducer.outputs] if suffix else [name]
        bands += stacked_bands(same, reducer, made)
    return Image(tuple(bands), {}, union_footprint([image.footprint for image in images]))


def _register_reduction(name: str, reducer: Reducer) -> None:
    register_as(f"reduce.{name}", lambda request, collection: reduced(collection, reducer, suffix=False))


for _name, _reducer in {
    "min": reducing.MIN,
    "max": reducing.MAX,
    "count": reducing.COUNT,
    "sum": reducing.SUM,
    "product": reducing.PRODUCT,
    "mean": reducing.MEAN,
    "and": reducing.ALL,
    "or": reducing.ANY,
    "median": reducing.MEDIAN,
}.items():
    _register_reduction(_name, _reducer)


@algorithm("ImageCollection.mosaic")
def _mosaic(request: Any, collection: Collection) -> Image:
    images = collection.images
    if not images:
        return Image((), {}, union_footprint([]))
    if any(image.names != images[0].names for image in images):
        found = sorted({tuple(image.names) for image in images})
        raise EmulatorError(f"The emulator makes mosaics of images with the same bands, got {found}.")
    columns = zip(*(image.bands for image in images), strict=True)
    bands = tuple(mosaic_band(column, union_type(band.dtype for band in column)) for column in columns)
    return Image(bands, {}, union_footprint([image.footprint for image in images]))


@algorithm("Image.linkCollection")
def _link_collection(
    request: Any,
    input: Image,
    imageCollection: Collection,
    linkedBands: Any,
    linkedProperties: Any,
    matchPropertyName: str,
) -> Image:
    """Bands of the image of the same index are added; without such an image they are fully masked."""
    names, properties = _listed(linkedBands), _listed(linkedProperties)
    wanted = input.properties.get(matchPropertyName)
    found = [one for one in imageCollection.images if one.properties.get(matchPropertyName) == wanted]
    if wanted is None or len(found) > 1:
        raise EmulatorError(f"The emulator links by properties that are there and unique, not by {wanted!r}.")
    partner = found[0] if found else None
    linked = selected(partner, names).bands if partner else _absent(imageCollection, names)
    values = {name: partner.properties.get(name) if partner else None for name in properties}
    return replace(input, bands=_added(input.bands, linked, True), properties={**input.properties, **values})


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _absent(collection: Collection, names: list[str]) -> tuple[Band, ...]:
    """Fully masked bands; their type is that of the collection's images."""
    dtypes = {band.name: band.dtype for image in collection.images[:1] for band in image.bands}
    return tuple(_masked(name, dtypes.get(name, np.dtype(np.float32))) for name in names)


def _masked(name: str, dtype: np.dtype[Any]) -> Band:
    def compute(reader: Reader, grid: Grid) -> Pixels:
        shape = shape_of(grid)
        return Pixels(np.broadcast_to(np.zeros((), dtype), shape), np.zeros(shape, bool))

    return Band(name, dtype, compute)


@algorithm("ImageCollection.toBands")
def _to_bands(request: Any, collection: Collection) -> Image:
    images = collection.images
    bands = [
        renamed(band, f"{image.properties[INDEX]}_{band.name}") for image in images for band in image.bands
    ]
    return Image(
        _distinct(bands, "ImageCollection.toBands"), {}, union_footprint([i.footprint for i in images])
    )


@algorithm("Image.pixelLonLat")
def _pixel_lon_lat(request: Any) -> Image:
    from tests.support.ee_emulator.reading import centres_in

    def band(name: str, place: int) -> Band:
        def compute(reader: Reader, grid: Grid) -> Pixels:
            values = np.broadcast_to(centres_in(grid, "EPSG:4326")[place], shape_of(grid))
            return Pixels(values, np.ones(shape_of(grid), bool))

        return Band(name, np.dtype(np.float64), compute)

    return Image((band("longitude", 0), band("latitude", 1)))
