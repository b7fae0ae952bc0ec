"""What a Random Forest says of series, as expression graphs: features made, and pixels classified.

Every function is pure. Features are whole numbers, the same as those of
`inference.models.forest_features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import ee

from gee_pipeline.bands import REFLECTANCE_SCALE
from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.earthengine.forest.tree_text import SHARE_UNIT
from gee_pipeline.earthengine.prediction.class_scores import ClassScores, layer_images
from gee_pipeline.earthengine.prediction.filled_series import whole_series
from gee_pipeline.earthengine.prediction.served_model import answer_bands
from gee_pipeline.features.feature_names import FeatureKind, feature_names
from gee_pipeline.features.harmonic import DARKEST_GREEN, HALF_UP, VARIABLES, bin_days, fit_matrix
from gee_pipeline.layers import LayerName
from gee_pipeline.map_codes import NONE
from gee_pipeline.recipe import Recipe

_FINEST: Final = 1_000_000
"""Parts of a ten-thousandth to which mean shares are rounded: equal sums of shares stay equal, however the
servers add them up, and others differ by more."""


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


@dataclass(frozen=True)
class ForestGraph:
    """A forest that labels the pixels of composites."""

    features: FeatureKind
    """What it looks at."""
    voters: Voters
    """Its trees."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.voters.classes

    def said(self, composites: Sequence[ee.Image], recipe: Recipe, layers: Sequence[LayerName]) -> ee.Image:
        """Class, confidence and layers, masked where there is no observation.

        Args:
            composites: As `filled_series.composites_of` gives them.
            recipe: How they were made.
            layers: Layers on request; none can be had with the confidence `none`.

        Raises:
            InputError: Harmonic features need a band that the recipe does not have.
        """
        return classified(features(composites, recipe, self.features), self.voters, layers)


def features(composites: Sequence[ee.Image], recipe: Recipe, kind: FeatureKind) -> ee.Image:
    """What a forest looks at; bands have the names of `gee_pipeline.features.feature_names`.

    Args:
        composites: As `filled_series.composites_of` gives them.
        recipe: Bands and window.
        kind: Which features.

    Raises:
        InputError: Harmonic features need a band that the recipe does not have.
    """
    series = whole_series(composites, recipe)
    return series if kind == "median" else harmonic(series, recipe)


def harmonic(series: ee.Image, recipe: Recipe) -> ee.Image:
    """The coefficients of `gee_pipeline.features.harmonic` x 10,000: int32, `B8A_constant`, ....

    Args:
        series: What `filled_series.whole_series` gives.
        recipe: Bands and window.

    Raises:
        InputError: The recipe lacks a band.
    """
    names = feature_names(recipe, "harmonic")
    weights = [ee.Image.constant(row) for row in fit_matrix(bin_days(recipe)).tolist()]
    variables = [_variable(series, name, recipe) for name in VARIABLES]
    sums = [values.multiply(one).reduce(ee.Reducer.sum()) for values in variables for one in weights]
    return ee.Image.cat(sums).add(HALF_UP).floor().toInt32().rename(list(names))


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
        said = ee.Image.cat([scores.code, scores.confidence, *layer_images(scores, layers)])
    return said.rename(list(answer_bands(layers, voters.classes)))


def _scores(values: ee.Image, voters: Voters) -> ClassScores:
    if voters.confidence == "votes":
        counts = _counts(values.classify(voters.classifiers[0]), voters.classes)
        return ClassScores.of(counts, counts.reduce(ee.Reducer.sum()), voters.classes)
    shares = ee.Image.cat([values.classify(one) for one in voters.classifiers])
    whole = ee.Image.constant(SHARE_UNIT * _FINEST)
    return ClassScores.of(shares.multiply(_FINEST).round(), whole, voters.classes)


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
