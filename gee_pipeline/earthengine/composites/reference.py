"""Expression graphs of reference crop maps: classes merged, borders cut away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import ee

from gee_pipeline.bands import PIXEL_SIZE

CLASS_BAND: Final = "class"
VALUE_BAND: Final = "value"
BANDS: Final = (CLASS_BAND, VALUE_BAND)

CODE: Final = "cropmap_code"
"""Property of polygons: their code as JSON."""

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


def coded_parcels(asset: str, column: str, region: ee.Geometry) -> ee.FeatureCollection:
    """The polygons of a table that touch a region and have a code, which becomes a text of one form.

    Numbers are stored as whole or as broken ones by the way in which a table was uploaded, and neither a list
    nor a remapping finds one by the other.

    Args:
        asset: Id of a table.
        column: Property with the codes.
        region: What the polygons touch.

    Returns:
        Features with the property `cropmap_code`, JSON of the code.
    """
    parcels = ee.FeatureCollection(asset).filterBounds(region).filter(ee.Filter.notNull([column]))

    def coded(feature: ee.Element) -> ee.Element:
        return feature.set(CODE, ee.String.encodeJSON(feature.get(column)))

    return parcels.map(coded)


def pure_parcels(
    parcels: ee.FeatureCollection,
    codes: Mapping[str, int],
    crs: str,
    *,
    buffer: float,
    cropland: ee.Image | None = None,
    cropland_code: int = NO_CLASS,
) -> ee.Image:
    """Polygons as class codes whose borders are cut away, like `pure_classes`, and which code they have.

    A pixel belongs to the polygons that hold its centre. Land that polygons of two classes claim has none.

    Args:
        parcels: As `coded_parcels` makes them.
        codes: JSON of a code -> code of its class, 0 for none.
        crs: As of `pure_classes`.
        buffer: Metres; 0 keeps all pixels.
        cropland: 1 where land without a class is cropland, unmasked.
        cropland_code: Code of such land.

    Returns:
        int32, bands `class` (0 none) and `value`, the place in `codes` (2147483647 none), unmasked.
    """
    values = ee.Image.constant(NO_VALUE).toInt32()
    if codes:
        values = values.paint(parcels.remap(list(codes), list(range(len(codes))), CODE), CODE)
    classes, claims = ee.Image.constant(NO_CLASS).toInt32(), ee.Image.constant(0).toInt32()
    for code in sorted(set(codes.values())):
        members = ee.Filter.inList(CODE, [value for value, its in codes.items() if its == code])
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
