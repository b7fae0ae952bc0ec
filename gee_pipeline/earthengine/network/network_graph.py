"""What a network says of series, as expression graphs of array images.

Every function is pure. The activations of a pixel are one array `(channel, position)`, positions row by row
and each row followed by one empty column (`Map`): a shift in time runs into that column, a shift in bands is
a whole row, so that one margin of zeros at both ends gives all nine places of a convolution by slices. These
are joined, and one product with a constant matrix is the convolution, its bias and its normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product, zip_longest
from typing import Final

import ee

from gee_pipeline.earthengine.network.network_weights import Convolution, Map, NetworkWeights
from gee_pipeline.earthengine.network.told_layers import told_layer
from gee_pipeline.earthengine.prediction.class_scores import COMPUTED, ClassScores
from gee_pipeline.earthengine.prediction.filled_series import filled
from gee_pipeline.layers import LayerName
from gee_pipeline.recipe import Recipe

PROBABILITY_UNIT: Final = 2**30
"""Parts of a probability of 1, as `inference.models.predictor` counts them."""

MatrixOf = Callable[[int], ee.Array]
"""The weights of a layer by its number, as an array of rows."""


@dataclass(frozen=True)
class NetworkGraph:
    """A network that labels the pixels of composites."""

    weights: NetworkWeights
    """Its shape, scaling and temperature, and its weights where they go with every request."""
    matrix_of: MatrixOf
    """Where each layer's weights are."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.weights.classes

    def said(self, composites: Sequence[ee.Image], recipe: Recipe, layers: Sequence[LayerName]) -> ee.Image:
        """Class, confidence and layers, masked where there is no observation.

        Args:
            composites: As `filled_series.composites_of` gives them.
            recipe: How they were made.
            layers: Layers on request, in the order of the table.
        """
        series = filled(composites, recipe, whole=False)
        return answers(logits(series, self.weights, self.matrix_of), self.weights, layers)


def answers(logits: ee.Image, weights: NetworkWeights, layers: Sequence[LayerName]) -> ee.Image:
    """Class, confidence and layers of logits.

    Args:
        logits: One band a class.
        weights: Temperature, and what layers on request need.
        layers: Layers on request, in the order of the table.
    """
    scores = class_scores(logits, weights.classes, weights.temperature)
    more = [
        COMPUTED[name](scores) if name in COMPUTED else told_layer(name, scores, weights.told)
        for name in layers
    ]
    return ee.Image.cat([scores.code, scores.confidence, *more])


def class_scores(logits: ee.Image, classes: int, temperature: float) -> ClassScores:
    """How likely each class is: the softmax of logits, in whole parts of `PROBABILITY_UNIT`.

    Args:
        logits: One band a class.
        classes: Number of classes.
        temperature: Logits are divided by it.
    """
    lower = logits.subtract(logits.reduce(ee.Reducer.max())).divide(temperature).exp()
    parts = lower.divide(lower.reduce(ee.Reducer.sum())).multiply(PROBABILITY_UNIT).round()
    return ClassScores.of(parts, ee.Image.constant(PROBABILITY_UNIT), classes)


def logits(series: Sequence[ee.Image], weights: NetworkWeights, matrix_of: MatrixOf) -> ee.Image:
    """The logits of a network, one band a class, as doubles.

    Args:
        series: The values of each bin without gaps, in the unit in which they are stored.
        weights: The network.
        matrix_of: Where each layer's weights are.
    """
    features = (_units if weights.layers else _means)(series, weights, matrix_of)
    head = matrix_of(len(weights.matrices) - 1)
    said = _constant(head).matrixMultiply(_with_ones(features, 1))
    return said.arrayProject([0]).arrayFlatten([[f"logit_{k}" for k in range(1, weights.classes + 1)]])


def _means(series: Sequence[ee.Image], weights: NetworkWeights, matrix_of: MatrixOf) -> ee.Image:
    """What a CropNet's last layer takes, `(channel, 1)`: the mean of the activations over all positions."""
    before, *maps = weights.maps()
    values = _input(series, weights, before)
    for number, (convolution, after) in enumerate(zip(weights.convolutions, maps, strict=True)):
        values = _convolved(values, convolution, before, after, matrix_of(number))
        before = after
    return values.arrayReduce(ee.Reducer.sum(), [1]).divide(before.positions)


def _units(series: Sequence[ee.Image], weights: NetworkWeights, matrix_of: MatrixOf) -> ee.Image:
    """What a perceptron's last layer takes, `(unit, 1)`: its hidden layers, one after the other."""
    values = _reshaped(_matrix(series, weights), weights.bands * weights.bins, 1)
    for number in range(len(weights.layers)):
        sums = _constant(matrix_of(number)).matrixMultiply(_with_ones(values, 1))
        values = sums.multiply(sums.divide(math.sqrt(2)).erf().add(1)).divide(2)  # GELU
    return values


