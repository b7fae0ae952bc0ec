"""Expression graphs: what Earth Engine's servers are asked to compute, written down and not yet run.

Every function here is pure: the same arguments give the same expression, and nothing is sent. An initialised
client is needed only because its classes are built from the servers' list of algorithms.

The composite is the one of `gee_pipeline.composite`, pixel by pixel. It is written from a list of scenes by
their ids: the servers look for nothing, and days without a scene are not in it. Some bins can be asked for
alone, exactly as they stand in the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, reduce
from typing import Final

import ee

from gee_pipeline.bands import CLOUD_BANDS, NODATA, SCORE_SCALE, VALID_MAX, VALID_MIN
from gee_pipeline.earthengine.composites.scene_list import ListedScene, Scenes, scene_days
from gee_pipeline.recipe import CloudRule, Recipe, SensorGroup
from gee_pipeline.season import Season, TimeBin
from gee_pipeline.sensors import Sensor

WORLDCOVER: Final = "ESA/WorldCover/v200"
"""ESA WorldCover 2021 at 10 m (Zanaga et al. 2022); the collection holds one image."""

CROPLAND_CLASS: Final = 40
"""Cropland in the legend of WorldCover: annual crops, sown or harvested within twelve months."""


def composite(
    scenes: Scenes, season: Season, bins: Iterable[int], recipe: Recipe, *, cropland: ee.Image | None = None
) -> ee.Image:
    """The medians of some bins: int16, bands `B2_24`, `B3_24`, ... bin by bin, gaps as nodata -9999.

    An observation is whole or absent: a pixel of a scene counts where it is clear and valid in every band of
    its sensor. Each sensor is composited by itself.
    Of the observations of one day the last in order of acquisition time and id counts. The median of an even
    number is the mean of the middle two, and halves round up.

    Args:
        scenes: All scenes that touch the pixels that are asked for; others do no harm.
        season: The season whose days the bins mean.
        bins: Bins within the season.
        recipe: Sensors, bands, bin length and cloud rule.
        cropland: Image of one band without masked pixels; where it is 0 all bins are nodata.
    """
    parts = [(season.bin(index, recipe.bin_days), index, group) for index in bins for group in recipe.sensors]
    named = [
        _median(scenes, span, group).rename(band_names(group.bands, index)) for span, index, group in parts
    ]
    return _stored_medians(ee.Image.cat(named), cropland)


def bin_composite(scenes: Scenes, season: Season, index: int, recipe: Recipe) -> ee.Image:
    """The medians of one bin as `composite` has them, bands `B2`, `B3`, ....

    Args:
        scenes: All scenes that touch the pixels that are asked for; others do no harm.
        season: The season whose days the bins mean.
        index: The bin.
        recipe: Sensors, bands, bin length and cloud rule.
    """
    span = season.bin(index, recipe.bin_days)
    medians = [_median(scenes, span, group) for group in recipe.sensors]
    return _of_one_bin(recipe.bands)(medians[0] if len(medians) == 1 else ee.Image.cat(medians))


def acquisition(scene: ListedScene, group: SensorGroup) -> ee.Image:
    """One scene as it is, clouds and all: int16, the group's bands as stored, then two of its clouds.

    `score` is Cloud Score+ x 10,000, `flag` the scene class or the sensor's own flag; nodata where there is
    none, and where a band has no valid value.

    Args:
        scene: The scene.
        group: Its sensor, bands, and the name of the score.
    """
    sensor, rule = group.sensor, group.clear
    images = [_load(sensor.collection, scene)]
    if rule and sensor.clouds and scene.scored:
        images.append(_load(sensor.clouds.score_collection, scene))
    return _as_it_is(group, len(images))(*images)


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


def _stored_medians(medians: ee.Image, cropland: ee.Image | None = None) -> ee.Image:
    """Medians as they are stored: halves up, int16, gaps and what is not cropland as nodata."""
    rounded = medians.add(0.5).floor()
    kept = rounded if cropland is None else rounded.updateMask(cropland)
    # Without False only the footprint would be filled. The cast comes last: it decides the type of all bands.
    return kept.unmask(NODATA, False).toInt16()


def _median(scenes: Scenes, span: TimeBin, group: SensorGroup) -> ee.Image:
    """Median of a sensor over the days of one bin, not rounded, masked or nodata where there is none."""
    days = [_day(day, group) for day in scene_days(scenes, span, group)]
    if not days:
        return ee.Image.constant([NODATA] * len(group.bands))
    return days[0] if len(days) == 1 else ee.ImageCollection(days).median()


def _day(scenes: Sequence[ListedScene], group: SensorGroup) -> ee.Image:
    """One image of a day, the last observation on top, masked where there is none."""
    observations = (_observation(scene, group) for scene in scenes)
    return reduce(lambda below, above: above.unmask(below, False), observations)


def _observation(scene: ListedScene, group: SensorGroup) -> ee.Image:
    """The bands of a scene where they count: int16, clipped to what can be stored."""
    sensor, rule = group.sensor, group.clear
    image = _load(sensor.collection, scene)
    if rule and sensor.clouds and scene.scored:
        return _scored(group, rule)(image, _load(sensor.clouds.score_collection, scene))
    if sensor.classes_band is None:
        return _whole(group)(image)
    return _classed(group, sensor.classes_band)(image)


def _load(collection: str, scene: ListedScene) -> ee.Image:
    return ee.Image(f"{collection}/{scene.index}")


# Functions stand in a request once, however many scenes and bins they are applied to.


@lru_cache
def _whole(group: SensorGroup) -> Callable[..., ee.Image]:
    return function(lambda scene: _seen(scene, None, group), 1)


@lru_cache
def _scored(group: SensorGroup, rule: CloudRule) -> Callable[..., ee.Image]:
    """Clear is where the Cloud Score+ of a scene reaches the threshold."""

    def body(scene: ee.Image, score: ee.Image) -> ee.Image:
        return _seen(scene, score.select([rule.score_band]).gte(rule.least_clear), group)

    return function(body, 2)


@lru_cache
def _classed(group: SensorGroup, band: str) -> Callable[..., ee.Image]:
    """Clear is where the scene class, or the flag, is a clear one."""

    def body(scene: ee.Image) -> ee.Image:
        classes = list(group.clear_values)
        return _seen(scene, scene.select([band]).remap(classes, [1] * len(classes), 0), group)

    return function(body, 1)


@lru_cache
def _as_it_is(group: SensorGroup, images: int) -> Callable[..., ee.Image]:
    """The bands of a scene, its score where there are two images, and its class or flag."""

    def body(scene: ee.Image, *score: ee.Image) -> ee.Image:
        values = _stored(scene.select(list(group.bands)), group.sensor).clamp(VALID_MIN, VALID_MAX)
        none, band = ee.Image.constant(NODATA), group.sensor.classes_band
        clouds = [none, scene.select([band]) if band else none]
        if score and group.clear:
            clouds[0] = score[0].select([group.clear.score_band]).multiply(SCORE_SCALE).add(0.5).floor()
        named = [*group.bands, *CLOUD_BANDS]
        return ee.Image.cat([values, *clouds]).rename(named).unmask(NODATA, False).toInt16()

    return function(body, images)


@lru_cache
def _of_one_bin(bands: tuple[str, ...]) -> Callable[..., ee.Image]:
    return function(lambda medians: _stored_medians(medians.rename(list(bands))), 1)


def function(body: Callable[..., ee.Image], images: int) -> Callable[..., ee.Image]:
    """A function that stands in a request once, however often it is applied.

    Args:
        body: Makes an image of some images.
        images: How many.
    """
    return ee.CustomFunction.create(body, "Image", ["Image"] * images).call


def _seen(scene: ee.Image, clear: ee.Image | None, group: SensorGroup) -> ee.Image:
    """The bands of a scene where all of them are valid and it is clear, clipped to what can be stored."""
    values = _stored(scene.select(list(group.bands)), group.sensor)
    seen = values.updateMask(values.mask().reduce(ee.Reducer.min()))
    if clear is not None:
        seen = seen.updateMask(clear)
    return seen.clamp(VALID_MIN, VALID_MAX).toInt16()


def _stored(values: ee.Image, sensor: Sensor) -> ee.Image:
    """Numbers as they are stored, halves up, each masked outside the sensor's valid range."""
    if sensor.whole_numbers:
        return values
    scaled = values.toDouble().multiply(sensor.step)
    if sensor.valid is not None:
        low, high = sensor.stored_range
        scaled = scaled.updateMask(scaled.gte(low).And(scaled.lte(high)))
    return scaled.add(0.5).floor()
