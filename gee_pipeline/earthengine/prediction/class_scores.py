"""How likely each class is, on the servers: the class that wins, its confidence, and layers on request."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import ee

from gee_pipeline.layers import HALF_AND_MORE, LayerName
from gee_pipeline.map_codes import NONE

_TINY: Final = 1e-30
"""Less than any probability but 0, which has no logarithm."""


@dataclass(frozen=True)
class ClassScores:
    """How likely each class is, in whole numbers, and which wins."""

    parts: ee.Image
    """One band a class: votes, or probabilities in the finest parts."""
    whole: ee.Image
    """What counts as 100 %."""
    classes: int
    """Number of classes."""
    best: ee.Image
    """The largest part."""
    code: ee.Image
    """Its class, of equal parts the smaller code."""

    @classmethod
    def of(cls, parts: ee.Image, whole: ee.Image, classes: int) -> ClassScores:
        """The scores of parts, one band a class in the order of the codes."""
        best = parts.reduce(ee.Reducer.max())
        return cls(parts, whole, classes, best, _smallest_code(parts, best, classes))

    @property
    def confidence(self) -> ee.Image:
        """The part of the class in percent, halves up."""
        return percent(self.best, self.whole)

    @property
    def rivals(self) -> ee.Image:
        """The parts, and -1 for the class that wins."""
        return self.parts.where(ee.Image.constant(list(range(1, self.classes + 1))).eq(self.code), -1)

    @property
    def shares(self) -> ee.Image:
        """The parts as shares of the whole, one band a class."""
        return self.parts.divide(self.whole)


def percent(part: ee.Image, whole: ee.Image) -> ee.Image:
    """`part` in percent of `whole`, halves up."""
    return part.multiply(100).divide(whole).add(0.5).floor()


def layer_images(scores: ClassScores, layers: Sequence[LayerName]) -> list[ee.Image]:
    """The bands of layers that the classes' parts decide, in order.

    Args:
        scores: How likely each class is.
        layers: Names among those of `gee_pipeline.layers.OF_PARTS`.
    """
    return [COMPUTED[name](scores) for name in layers]


def _second(scores: ClassScores) -> ee.Image:
    if scores.classes == 1:
        return ee.Image.constant(NONE)
    best = scores.rivals.reduce(ee.Reducer.max())
    return _smallest_code(scores.rivals, best, scores.classes)


def _margin(scores: ClassScores) -> ee.Image:
    second = scores.rivals.reduce(ee.Reducer.max()).max(0)
    return percent(scores.best.subtract(second), scores.whole)


def _entropy(scores: ClassScores) -> ee.Image:
    if scores.classes == 1:
        return scores.best.multiply(0)
    share = scores.shares
    nats = share.max(_TINY).log().multiply(share).reduce(ee.Reducer.sum())
    return nats.multiply(-100 / math.log(scores.classes)).add(HALF_AND_MORE).floor()


def _probabilities(scores: ClassScores) -> ee.Image:
    return percent(scores.parts, scores.whole)


COMPUTED: Final[dict[LayerName, Callable[[ClassScores], ee.Image]]] = {
    "second": _second,
    "margin": _margin,
    "entropy": _entropy,
    "probabilities": _probabilities,
}
"""The bands of each layer on request, as `inference.models.class_layers` computes them here."""


def _smallest_code(parts: ee.Image, best: ee.Image, classes: int) -> ee.Image:
    """The smallest code of the classes that have the largest part."""
    order = parts.eq(best).multiply(ee.Image.constant(list(range(classes, 0, -1)))).reduce(ee.Reducer.max())
    return ee.Image.constant(classes + 1).subtract(order)