def _matrix(series: Sequence[ee.Image], weights: NetworkWeights) -> ee.Image:
    """The scaled matrix of bands and bins."""
    factor, offset = ee.Image.constant(list(weights.factor)), ee.Image.constant(list(weights.offset))
    bins = [image.toDouble().multiply(factor).add(offset).toArray() for image in series]
    return ee.Image.cat(bins).toArray(1)  # (band, bin)


def _input(series: Sequence[ee.Image], weights: NetworkWeights, map: Map) -> ee.Image:
    """The scaled matrix of bands and bins as activations of one channel."""
    return _reshaped(_joined([_matrix(series, weights), _zeros(map.rows, 1)], axis=1), 1, map.length)


def _convolved(
    values: ee.Image, convolution: Convolution, before: Map, after: Map, matrix: ee.Array
) -> ee.Image:
    """The activations after a convolution and its ReLU; empty columns stay empty."""
    near = convolution.stride == 1
    taps = (_taps if near else _far_taps)(values, convolution, before, after)
    joined = _joined([*taps, _ones(1, after.length)], axis=0)  # (9 x channel + 1, position)
    return _constant(matrix).matrixMultiply(joined).max(0).multiply(_full(convolution.outputs, after))


def _taps(values: ee.Image, convolution: Convolution, before: Map, after: Map) -> list[ee.Image]:
    """The activations at the nine places around each position, `(channel, position)` each."""
    margin = before.width + 1
    edge = _zeros(convolution.inputs, margin)
    padded = _joined([edge, values, edge], axis=1)
    starts = [margin + row * before.width + column for row, column in product((-1, 0, 1), repeat=2)]
    return [padded.arraySlice(1, start, start + after.length) for start in starts]


def _far_taps(values: ee.Image, convolution: Convolution, before: Map, after: Map) -> list[ee.Image]:
    """The same around every second position, or further apart: slices with steps of rows and columns."""
    step, channels = convolution.stride, convolution.inputs
    padded = _padded(_reshaped(values, channels, before.rows, before.width), channels, step, before, after)
    ends = step * (after.rows - 1) + 1, step * after.columns + 1
    return [
        _reshaped(
            padded.arraySlice(1, row, row + ends[0], step).arraySlice(2, column, column + ends[1], step),
            channels,
            after.length,
        )
        for row, column in product(range(3), repeat=2)
    ]


def _padded(values: ee.Image, channels: int, step: int, before: Map, after: Map) -> ee.Image:
    """Activations `(channel, row, column)` with zeros around, as far as slices with steps reach."""
    below = max(step * (after.rows - 1) + 2 - before.rows, 0)
    right = step * after.columns + 1 - before.columns  # 1 at least; the empty column is there besides
    top = _zeros(channels, 1, before.width)
    tall = _joined([top, values, *([_zeros(channels, below, before.width)] if below else [])], axis=1)
    rows = 1 + before.rows + below
    return _joined([_zeros(channels, rows, 1), tall, _zeros(channels, rows, right)], axis=2)


def _with_ones(values: ee.Image, columns: int) -> ee.Image:
    """Activations with a last channel of ones, which the bias is multiplied by."""
    return _joined([values, _ones(1, columns)], axis=0)


def _joined(images: Sequence[ee.Image], axis: int) -> ee.Image:
    """Arrays one behind the other, by pairs and pairs of pairs: none stands on a long chain of others."""
    level = list(images)
    while len(level) > 1:
        pairs = zip_longest(level[::2], level[1::2])
        level = [one if other is None else one.arrayCat(other, axis) for one, other in pairs]
    return level[0]


def _reshaped(values: ee.Image, *shape: int) -> ee.Image:
    return values.arrayReshape(ee.Image.constant(ee.Array(list(shape))), len(shape))


def _full(channels: int, map: Map) -> ee.Image:
    """1 where a position means something, 0 in the empty columns: `(channel, position)`."""
    row = ee.Array([[*[1] * map.columns, 0]])
    return _constant(row.repeat(0, channels).repeat(1, map.rows))


def _zeros(*shape: int) -> ee.Image:
    return _constant(_filled(0, shape))


def _ones(*shape: int) -> ee.Image:
    return _constant(_filled(1, shape))


def _filled(value: int, shape: Sequence[int]) -> ee.Array:
    """An array of one value."""
    axes = range(len(shape))
    one = ee.Array(reduce(lambda inner, _: [inner], axes, value))  # type: ignore[arg-type, return-value]
    return reduce(lambda array, axis: array.repeat(axis, shape[axis]), axes, one)


def _constant(array: ee.Array) -> ee.Image:
    """The same array at every pixel, as doubles."""
    return ee.Image.constant(array).toDouble()
