"""Forest maps as expression graphs: gaps filled, features made and pixels classified on the servers.

Every function is pure, as those of `gee_pipeline.earthengine.composites.graph`, on whose composites all of it
is built. Features are whole numbers and the same as those of `inference.models.forest_features`; predictions
are, pixel by pixel, what a run writes for a cell.

Of every bin the last observation until then and the first from then on must be known. Both come from a scan:
neighbours are joined to pairs, pairs to fours, so that some two operations a bin are enough and none stands
on more than about a dozen others, where a chain from bin to bin would be as deep as the season is long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import ee

from gee_pipeline.bands import NODATA, REFLECTANCE_SCALE
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.earthengine.forest.tree_text import SHARE_UNIT
from gee_pipeline.feature_names import FeatureKind, feature_names
from gee_pipeline.harmonic import DARKEST_GREEN, HALF_UP, VARIABLES, bin_days, fit_matrix
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season

PREDICTION_BANDS: Final = ("class", "confidence", "clear")
"""Bands of a prediction, all uint8."""

_BIN: Final = "bin"
"""Band that tells from which bin an observation is."""

_TIE: Final = 0.501
"""Filled values are k / d with d below 365, so they end on a half or at least 1/728 away from it."""

_FINEST: Final = 1_000_000
"""Parts of a ten-thousandth to which mean shares are rounded: equal sums of shares stay equal, however the
servers add them up, and others differ by more."""


@dataclass(frozen=True)
class Voters:
    """What classifies pixels on the servers."""

    confidence: Confidence
    """What the classifiers answer: the code that each tree votes for, one class's share, or the class."""
    classifiers: tuple[ee.Classifier, ...]
    """One ensemble, or for probabilities one a class in order of the codes."""
    classes: int
    """Number of classes; their codes are 1 to K."""

    def __post_init__(self) -> None:
        wanted = self.classes if self.confidence == "probability" else 1
        if len(self.classifiers) != wanted:
            raise AssertionError(f"{self.confidence} takes {wanted} classifiers, got {len(self.classifiers)}")


def features(region: ee.Geometry, season: Season, recipe: Recipe, kind: FeatureKind) -> ee.Image:
    """What a forest looks at; bands have the names of `gee_pipeline.feature_names`.

    Args:
        region: Where scenes are looked for, made by `graph.search_region`.
        season: The season whose days the bins mean.
        recipe: Bands, window and cloud rule.
        kind: Which features.

    Raises:
        InputError: Harmonic features need a band that the recipe does not have.
    """
    return _features(_composites(region, season, recipe), recipe, kind)


def filled(region: ee.Geometry, season: Season, recipe: Recipe) -> ee.Image:
    """The series of the model window without gaps, in whole DN, halves up: int16, `B2_24`, `B3_24`, ....

    Gaps are filled linearly in time, the ends hold. Pixels without any observation are masked.

    Args:
        region: Where scenes are looked for, made by `graph.search_region`.
        season: The season whose days the bins mean.
        recipe: Bands, window and cloud rule.
    """
    return _filled(_composites(region, season, recipe), recipe)


def observed_bins(region: ee.Geometry, season: Season, recipe: Recipe) -> ee.Image:
    """How many bins of the model window are observed: uint8, one band `clear`, no pixel masked.

    Args:
        region: Where scenes are looked for, made by `graph.search_region`.
        season: The season whose days the bins mean.
        recipe: Bands, window and cloud rule.
    """
    return _observed_bins(_composites(region, season, recipe))


