"""Forest maps as expression graphs: gaps filled, features made and pixels classified on the servers.

Every function is pure, as those of `gee_pipeline.earthengine.composites.graph`, on whose composites all of it
is built. Features are whole numbers and the same as those of `inference.models.forest_features`; predictions
are, pixel by pixel, what a run writes for a cell.

Of every bin the last observation until then and the first from then on must be known. Both come from a scan:
neighbours are joined to pairs, pairs to fours, so that some two operations a bin are enough and none stands
on more than about a dozen others, where a chain from bin to bin would be as deep as the season is long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import ee

from gee_pipeline.bands import NODATA, REFLECTANCE_SCALE
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.scene_list import Scenes
from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.earthengine.forest.tree_text import SHARE_UNIT
from gee_pipeline.features.feature_names import FeatureKind, feature_names
from gee_pipeline.features.harmonic import DARKEST_GREEN, HALF_UP, VARIABLES, bin_days, fit_matrix
from gee_pipeline.layers import HALF_AND_MORE, LayerName, band_names
from gee_pipeline.map_codes import MOST_CLEAR, NONE, NOT_CROPLAND, NOT_ENOUGH
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import Season

PREDICTION_BANDS: Final = band_names((), 1)
"""Bands of a prediction, `class`, `confidence` and `clear`, all uint8; those of layers on request follow."""

_BIN: Final = "bin"
"""Band that tells from which bin an observation is."""

_TIE: Final = 0.501
"""Filled values are k / d with d below 365, so they end on a half or at least 1/728 away from it."""

_FINEST: Final = 1_000_000
"""Parts of a ten-thousandth to which mean shares are rounded: equal sums of shares stay equal, however the
servers add them up, and others differ by more."""

_TINY: Final = 1e-30
"""Less than any probability but 0, which has no logarithm."""


@dataclass(frozen=True)
class Voters:
    """What classifies pixels on the servers."""

    confidence: Confidence
    """What the classifiers answer: the code that each tree votes for, one class's share, or the class."""
    classifiers: tuple[ee.Classifier, ...]
    """One ensemble, or for probabilities one per class in order of the codes."""
    classes: int
    """Number of classes; their codes are 1 to K."""

    def __post_init__(self) -> None:
        wanted = self.classes if self.confidence == "probability" else 1
        if len(self.classifiers) != wanted:
            raise AssertionError(f"{self.confidence} takes {wanted} classifiers, got {len(self.classifiers)}")


def features(scenes: Scenes, season: Season, recipe: Recipe, kind: FeatureKind) -> ee.Image:
    """What a forest looks at; bands have the names of `gee_pipeline.features.feature_names`.

    Args:
        scenes: All scenes that touch the pixels that are asked for.
        season: The season whose days the bins mean.
        recipe: Bands, window and cloud rule.
        kind: Which features.

    Raises:
        InputError: Harmonic features need a band that the recipe does not have.
    """
    return _features(_composites(scenes, season, recipe), recipe, kind)


def filled(scenes: Scenes, season: Season, recipe: Recipe) -> ee.Image:
    """The series of the model window without gaps, in whole DN, halves up: int16, `B2_24`, `B3_24`, ....

    Gaps are filled linearly in time, the ends hold. Pixels without any observation
    of a sensor are masked.

    Args:
        scenes: All scenes that touch the pixels that are asked for.
        season: The season whose days the bins mean.
        recipe: Bands, window and cloud rule.
    """
    return _filled(_composites(scenes, season, recipe), recipe)


def observed_bins(scenes: Scenes, season: Season, recipe: Recipe) -> ee.Image:
    """How many bins of the model window are observed: uint8, one band `clear`, no pixel masked.

    Of several sensors it is the number of the one with the fewest.

    Args:
        scenes: All scenes that touch the pixels that are asked for.
        season: The season whose days the bins mean.
        recipe: Bands, window and cloud rule.
    """
    return _observed_bins(_composites(scenes, season, recipe), recipe)


def harmonic(series: ee.Image, recipe: Recipe) -> ee.Image:
    """The coefficients of `gee_pipeline.features.harmonic` x 10,000: int32, `B8A_constant`, ....

    Args:
        series: What `filled` gives.
        recipe: Bands and window.

    Raises:
        InputError: The recipe lacks a band.
    """
    names = feature_names(recipe, "harmonic")
    weights = [ee.Image.constant(row) for row in fit_matrix(bin_days(recipe)).tolist()]
    variables = [_variable(series, name, recipe) for name in VARIABLES]
    sums = [values.multiply(one).reduce(ee.Reducer.sum()) for values in variables for one in weights]
    return ee.Image.cat(sums).add(HALF_UP).floor().toInt32().rename(list(names))


