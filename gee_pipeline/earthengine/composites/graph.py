"""Expression graphs: what Earth Engine's servers are asked to compute, written down and not yet run.

Every function here is pure: the same arguments give the same expression, and nothing is sent. An initialised
client is needed only because its classes are built from the servers' list of algorithms.

The composite is the one of `gee_pipeline.composite`, pixel by pixel. Days and bins are written out one by one
instead of being looped over on the servers, so that some bins can be asked for alone, exactly as they stand
in the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

import ee
import pyproj
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import NODATA, VALID_MAX, VALID_MIN
from gee_pipeline.recipe import CloudRule, Recipe, SensorGroup
from gee_pipeline.season import Season, TimeBin
from gee_pipeline.sensors import CloudMask, Sensor

WORLDCOVER: Final = "ESA/WorldCover/v200"
"""ESA WorldCover 2021 at 10 m (Zanaga et al. 2022); the collection holds one image."""

CROPLAND_CLASS: Final = 40
"""Cropland in the legend of WorldCover: annual crops, sown or harvested within twelve months."""

_OPTICAL: Final = SensorGroup()
"""Sentinel-2 and its usual rule."""

MARGIN: Final = 0.005
"""Degrees, about 500 m: how far a tile may reach beyond the straight edges of its footprint in degrees."""

SCORE_MARGIN: Final = 1.0
"""Degrees, about a tile: a scene keeps its score, also where the footprint of the score ends short of the
region."""

_SCORE_DAYS: Final = timedelta(days=1)
"""A score counts although its clock differs from its scene's around midnight."""

_INDEX: Final = "system:index"
_TIME: Final = "system:time_start"

_ORDER: Final = "cropmap:order"
"""Property by which the scenes of a day are laid on one another. No two scenes share it, so that the result
does not depend on how the servers break ties."""


def search_region(geobox: GeoBox) -> ee.Geometry:
    """The box of longitude and latitude in which the scenes of some pixels are looked for.

    It reaches 0.005 degrees further, and may cross the antimeridian.

    Args:
        geobox: Pixels, in any CRS.
    """
    return _box(*lonlat_bounds(geobox), MARGIN)


def lonlat_bounds(geobox: GeoBox) -> tuple[float, float, float, float]:
    """West, south, east and north of some pixels in degrees; across the antimeridian east is the smaller.

    Args:
        geobox: Pixels, in any CRS.
    """
    crs = pyproj.CRS.from_user_input(str(geobox.crs))
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south, east, north = to_lonlat.transform_bounds(*geobox.boundingbox.bbox)
    return west, south, east, north


def composite(
    region: ee.Geometry, season: Season, bins: range, recipe: Recipe, *, cropland: ee.Image | None = None
) -> ee.Image:
    """The medians of some bins: int16, bands `B2_24`, `B3_24`, ... bin by bin, gaps as nodata -9999.

    An observation is whole or absent: a pixel of a scene counts where it is clear and valid in every band of
    its sensor. Each sensor is composited by itself.
    Of the observations of one day the last in order of acquisition time and id counts. The median of an even
    number is the mean of the middle two, and halves round up.

    Args:
        region: Where scenes are looked for, made by `search_region`; it holds all pixels that are asked for.
        season: The season whose days the bins mean.
        bins: Bins within the season.
        recipe: Sensors, bands, bin length and cloud rule.
        cropland: Image of one band without masked pixels; where it is 0 all bins are nodata.
    """
    parts = [(season.bin(index, recipe.bin_days), index, group) for index in bins for group in recipe.sensors]
    medians = ee.Image.cat([_median(region, span, group, index) for span, index, group in parts])
    rounded = medians.add(0.5).floor()
    kept = rounded if cropland is None else rounded.updateMask(cropland)
    # Without False only the footprint would be filled. The cast comes last: it decides the type of all bands.
    return kept.unmask(NODATA, False).toInt16()


def scenes(region: ee.Geometry, span: TimeBin, group: SensorGroup = _OPTICAL) -> ee.ImageCollection:
    """The scenes of a span that touch a region; the servers find them by their index of times and places.

    Args:
        region: Where scenes are looked for: a polygon of known corners in EPSG:4326.
        span: Days, by their own clock.
        group: The sensor, and the bands that they must have.
    """
    sensor = group.sensor
    found = _within(ee.ImageCollection(sensor.collection), _dated(span, sensor)).filterBounds(region)
    for name, value in sensor.image_properties:
        found = found.filter(ee.Filter.eq(name, value))
    for band in group.bands if sensor.bands_listed_in else ():
        found = found.filter(ee.Filter.listContains(sensor.bands_listed_in, band))
    return found


