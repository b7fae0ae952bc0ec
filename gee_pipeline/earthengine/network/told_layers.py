"""Layers on request that need what a network's file tells of its answers.

They are those of `inference.models.told`, computed on the servers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import ee

from gee_pipeline.earthengine.network.network_weights import Told
from gee_pipeline.earthengine.prediction.class_scores import ClassScores
from gee_pipeline.layers import AT_LIMIT, LEAST_PROBABILITY, MOST_UNLIKE, LayerName


def told_layer(name: LayerName, scores: ClassScores, told: Told) -> ee.Image:
    """The bands of a layer.

    Args:
        name: One of `TOLD`.
        scores: How likely each class is.
        told: What the model says; it has what the layer needs.
    """
    return TOLD[name](scores, told)


def _members(scores: ClassScores, told: Told) -> ee.Image:
    if told.set_limits is None:
        raise AssertionError("a model without limits of prediction sets was asked for them")
    return ee.Image.constant(1).subtract(scores.shares).lte(ee.Image.constant(list(told.set_limits)))


def _sets(scores: ClassScores, told: Told) -> ee.Image:
    return _members(scores, told).toInt32().reduce(ee.Reducer.sum())


def _applicability(scores: ClassScores, told: Told) -> ee.Image:
    if told.means is None:
        raise AssertionError("a model without an area of applicability was asked for it")
    logs = scores.shares.max(LEAST_PROBABILITY).log()
    answer = logs.subtract(logs.reduce(ee.Reducer.mean()))
    precision = ee.Image.constant(ee.Array([list(row) for row in told.precision])).toDouble()
    away = [answer.subtract(ee.Image.constant(list(mean))) for mean in told.means]
    nearest = ee.Image.cat([_squared(one, precision) for one in away]).reduce(ee.Reducer.min())
    share = nearest.max(0).sqrt().multiply(AT_LIMIT).divide(told.limit)
    return share.min(MOST_UNLIKE).ceil()


def _squared(away: ee.Image, precision: ee.Image) -> ee.Image:
    """The squared distance of a difference of answers, one band a class."""
    column = away.toArray().toArray(1)
    return (
        column.arrayTranspose()
        .matrixMultiply(precision)
        .matrixMultiply(column)
        .arrayGet(ee.Image.constant([0, 0]))
    )


TOLD: Final[dict[LayerName, Callable[[ClassScores, Told], ee.Image]]] = {
    "applicability": _applicability,
    "sets": _sets,
    "members": _members,
}
"""The bands of each layer."""