def harmonic(series: ee.Image, recipe: Recipe) -> ee.Image:
    """The coefficients of `gee_pipeline.harmonic` x 10,000 in whole numbers: int32, `B8A_constant`, ....

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
    region: ee.Geometry,
    season: Season,
    recipe: Recipe,
    kind: FeatureKind,
    voters: Voters,
    *,
    cropland: ee.Image | None,
) -> ee.Image:
    """A map: uint8, bands `class`, `confidence` and `clear`, no pixel masked.

    The class is 1 to K; 254 where it is not cropland, and 255 where fewer bins are observed than the recipe
    wants. The confidence is in percent, and 255 where there is none. Observed bins are 255 where it is not
    cropland.

    Args:
        region: Where scenes are looked for, made by `graph.search_region`.
        season: The season whose days the bins mean.
        recipe: Bands, window, cloud rule and the least number of observed bins.
        kind: What the forest looks at.
        voters: The forest.
        cropland: Image of one band without masked pixels, 0 where it is not cropland; None maps everything.

    Raises:
        InputError: Harmonic features need a band that the recipe does not have.
    """
    composites = _composites(region, season, recipe)
    clear = _observed_bins(composites)
    said = classified(_features(composites, recipe, kind), voters)
    few = clear.lt(max(recipe.min_clear_bins, 1))  # without an observation there are no features
    blank = _constants(NOT_ENOUGH, NONE)
    bands = said.unmask(blank, False).where(few, blank).addBands(clear)
    if cropland is not None:
        bands = bands.where(cropland.eq(0), _constants(NOT_CROPLAND, NONE, NONE))
    return bands.toUint8()


def classified(values: ee.Image, voters: Voters) -> ee.Image:
    """What a forest says of features: bands `class` and `confidence`, masked where these are, not yet uint8.

    Args:
        values: Bands that have the names of the features.
        voters: The forest.
    """
    if voters.confidence == "none":
        said = values.classify(voters.classifiers[0]).addBands(ee.Image.constant(NONE))
    elif voters.confidence == "votes":
        counts = _counts(values.classify(voters.classifiers[0]), voters.classes)
        said = _winner(counts, counts.reduce(ee.Reducer.sum()), voters.classes)
    else:
        shares = ee.Image.cat([values.classify(one) for one in voters.classifiers])
        whole = ee.Image.constant(SHARE_UNIT * _FINEST)
        said = _winner(shares.multiply(_FINEST).round(), whole, voters.classes)
    return said.rename(list(PREDICTION_BANDS[:2]))


def _composites(region: ee.Geometry, season: Season, recipe: Recipe) -> list[ee.Image]:
    """The composite of each bin, under the plain names of its bands: images are joined by names."""
    bins = (range(index, index + 1) for index in recipe.window)
    return [graph.composite(region, season, one, recipe).rename(list(recipe.bands)) for one in bins]


def _features(composites: list[ee.Image], recipe: Recipe, kind: FeatureKind) -> ee.Image:
    series = _filled(composites, recipe)
    return series if kind == "median" else harmonic(series, recipe)


def _observed_bins(composites: list[ee.Image]) -> ee.Image:
    seen = ee.Image.cat([_is_seen(composite) for composite in composites])
    return seen.reduce(ee.Reducer.sum()).rename([PREDICTION_BANDS[2]]).toUint8()


def _filled(composites: list[ee.Image], recipe: Recipe) -> ee.Image:
    observations = list(map(_observation, recipe.window, composites))
    last = _scan(observations)
    first = _scan(observations[::-1])[::-1]
    bins = zip(recipe.window, last, first, strict=True)
    return ee.Image.cat([_between(before, after, index, recipe) for index, before, after in bins])


def _is_seen(composite: ee.Image) -> ee.Image:
    """1 where a bin is observed, which all its bands are together, else 0."""
    return composite.select([0]).neq(NODATA)


def _observation(index: int, composite: ee.Image) -> ee.Image:
    """The composite of a bin, masked where it is a gap, and from which bin it is."""
    number = ee.Image.constant(index).toInt16().rename([_BIN])
    return composite.addBands(number).updateMask(_is_seen(composite))


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


def _between(before: ee.Image, after: ee.Image, index: int, recipe: Recipe) -> ee.Image:
    """The values of a bin from the last observation until it and the first from it on, which may be one."""
    start, end = _over(after, before), _over(before, after)  # where there is but one, it holds
    change = end.toDouble().subtract(start)
    passed = ee.Image.constant(index).subtract(start.select([_BIN]))
    rise = change.multiply(passed).divide(change.select([_BIN]).max(1))
    values = rise.add(start).add(_TIE).floor().toInt16()
    return values.select(list(recipe.bands), graph.band_names(recipe.bands, index))


def _variable(series: ee.Image, name: str, recipe: Recipe) -> ee.Image:
    """A band in DN, or the index x 10,000, of all bins."""
    if name != "GCVI":
        return _bins(series, name, recipe)
    green = _bins(series, "B3", recipe).max(DARKEST_GREEN * REFLECTANCE_SCALE)
    return _bins(series, "B8", recipe).divide(green).subtract(1).multiply(REFLECTANCE_SCALE)


def _bins(series: ee.Image, band: str, recipe: Recipe) -> ee.Image:
    return series.select([f"{band}_{index}" for index in recipe.window])


def _counts(votes: ee.Image, classes: int) -> ee.Image:
    """How many trees vote for each class, one band a class, of the array of their votes."""
    return ee.Image.cat(
        [votes.eq(code).arrayReduce(ee.Reducer.sum(), [0]).arrayGet(0) for code in range(1, classes + 1)]
    )


def _winner(parts: ee.Image, whole: ee.Image, classes: int) -> ee.Image:
    """The class with the largest part, of equal ones the smaller code, and its percentage, halves up."""
    best = parts.reduce(ee.Reducer.max())
    order = parts.eq(best).multiply(ee.Image.constant(list(range(classes, 0, -1)))).reduce(ee.Reducer.max())
    code = ee.Image.constant(classes + 1).subtract(order)
    return code.addBands(best.multiply(100).divide(whole).add(0.5).floor())


def _constants(*values: int) -> ee.Image:
    """The first bands of a prediction, the same everywhere."""
    return ee.Image.constant(list(values)).rename(list(PREDICTION_BANDS[: len(values)]))