def simulated(region: ee.Geometry, span: TimeBin, group: SensorGroup = _OPTICAL) -> ee.ImageCollection:
    """Those of `scenes` that say of themselves that no satellite saw them, as an emulator's may."""
    return scenes(region, span, group).filter(ee.Filter.eq("simulated", 1))


def without_score(region: ee.Geometry, span: TimeBin, group: SensorGroup = _OPTICAL) -> ee.ImageCollection:
    """Those of `scenes` to which no Cloud Score+ belongs; none where clouds do not matter."""
    found = scenes(region, span, group)
    if group.sensor.clouds is None:
        return found.limit(0)
    same = ee.Filter.equals(leftField=_INDEX, rightField=_INDEX)
    scores = _scores(region, span, group.sensor.clouds)
    return ee.ImageCollection(ee.Join.inverted().apply(found, scores, same))


def scene_list(region: ee.Geometry, span: TimeBin, group: SensorGroup = _OPTICAL) -> ee.Dictionary:
    """What there is in a region and span: `times` of its scenes in ms since 1970, and how many of them have
    no Cloud Score+ (`without_score`).

    It costs a look at the catalog and no pixel.

    Args:
        region: Where scenes are looked for: a polygon of known corners in EPSG:4326.
        span: Days, by their own clock.
        group: The sensor, and the bands that they must have.
    """
    times = scenes(region, span, group).aggregate_array(_TIME)
    without = without_score(region, span, group).size() if group.clear else 0
    return ee.Dictionary({"times": times, "without_score": without})


def cropland(name: str) -> ee.Image:
    """A cropland mask: uint8 1 or 0, one band `cropland`, no pixel masked.

    Args:
        name: `worldcover`, the only one there is.

    Raises:
        ValueError: Another name.
    """
    if name != "worldcover":
        raise ValueError(f"There is no cropland mask {name!r}, only 'worldcover'.")
    classes = ee.ImageCollection(WORLDCOVER).first().select(["Map"])
    return classes.eq(CROPLAND_CLASS).unmask(0, False).rename(["cropland"]).toUint8()


def band_names(bands: Sequence[str], index: int) -> list[str]:
    """The names of the bands of one bin in a composite."""
    return [f"{band}_{index}" for band in bands]


def _median(region: ee.Geometry, span: TimeBin, group: SensorGroup, index: int) -> ee.Image:
    """Median of a sensor over the days of one bin, not rounded, masked where there is none."""
    observations = _observations(region, span, group)
    blank = _blank(group.bands)
    days = [_of_span(observations, blank, one) for one in _counted_once(span, group.sensor)]
    return ee.ImageCollection(days).median().rename(band_names(group.bands, index))


def _counted_once(span: TimeBin, sensor: Sensor) -> list[TimeBin]:
    """Spans of which the last observation counts: days, or the bin where there is one image a year."""
    return [_dated(span, sensor)] if sensor.yearly else span.single_days


def _dated(span: TimeBin, sensor: Sensor) -> TimeBin:
    """A span by the clock that the images of a sensor are dated by: yearly ones have dates, no times."""
    return span.by_utc if sensor.yearly else span


def _of_span(observations: ee.ImageCollection, blank: ee.ImageCollection, span: TimeBin) -> ee.Image:
    """One image of some days, the last observation on top; all masked where there is none."""
    return _within(observations, span).merge(blank).sort(_ORDER).mosaic()


def _blank(bands: tuple[str, ...]) -> ee.ImageCollection:
    """One fully masked image: the mosaic of an empty collection would have no bands."""
    image = ee.Image.constant([0] * len(bands)).rename(list(bands)).toInt16().updateMask(0)
    return ee.ImageCollection([image.set(_ORDER, "")])


def _observations(region: ee.Geometry, span: TimeBin, group: SensorGroup) -> ee.ImageCollection:
    """The scenes of a span, masked where they do not count, int16, with their time and order.

    A scene without score comes in twice, at one place in the order: all masked among those that were linked,
    and with its scene classes.
    """
    found = scenes(region, span, group)
    rule, clouds = group.clear, group.sensor.clouds
    if rule is None or clouds is None:
        return _mapped(found, _whole(group))
    linked = found.linkCollection(_scores(region, span, clouds), [rule.score_band])
    scored = _mapped(linked, _scored(group, rule))
    if not rule.scl_clear:
        return scored
    classed = _mapped(without_score(region, span, group), _classed(group, rule, clouds))
    return scored.merge(classed)