def prediction(
    scenes: Scenes,
    season: Season,
    recipe: Recipe,
    kind: FeatureKind,
    voters: Voters,
    *,
    cropland: ee.Image | None,
    layers: Sequence[LayerName] = (),
) -> ee.Image:
    """A map: uint8, bands `class`, `confidence`, `clear` and those of layers, no pixel masked.

    The class is 1 to K; 254 where it is not cropland, and 255 where fewer bins are observed than the recipe
    wants. The confidence is in percent, and 255 where there is none. Observed bins are 255 where it is not
    cropland. Layers are 255 where there is no class.

    Args:
        scenes: All scenes that touch the pixels that are asked for.
        season: The season whose days the bins mean.
        recipe: Bands, window, cloud rule and the least number of observed bins.
        kind: What the forest looks at.
        voters: The forest.
        cropland: Image of one band without masked pixels, 0 where it is not cropland; None maps everything.
        layers: Layers on request, in the order of the table.

    Raises:
        InputError: Harmonic features need a band that the recipe does not have.
    """
    composites = _composites(scenes, season, recipe)
    clear = _observed_bins(composites, recipe)
    said = classified(_features(composites, recipe, kind), voters, layers)
    few = clear.lt(max(recipe.min_clear_bins, 1))  # without an observation there are no features
    names = band_names(layers, voters.classes)
    blank = _constants(NOT_ENOUGH, _without_clear(names))
    bands = said.unmask(blank, False).where(few, blank).addBands(clear)
    if layers:
        bands = bands.select(list(names))
    if cropland is not None:
        bands = bands.where(cropland.eq(0), _constants(NOT_CROPLAND, names))
    return bands.toUint8()


def classified(values: ee.Image, voters: Voters, layers: Sequence[LayerName] = ()) -> ee.Image:
    """What a forest says of features: bands `class`, `confidence` and those of layers, not yet uint8.

    They are masked where the features are.

    Args:
        values: Bands that have the names of the features.
        voters: The forest.
        layers: Layers on request, in the order of the table; none can be had with the confidence `none`.
    """
    if voters.confidence == "none":
        if layers:
            raise AssertionError("Earth Engine's own vote says nothing of the other classes")
        said = values.classify(voters.classifiers[0]).addBands(ee.Image.constant(NONE))
    else:
        scores = _scores(values, voters)
        said = ee.Image.cat([scores.code, _percent(scores.best, scores.whole), *_layers(scores, layers)])
    return said.rename(list(_without_clear(band_names(layers, voters.classes))))


@dataclass(frozen=True)
class _Scores:
    """How likely each class is, in whole numbers, and which wins."""

    parts: ee.Image
    """One band a class: votes, or mean shares in the finest parts."""
    whole: ee.Image
    """What counts as 100 %."""
    classes: int
    """Number of classes."""
    best: ee.Image
    """The largest part."""
    code: ee.Image
    """Its class, of equal parts the smaller code."""

    @classmethod
    def of(cls, parts: ee.Image, whole: ee.Image, classes: int) -> _Scores:
        best = parts.reduce(ee.Reducer.max())
        return cls(parts, whole, classes, best, _smallest_code(parts, best, classes))

    @property
    def rivals(self) -> ee.Image:
        """The parts, and -1 for the class that wins."""
        return self.parts.where(ee.Image.constant(list(range(1, self.classes + 1))).eq(self.code), -1)


def _scores(values: ee.Image, voters: Voters) -> _Scores:
    if voters.confidence == "votes":
        counts = _counts(values.classify(voters.classifiers[0]), voters.classes)
        return _Scores.of(counts, counts.reduce(ee.Reducer.sum()), voters.classes)
    shares = ee.Image.cat([values.classify(one) for one in voters.classifiers])
    whole = ee.Image.constant(SHARE_UNIT * _FINEST)
    return _Scores.of(shares.multiply(_FINEST).round(), whole, voters.classes)


def _layers(scores: _Scores, layers: Sequence[LayerName]) -> list[ee.Image]:
    return [COMPUTED[name](scores) for name in layers]


def _second(scores: _Scores) -> ee.Image:
    if scores.classes == 1:
        return ee.Image.constant(NONE)
    best = scores.rivals.reduce(ee.Reducer.max())
    return _smallest_code(scores.rivals, best, scores.classes)


def _margin(scores: _Scores) -> ee.Image:
    second = scores.rivals.reduce(ee.Reducer.max()).max(0)
    return _percent(scores.best.subtract(second), scores.whole)


def _entropy(scores: _Scores) -> ee.Image:
    if scores.classes == 1:
        return scores.best.multiply(0)
    share = scores.parts.divide(scores.whole)
    nats = share.max(_TINY).log().multiply(share).reduce(ee.Reducer.sum())
    return nats.multiply(-100 / math.log(scores.classes)).add(HALF_AND_MORE).floor()


def _probabilities(scores: _Scores) -> ee.Image:
    return _percent(scores.parts, scores.whole)


COMPUTED: Final[dict[LayerName, Callable[[_Scores], ee.Image]]] = {
    "second": _second,
    "margin": _margin,
    "entropy": _entropy,
    "probabilities": _probabilities,
}
"""The bands of each layer on request, as `inference.models.class_layers` computes them here."""


