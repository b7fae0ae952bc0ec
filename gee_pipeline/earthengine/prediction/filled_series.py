"""Series without gaps as expression graphs: the composites of a season, filled on the servers.

Every function is pure, as those of `gee_pipeline.earthengine.composites.graph`, on whose composites all of it
is built. Gaps are filled as `inference.models.series` fills them: linearly in time, and the ends hold.

Of every bin the last observation until then and the first from then on must be known. Both come from a scan:
neighbours are joined to pairs, pairs to fours, so that some two operations a bin are enough and none stands
on more than about a dozen others, where a chain from bin to bin would be as deep as the season is long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import ee

from gee_pipeline.bands import NODATA
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.scene_list import Scenes
from gee_pipeline.map_codes import MOST_CLEAR
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import Season

CLEAR: Final = "clear"
"""Band that counts observed bins."""

_BIN: Final = "bin"
"""Band that tells from which bin an observation is."""

_TIE: Final = 0.501
"""Filled values are k / d with d below 365, so they end on a half or at least 1/728 away from it."""


def composites_of(scenes: Scenes, season: Season, recipe: Recipe) -> list[ee.Image]:
    """The composite of each bin of the model window, under the plain names of its bands: `B2`, `B3`, ....

    Args:
        scenes: All scenes that touch the pixels that are asked for.
        season: The season whose days the bins mean.
        recipe: Bands, window and cloud rule.
    """
    return [graph.bin_composite(scenes, season, index, recipe) for index in recipe.window]


def whole_series(composites: Sequence[ee.Image], recipe: Recipe) -> ee.Image:
    """The series without gaps, in whole DN, halves up: int16, `B2_24`, `B3_24`, ....

    Pixels without any observation of a sensor are masked.

    Args:
        composites: As `composites_of` gives them.
        recipe: Bands and window.
    """
    images = filled(composites, recipe, whole=True)
    named = zip(images, recipe.window, strict=True)
    return ee.Image.cat([image.rename(graph.band_names(recipe.bands, index)) for image, index in named])


def filled(composites: Sequence[ee.Image], recipe: Recipe, *, whole: bool) -> list[ee.Image]:
    """The values of each bin without gaps, under the plain names of their bands.

    Pixels without any observation of a sensor are masked.

    Args:
        composites: As `composites_of` gives them.
        recipe: Bands and window.
        whole: True for whole DN, int16, halves up, as forests take them; False for doubles.
    """
    by_sensor = [_filled_group(_of_group(composites, g, recipe), g, recipe, whole) for g in recipe.sensors]
    if len(by_sensor) == 1:
        return by_sensor[0]
    return [ee.Image.cat(list(images)) for images in zip(*by_sensor, strict=True)]


def observed_bins(composites: Sequence[ee.Image], recipe: Recipe) -> ee.Image:
    """How many bins of the model window are observed: uint8, one band `clear`, no pixel masked.

    Of several sensors it is the number of the one with the fewest.

    Args:
        composites: As `composites_of` gives them.
        recipe: Bands and window.
    """
    counts = [_count_seen(_of_group(composites, group, recipe)) for group in recipe.sensors]
    least = counts[0] if len(counts) == 1 else ee.Image.cat(counts).reduce(ee.Reducer.min())
    return least.min(MOST_CLEAR).rename([CLEAR]).toUint8()


def _count_seen(composites: Sequence[ee.Image]) -> ee.Image:
    seen = ee.Image.cat([_is_seen(composite) for composite in composites]).toInt32()
    return seen.reduce(ee.Reducer.sum())


def _filled_group(
    composites: Sequence[ee.Image], group: SensorGroup, recipe: Recipe, whole: bool
) -> list[ee.Image]:
    """The values of each bin of one sensor, whose gaps are filled from its own observations."""
    observations = list(map(_observation, recipe.window, composites))
    last = _scan(observations)
    first = _scan(observations[::-1])[::-1]
    between = _interpolated(group.bands, whole)
    bins = zip(recipe.window, last, first, strict=True)
    return [between(before, after, ee.Image.constant(index)) for index, before, after in bins]


def _of_group(composites: Sequence[ee.Image], group: SensorGroup, recipe: Recipe) -> Sequence[ee.Image]:
    """The bands of one sensor in each composite."""
    if len(recipe.sensors) == 1:
        return composites
    return [composite.select(list(group.bands)) for composite in composites]


def _is_seen(composite: ee.Image) -> ee.Image:
    """1 where a bin of a sensor is observed, which all its bands are together, else 0."""
    return composite.select([0]).neq(NODATA)


def _observation(index: int, composite: ee.Image) -> ee.Image:
    """The composite of a bin, masked where it is a gap, and from which bin it is."""
    return _numbered()(composite, ee.Image.constant(index))


@lru_cache
def _numbered() -> Callable[..., ee.Image]:
    def body(composite: ee.Image, number: ee.Image) -> ee.Image:
        return composite.addBands(number.toInt16().rename([_BIN])).updateMask(_is_seen(composite))

    return graph.function(body, 2)


def _scan(images: Sequence[ee.Image]) -> list[ee.Image]:
    """The last valid pixel of the images until each of them (parallel prefix of Brent and Kung 1982)."""
    if len(images) == 1:
        return list(images)
    pairs = _scan([_over(images[i - 1], images[i]) for i in range(1, len(images), 2)])
    until = [images[0]]
    for i, image in enumerate(images[1:], start=1):
        until.append(pairs[i // 2] if i % 2 else _over(pairs[i // 2 - 1], image))
    return until


def _over(below: ee.Image, above: ee.Image) -> ee.Image:
    """One image where it is valid, else the other."""
    return above.unmask(below, False)


@lru_cache
def _interpolated(bands: tuple[str, ...], whole: bool) -> Callable[..., ee.Image]:
    """The values of a bin from the last observation until it and the first from it on, which may be one."""

    def body(before: ee.Image, after: ee.Image, number: ee.Image) -> ee.Image:
        start, end = _over(after, before), _over(before, after)  # where there is but one, it holds
        change = end.toDouble().subtract(start)
        passed = number.subtract(start.select([_BIN]))
        rise = change.multiply(passed).divide(change.select([_BIN]).max(1))
        values = rise.add(start).select(list(bands))
        return values.add(_TIE).floor().toInt16() if whole else values

    return graph.function(body, 3)
