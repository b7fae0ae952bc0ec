"""Expression graphs of reference crop maps: classes merged, borders cut away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import ee

from gee_pipeline.bands import PIXEL_SIZE

CLASS_BAND: Final = "class"
VALUE_BAND: Final = "value"
BANDS: Final = (CLASS_BAND, VALUE_BAND)

NO_CLASS: Final = 0
"""Code of a pixel without a class, or too near to another."""

NO_VALUE: Final = 2**31 - 1
"""Value of a pixel that the reference does not cover."""


def pure_classes(
    asset: str,
    band: str | None,
    codes: Mapping[int, int],
    crs: str,
    *,
    buffer: float,
    rest: int = NO_CLASS,
    cropland: ee.Image | None = None,
    cropland_code: int = NO_CLASS,
) -> ee.Image:
    """A reference map as class codes whose borders are cut away, and its own values.

    A pixel keeps its class when all pixels within the buffer have the same one, after merging: the inward
    buffer of Tong et al. (2025), section 2.3. It is evaluated on the 10 m pixels of Sentinel-2, whatever
    grid the reference or the request has: a circle in metres is not a circle on a map in degrees, and on a
    coarser request Earth Engine would take the reference from its pyramid, single pixels left out. So the
    projection is forced after the neighbourhoods, because Earth Engine computes in that of the result.

    Args:
        asset: Id of an image.
        band: Band to read; None is the first.
        codes: Value of the map -> code of its class, 0 for none.
        crs: Projected CRS in metres whose whole multiples of 10 m are the pixels' edges, such as EPSG:32615.
        buffer: Metres; 0 keeps all pixels.
        rest: Code of the values that `codes` does not name.
        cropland: 1 where land without a class is cropland, unmasked.
        cropland_code: Code of such land.

    Returns:
        int32, bands `class` (0 none) and `value` (2147483647 none), unmasked everywhere.
    """
    # wide enough for codes and NO_VALUE: many maps are stored in 8 bits
    image = ee.Image(asset).select([0 if band is None else band]).toInt32()
    classes = image.remap(list(codes), list(codes.values()), rest).unmask(NO_CLASS, False)
    return _pure(classes, image.unmask(NO_VALUE, False), crs, buffer, cropland, cropland_code)


def pure_parcels(
    parcels: ee.FeatureCollection,
    column: str,
    codes: Mapping[str | int | float, int],
    crs: str,
    *,
    buffer: float,
    cropland: ee.Image | None = None,
    cropland_code: int = NO_CLASS,
) -> ee.Image:
    """Polygons as class codes whose borders are cut away, like `pure_classes`, and which code they have.

    A pixel belongs to the polygons that hold its centre. Land that polygons of two classes claim has none.

    Args:
        parcels: The polygons.
        column: Property with their codes.
        codes: Code of the polygons, of the type that the property has -> code of its class, 0 for none.
        crs: As of `pure_classes`.
        buffer: Metres; 0 keeps all pixels.
        cropland: 1 where land without a class is cropland, unmasked.
        cropland_code: Code of such land.

    Returns:
        int32, bands `class` (0 none) and `value`, the place in `codes` (2147483647 none), unmasked.
    """
    places = list(range(len(codes)))
    values = ee.Image.constant(NO_VALUE).toInt32().paint(parcels.remap(list(codes), places, column), column)
    classes, claims = ee.Image.constant(NO_CLASS).toInt32(), ee.Image.constant(0).toInt32()
    for code in sorted(set(codes.values())):
        members = ee.Filter.inList(column, [value for value, its in codes.items() if its == code])
        painted = ee.Image.constant(0).toInt32().paint(parcels.filter(members), 1)
        claims, classes = claims.add(painted), classes.add(painted.multiply(code))
    return _pure(classes.multiply(claims.eq(1)), values, crs, buffer, cropland, cropland_code)


def _pure(
    classes: ee.Image,
    values: ee.Image,
    crs: str,
    buffer: float,
    cropland: ee.Image | None,
    cropland_code: int,
) -> ee.Image:
    """Classes completed by cropland and cut, and values, on the 10 m pixels of a CRS."""
    if cropland is not None:
        classes = classes.where(classes.eq(NO_CLASS).And(cropland), cropland_code)
    both = _inside(classes, buffer).addBands(values).rename(list(BANDS)).toInt32()
    return both.reproject(crs, [PIXEL_SIZE, 0, 0, 0, -PIXEL_SIZE, 0])


def _inside(classes: ee.Image, buffer: float) -> ee.Image:
    """The classes where all pixels within the buffer have the same, else 0."""
    if buffer < PIXEL_SIZE:
        return classes
    circle = ee.Kernel.circle(buffer / PIXEL_SIZE, "pixels", False)
    pure = classes.focalMin(kernel=circle).eq(classes.focalMax(kernel=circle))
    return classes.multiply(pure)