def _composites(scenes: Scenes, season: Season, recipe: Recipe) -> list[ee.Image]:
    """The composite of each bin, under the plain names of its bands: images are joined by names."""
    return [graph.bin_composite(scenes, season, index, recipe) for index in recipe.window]


def _features(composites: list[ee.Image], recipe: Recipe, kind: FeatureKind) -> ee.Image:
    series = _filled(composites, recipe)
    return series if kind == "median" else harmonic(series, recipe)


def _observed_bins(composites: list[ee.Image], recipe: Recipe) -> ee.Image:
    counts = [_count_seen(_of_group(composites, group, recipe)) for group in recipe.sensors]
    least = counts[0] if len(counts) == 1 else ee.Image.cat(counts).reduce(ee.Reducer.min())
    return least.min(MOST_CLEAR).rename([PREDICTION_BANDS[2]]).toUint8()


def _count_seen(composites: list[ee.Image]) -> ee.Image:
    seen = ee.Image.cat([_is_seen(composite) for composite in composites]).toInt32()
    return seen.reduce(ee.Reducer.sum())


def _filled(composites: list[ee.Image], recipe: Recipe) -> ee.Image:
    by_sensor = [_filled_group(_of_group(composites, g, recipe), g, recipe) for g in recipe.sensors]
    return ee.Image.cat([image for of_bin in zip(*by_sensor, strict=True) for image in of_bin])


def _filled_group(composites: list[ee.Image], group: SensorGroup, recipe: Recipe) -> list[ee.Image]:
    """The values of each bin of one sensor, whose gaps are filled from its own observations."""
    observations = list(map(_observation, recipe.window, composites))
    last = _scan(observations)
    first = _scan(observations[::-1])[::-1]
    bins = zip(recipe.window, last, first, strict=True)
    return [_between(before, after, index, group) for index, before, after in bins]


def _of_group(composites: list[ee.Image], group: SensorGroup, recipe: Recipe) -> list[ee.Image]:
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


def _between(before: ee.Image, after: ee.Image, index: int, group: SensorGroup) -> ee.Image:
    """The values of a bin from the last observation until it and the first from it on, which may be one."""
    values = _interpolated(group.bands)(before, after, ee.Image.constant(index))
    return values.rename(graph.band_names(group.bands, index))


@lru_cache
def _interpolated(bands: tuple[str, ...]) -> Callable[..., ee.Image]:
    def body(before: ee.Image, after: ee.Image, number: ee.Image) -> ee.Image:
        start, end = _over(after, before), _over(before, after)  # where there is but one, it holds
        change = end.toDouble().subtract(start)
        passed = number.subtract(start.select([_BIN]))
        rise = change.multiply(passed).divide(change.select([_BIN]).max(1))
        return rise.add(start).add(_TIE).floor().toInt16().select(list(bands))

    return graph.function(body, 3)


def _variable(series: ee.Image, name: str, recipe: Recipe) -> ee.Image:
    """A band in DN, or the index x 10,000, of all bins."""
    if name != "GCVI":
        return _bins(series, name, recipe)
    green = _bins(series, "B3", recipe).max(DARKEST_GREEN * REFLECTANCE_SCALE)
    return _bins(series, "B8", recipe).divide(green).subtract(1).multiply(REFLECTANCE_SCALE)


def _bins(series: ee.Image, band: str, recipe: Recipe) -> ee.Image:
    return series.select([f"{band}_{index}" for index in recipe.window])


def _counts(votes: ee.Image, classes: int) -> ee.Image:
    """How many trees vote for each class, one band a class, of the array of their votes.

    A comparison answers bytes, and whether a sum of bytes is wider is not documented: they are made wider.
    """
    return ee.Image.cat(
        [
            votes.eq(code).toInt32().arrayReduce(ee.Reducer.sum(), [0]).arrayGet(0)
            for code in range(1, classes + 1)
        ]
    )


def _smallest_code(parts: ee.Image, best: ee.Image, classes: int) -> ee.Image:
    """The smallest code of the classes that have the largest part."""
    order = parts.eq(best).multiply(ee.Image.constant(list(range(classes, 0, -1)))).reduce(ee.Reducer.max())
    return ee.Image.constant(classes + 1).subtract(order)


def _percent(part: ee.Image, whole: ee.Image) -> ee.Image:
    """`part` in percent of `whole`, halves up."""
    return part.multiply(100).divide(whole).add(0.5).floor()


def _constants(code: int, names: Sequence[str]) -> ee.Image:
    """Bands of a prediction, the same everywhere: the code of the first, and none in the others."""
    return ee.Image.constant([code, *[NONE] * (len(names) - 1)]).rename(list(names))


def _without_clear(names: Sequence[str]) -> tuple[str, ...]:
    """Names of bands that the classifiers answer."""
    return tuple(name for name in names if name != PREDICTION_BANDS[2])