def _mapped(scenes: ee.ImageCollection, function: ee.CustomFunction) -> ee.ImageCollection:
    return ee.ImageCollection(ee.ApiFunction.call_("Collection.map", scenes, function))


# The functions of scenes are the same for all regions and bins; the client takes long to write one down.


@lru_cache
def _whole(group: SensorGroup) -> ee.CustomFunction:
    return _function(lambda scene: _observation(scene, None, group))


@lru_cache
def _scored(group: SensorGroup, rule: CloudRule) -> ee.CustomFunction:
    return _function(lambda scene: _observation(scene, _clear_by_score(scene, rule), group))


@lru_cache
def _classed(group: SensorGroup, rule: CloudRule, clouds: CloudMask) -> ee.CustomFunction:
    return _function(lambda scene: _observation(scene, _clear_by_classes(scene, rule, clouds), group))


def _function(body: Callable[[ee.Image], ee.Image]) -> ee.CustomFunction:
    return ee.CustomFunction.create(lambda scene: body(ee.Image(scene)), "Object", ["Object"])


def _observation(scene: ee.Image, clear: ee.Image | None, group: SensorGroup) -> ee.Image:
    """The bands of a scene where all of them are valid and it is clear, clipped to what can be stored.

    Its time and order are set again: not every operation on pixels keeps properties.
    """
    values = _stored(scene.select(list(group.bands)), group.sensor)
    seen = values.updateMask(values.mask().reduce(ee.Reducer.min()))
    if clear is not None:
        seen = seen.updateMask(clear)
    kept = seen.clamp(VALID_MIN, VALID_MAX).toInt16()
    return ee.Image(kept.set(_TIME, scene.get(_TIME)).set(_ORDER, _order(scene)))


def _stored(values: ee.Image, sensor: Sensor) -> ee.Image:
    """Numbers as they are stored, halves up, each masked outside the sensor's valid range."""
    if sensor.whole_numbers:
        return values
    scaled = values.toDouble().multiply(sensor.step)
    if sensor.valid is not None:
        low, high = sensor.stored_range
        scaled = scaled.updateMask(scaled.gte(low).And(scaled.lte(high)))
    return scaled.add(0.5).floor()


def _order(scene: ee.Image) -> ee.String:
    """Acquisition time, then id, as text of fixed width that sorts like the two."""
    time = ee.Date(scene.get(_TIME)).format("yyyyMMddHHmmssSSS")
    return time.cat(" ").cat(ee.String(scene.get(_INDEX)))


def _clear_by_score(scene: ee.Image, cloud: CloudRule) -> ee.Image:
    """1 where the linked Cloud Score+ reaches the threshold; masked where the scene has none."""
    return scene.select([cloud.score_band]).gte(cloud.least_clear)


def _clear_by_classes(scene: ee.Image, cloud: CloudRule, clouds: CloudMask) -> ee.Image:
    """1 where the scene class is a clear one, else 0."""
    classes = list(cloud.scl_clear)
    return scene.select([clouds.classes_band]).remap(classes, [1] * len(classes), 0)


def _scores(region: ee.Geometry, span: TimeBin, clouds: CloudMask) -> ee.ImageCollection:
    """The scores among which the partners of `scenes` are, found generously."""
    days = replace(span, start=span.start - _SCORE_DAYS, end=span.end + _SCORE_DAYS)
    return _within(ee.ImageCollection(clouds.score_collection), days).filterBounds(_widened(region))


def _within(images: ee.ImageCollection, span: TimeBin) -> ee.ImageCollection:
    """The images acquired on a day of a span."""
    return images.filterDate(*(f"{instant:%Y-%m-%dT%H:%M:%S}" for instant in span.instants))


def _widened(region: ee.Geometry) -> ee.Geometry:
    corners: list[Any] = region.toGeoJSON()["coordinates"][0]
    longitudes, latitudes = zip(*corners, strict=True)
    return _box(min(longitudes), min(latitudes), max(longitudes), max(latitudes), SCORE_MARGIN)


def _box(west: float, south: float, east: float, north: float, margin: float) -> ee.Geometry:
    """A planar box in EPSG:4326, a margin wider on each side, to 0.1 m.

    Across the antimeridian, east is the smaller number, or lies beyond 180.
    """
    corners = (west - margin, south - margin, east + margin, north + margin)
    return ee.Geometry.BBox(*(round(value, 6) for value in corners))
