"""Questions of `cropmap ee selfcheck` about networks: array images, weights as texts, and a whole small one.

Weights are fractions of powers of two, so that every sum is exact, whatever its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ee
import numpy as np

from gee_pipeline.earthengine.network.network_graph import MatrixOf, answers, class_scores, logits
from gee_pipeline.earthengine.network.network_weights import Convolution, Matrix, NetworkWeights, Told
from gee_pipeline.earthengine.network.served_network import ServedNetwork
from gee_pipeline.earthengine.network.weight_tables import matrix_of_rows, weight_rows
from gee_pipeline.earthengine.prediction.served_model import answer_bands
from gee_pipeline.earthengine.selfcheck.experiment import Experiment, bands, everywhere, masked, shown
from gee_pipeline.layers import ON_REQUEST, LayerName, in_order

DEEPEST_ASKED: Final = 250
"""Steps of the chain that is asked. The map of a network of four blocks and 43 bins, with cropland mask and
all layers, is 216 steps deep."""

LARGEST_ASKED: Final = (320, 256)
"""Rows and columns of the array that is asked: as many bytes as the request of a network of 32 channels."""

ALL_LAYERS: Final = in_order(layer.name for layer in ON_REQUEST)
"""Layers on request, in the order of the table."""


def made_matrix(rows: int, columns: int, first: int) -> Matrix:
    """Eighths between -5/8 and 5/8 that look drawn.

    Args:
        rows: Channels out.
        columns: Channels in at all places, and the bias.
        first: Where the numbers go on from.
    """
    numbers = np.arange(first, first + rows * columns).reshape(rows, columns)
    return tuple(tuple(row) for row in ((7 * numbers**2 % 11 - 5) / 8).tolist())


NETWORK: Final = NetworkWeights(
    factor=(0.5, 0.25, 1.0),
    offset=(-1.0, 0.0, 2.0),
    bins=4,
    convolutions=(
        Convolution(made_matrix(2, 9 * 1 + 1, 0), stride=1),
        Convolution(made_matrix(3, 9 * 2 + 1, 20), stride=2),
    ),
    head=made_matrix(3, 3 + 1, 77),
    temperature=2.0,
    told=Told(
        set_limits=(0.95, 0.7, 0.5),
        means=((1.0, 0.0, -1.0), (0.0, 0.0, 0.0), (-1.0, 0.0, 0.0)),
        precision=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 4.0)),
        limit=3.0,
    ),
)
"""Three bands and four bins become two channels, then three of half the size, then three classes."""

SERIES: Final = ((4, -8, 2), (6, 12, -1), (0, 4, 3), (-2, 8, 5))
"""`(bin, band)`: what `NETWORK` is asked about."""

LOGITS: Final = (0.0, 2.0, 4.0)
"""Of three classes; `NETWORK` has a temperature of 2, so their probabilities are as e^0, e^1 and e^2."""


def _matrix(rows: Any) -> ee.Image:
    """The same array at every pixel."""
    return ee.Image.constant(ee.Array(rows)).toDouble()


def _elements(image: ee.Image, *lengths: int) -> ee.Image:
    """The elements of arrays of these lengths, a band each: `a0_b1` is row 0, column 1."""
    labels = [[f"{chr(ord('a') + axis)}{place}" for place in range(n)] for axis, n in enumerate(lengths)]
    return image.arrayFlatten(labels)


def _are(elements: Any) -> dict[str, Any]:
    """An array's elements at both pixels, as `_elements` names them."""
    array = np.array(elements)
    names = ("_".join(f"{chr(ord('a') + i)}{n}" for i, n in enumerate(at)) for at in np.ndindex(array.shape))
    return everywhere(**dict(zip(names, array.ravel().tolist(), strict=True)))


def _series(*, first_masked: bool = False) -> list[ee.Image]:
    bins = [ee.Image.constant(list(values)) for values in SERIES]
    return [bins[0].updateMask(0), *bins[1:]] if first_masked else bins


def _in_request() -> MatrixOf:
    return ServedNetwork(NETWORK, "made").matrix_of


def _two_tables() -> ee.FeatureCollection:
    """The weights as rows of text in two tables, which come in reverse."""
    rows = [ee.Feature(ee.Geometry.Point([0, 0]), dict(row)) for row in weight_rows(NETWORK, "made")][::-1]
    return ee.FeatureCollection([ee.FeatureCollection(rows[:3]), ee.FeatureCollection(rows[3:])]).flatten()


def _in_texts() -> MatrixOf:
    table = _two_tables()
    return lambda layer: matrix_of_rows(table, layer)


def _texts_as_numbers() -> ee.Array:
    rows = ee.List(["1e-05,-0.123", "3.0,-7.5e-06"])
    parse = ee.Number.parse
    return ee.Array(rows.map(lambda row: ee.String(row).split(",").map(lambda text: parse(ee.String(text)))))


def _answers(layers: Sequence[LayerName]) -> ee.Image:
    said = answers(ee.Image.constant(list(LOGITS)), NETWORK, layers)
    return said.rename(list(answer_bands(layers, len(LOGITS))))


def _chain(steps: int) -> ee.Image:
    image = bands(0)
    for _ in range(steps):
        image = image.add(1)
    return image


def large_array() -> list[list[float]]:
    """As many numbers as are asked, 8192nds between -1/2 and 1/2 of about as many digits as weights have."""
    rows, columns = LARGEST_ASKED
    numbers = np.arange(rows * columns).reshape(rows, columns)
    values: list[list[float]] = ((numbers**2 % 8191 - 4095) / 8192).tolist()
    return values


def _one_less(image: ee.Image) -> ee.Image:
    """What of a number just above 1 is above it, in units of 2^-40."""
    return image.subtract(1).multiply(2**40)


CUBE: Final = [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]
"""Two channels of one row and four columns."""

ARRAY_EXPERIMENTS: Final = (
    Experiment(
        "S60",
        "Bands become the elements of an array, in their order",
        lambda: _elements(bands(3, 1, 2).toArray(), 3),
        _are([3, 1, 2]),
        "pixels",
    ),
    Experiment(
        "S60",
        "Arrays that are joined along a new axis become the columns of a matrix",
        lambda: _elements(
            ee.Image.cat([bands(1, 2).toArray(), bands(3, 4).toArray(), bands(5, 6).toArray()]).toArray(1),
            *(2, 3),
        ),
        _are([[1, 3, 5], [2, 4, 6]]),
        "pixels",
    ),
    Experiment(
        "S60",
        "An image of an array holds it at every pixel, row by row",
        lambda: _elements(_matrix([[1, 2], [3, 4.5]]), 2, 2),
        _are([[1, 2], [3, 4.5]]),
        "pixels",
    ),
    Experiment(
        "S61",
        "Matrices are joined along axis 0 below each other",
        lambda: _elements(_matrix([[1, 2]]).arrayCat(_matrix([[3, 4], [5, 6]]), 0), 3, 2),
        _are([[1, 2], [3, 4], [5, 6]]),
        "pixels",
    ),
    Experiment(
        "S61",
        "Matrices are joined along axis 1 beside each other",
        lambda: _elements(_matrix([[1], [2]]).arrayCat(_matrix([[3, 4], [5, 6]]), 1), 2, 3),
        _are([[1, 3, 4], [2, 5, 6]]),
        "pixels",
    ),
    Experiment(
        "S61",
        "Arrays of three axes are joined along axis 2",
        lambda: _elements(_matrix(CUBE).arrayCat(_matrix([[[9]], [[10]]]), 2), 2, 1, 5),
        _are([[[1, 2, 3, 4, 9]], [[5, 6, 7, 8, 10]]]),
        "pixels",
    ),
    Experiment(
        "S62",
        "A slice takes its start and leaves its end out",
        lambda: _elements(_matrix([[10, 11, 12, 13], [20, 21, 22, 23]]).arraySlice(1, 1, 3), 2, 2),
        _are([[11, 12], [21, 22]]),
        "pixels",
    ),
    Experiment(
        "S62",
        "A slice with steps begins at its start and stops before its end",
        lambda: _elements(_matrix([[10, 11, 12, 13, 14, 15]]).arraySlice(1, 1, 5, 2), 1, 2),
        _are([[11, 13]]),
        "pixels",
    ),
    Experiment(
        "S62",
        "A slice with steps works along axis 2, up to the last place",
        lambda: _elements(_matrix(CUBE).arraySlice(2, 1, 4, 2), 2, 1, 2),
        _are([[[2, 4]], [[6, 8]]]),
        "pixels",
    ),
    Experiment(
        "S63",
        "A matrix is reshaped row by row",
        lambda: _elements(
            _matrix([[1, 2, 3], [4, 5, 6]]).arrayReshape(ee.Image.constant(ee.Array([3, 2])), 2), 3, 2
        ),
        _are([[1, 2], [3, 4], [5, 6]]),
        "pixels",
    ),
    Experiment(
        "S63",
        "An array of three axes is reshaped to two, the last axis fastest",
        lambda: _elements(
            _matrix([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]).arrayReshape(
                ee.Image.constant(ee.Array([2, 4])), 2
            ),
            *(2, 4),
        ),
        _are([[1, 2, 3, 4], [5, 6, 7, 8]]),
        "pixels",
    ),
    Experiment(
        "S63",
        "A matrix is reshaped to three axes, the last axis fastest",
        lambda: _elements(
            _matrix([[1, 2, 3, 4], [5, 6, 7, 8]]).arrayReshape(ee.Image.constant(ee.Array([2, 2, 2])), 3),
            *(2, 2, 2),
        ),
        _are([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
        "pixels",
    ),
    Experiment(
        "S64",
        "An array is repeated as a whole along an axis",
        lambda: ee.Array([[1, 0]]).repeat(0, 2).repeat(1, 2),
        [[1, 0, 1, 0], [1, 0, 1, 0]],
    ),
    Experiment(
        "S64",
        "An array of three axes is repeated along each of them",
        lambda: ee.Array([[[0]]]).repeat(0, 2).repeat(1, 1).repeat(2, 3),
        [[[0, 0, 0]], [[0, 0, 0]]],
    ),
    Experiment(
        "S65",
        "A product of matrices sums the rows of the first with the columns of the second",
        lambda: _elements(
            _matrix([[1, 2, 3], [4, 5, 6]]).matrixMultiply(_matrix([[1, 0], [0.25, -1], [0, 2]])), 2, 2
        ),
        _are([[1.5, 4], [5.25, 7]]),
        "pixels",
    ),
    Experiment(
        "S65",
        "A product of matrices is summed in 64 bits: 2^-40 is not lost beside 1",
        lambda: _one_less(
            _elements(_matrix([[1, 2.0**-40]]).matrixMultiply(_matrix([[1], [1]])), 1, 1),
        ),
        _are([[1]]),
        "pixels",
    ),
    Experiment(
        "S65",
        "A product of matrices of doubles consists of doubles",
        lambda: _elements(_matrix([[1, 2]]).matrixMultiply(_matrix([[3], [4]])), 1, 1),
        {"bands": 1, "first": "a0_b0", "last": "a0_b0", "type": "float64", "long": False},
        "npy",
    ),
    Experiment(
        "S66",
        "The larger of 0 and each element",
        lambda: _elements(_matrix([[-1.5, 2], [0, -3]]).max(0), 2, 2),
        _are([[0, 2], [0, 0]]),
        "pixels",
    ),
    Experiment(
        "S66",
        "Arrays of the same lengths are multiplied element by element",
        lambda: _elements(_matrix([[1, 2], [3, 4]]).multiply(_matrix([[1, 0], [0.5, -1]])), 2, 2),
        _are([[1, 0], [1.5, -4]]),
        "pixels",
    ),
    Experiment(
        "S66",
        "Each element is divided by a number",
        lambda: _elements(_matrix([[1], [6]]).divide(4), 2, 1),
        _are([[0.25], [1.5]]),
        "pixels",
    ),
    Experiment(
        "S66",
        "Bands of other names are taken in their order, and one band with each of many",
        lambda: ee.Image.cat(
            [
                bands(2, 3).multiply(ee.Image.constant([10, 100])).rename(["first", "second"]),
                ee.Image.constant(1).subtract(bands(0.25, 0.5)).rename(["third", "fourth"]),
            ]
        ),
        everywhere(first=20, second=300, third=0.75, fourth=0.5),
        "pixels",
    ),
    Experiment(
        "S67",
        "A sum over axis 1 leaves that axis with one element",
        lambda: _elements(_matrix([[1, 2, 3], [4, 5, 6]]).arrayReduce(ee.Reducer.sum(), [1]), 2, 1),
        _are([[6], [15]]),
        "pixels",
    ),
    Experiment(
        "S67",
        "A matrix of one column becomes an array of one axis",
        lambda: _elements(_matrix([[6], [15]]).arrayProject([0]), 2),
        _are([6, 15]),
        "pixels",
    ),
    Experiment(
        "S68",
        "The elements of a matrix become bands row by row, named by both labels",
        lambda: _matrix([[1, 2], [3, 4]]).arrayFlatten([["r", "s"], ["x", "y"]]).bandNames(),
        ["r_x", "r_y", "s_x", "s_y"],
    ),
    Experiment(
        "S68",
        "Rows and columns are swapped",
        lambda: _elements(_matrix([[1, 2, 3], [4, 5, 6]]).arrayTranspose(), 3, 2),
        _are([[1, 4], [2, 5], [3, 6]]),
        "pixels",
    ),
    Experiment(
        "S68",
        "An element is found by row and column",
        lambda: _matrix([[1, 2], [3, 4]]).arrayGet(ee.Image.constant([1, 0])).rename(["element"]),
        everywhere(element=3),
        "pixels",
    ),
    Experiment(
        "S69",
        "An array is masked where any of its bands is",
        lambda: shown(_elements(bands(1).addBands(masked(2).rename(["b"])).toArray(), 2)),
        _are([-1, -1]),
        "pixels",
    ),
    Experiment(
        "S69",
        "A masked array joined with another is masked",
        lambda: shown(_elements(_matrix([[1]]).updateMask(0).arrayCat(_matrix([[2]]), 0), 2, 1)),
        _are([[-1], [-1]]),
        "pixels",
    ),
    Experiment(
        "S69",
        "A product with a masked array is masked",
        lambda: shown(_elements(_matrix([[2]]).matrixMultiply(_matrix([[1]]).updateMask(0)), 1, 1)),
        _are([[-1]]),
        "pixels",
    ),
    Experiment(
        "S70",
        "Numbers in texts, with exponents and signs, become the rows of an array",
        _texts_as_numbers,
        [[1e-05, -0.123], [3, -7.5e-06]],
    ),
    Experiment(
        "S70",
        "A property that the rows of two tables share is found once",
        lambda: _two_tables().aggregate_array("model").distinct(),
        ["made"],
    ),
    Experiment(
        "S71",
        "exp, log and sqrt are those of mathematics, in doubles",
        lambda: ee.Image.cat(
            [
                bands(0, 1, -2).exp().rename(["one", "e", "less"]),
                bands(10).log().rename(["log"]),
                bands(2).sqrt().rename(["root"]),
            ]
        ),
        everywhere(
            one=1,
            e=2.718281828459045,
            less=0.1353352832366127,
            log=2.302585092994046,
            root=1.4142135623730951,
        ),
        "pixels",
    ),
    Experiment(
        "S71",
        "round() takes the nearest whole number, ceil() the next above",
        lambda: ee.Image.cat(
            [
                bands(2.4, 2.6, 1_073_741_823.6).round().rename(["down", "up", "large"]),
                bands(33.2, 34).ceil().rename(["above", "same"]),
            ]
        ),
        everywhere(down=2, up=3, large=1_073_741_824, above=34, same=34),
        "pixels",
    ),
    Experiment(
        "S71",
        "Bands are compared with as many numbers, and reduced to their largest, smallest and sum",
        lambda: ee.Image.cat(
            [
                bands(0.5, 0.5, 0.9).lte(ee.Image.constant([0.4, 0.5, 1])).rename(["no", "at", "below"]),
                bands(0.5, 0.25, 1).reduce(ee.Reducer.max()),
                bands(0.5, 0.25, 1).reduce(ee.Reducer.min()),
                bands(0.5, 0.25, 1).reduce(ee.Reducer.sum()),
            ]
        ),
        everywhere(no=0, at=1, below=1, max=1, min=0.25, sum=1.75),
        "pixels",
    ),
    Experiment(
        "S72",
        "The bands of listed images become those of one, named by their places in the list",
        lambda: ee.ImageCollection([bands(1, 2), bands(3, 4)]).toBands(),
        everywhere(**{"0_a": 1, "0_b": 2, "1_a": 3, "1_b": 4}),
        "pixels",
    ),
)
"""About array images and what a network does with them, one operation a question."""

NETWORK_EXPERIMENTS: Final = (
    *ARRAY_EXPERIMENTS,
    Experiment(
        "S73",
        "A network of two convolutions, the second with a stride of 2, gives the logits of a hand's loops",
        lambda: logits(_series(), NETWORK, _in_request()),
        everywhere(logit_1=0.080078125, logit_2=2.3974609375, logit_3=1.2822265625),
        "pixels",
    ),
    Experiment(
        "S73",
        "The same network gives the same logits where its weights are texts in rows of two tables",
        lambda: logits(_series(), NETWORK, _in_texts()),
        everywhere(logit_1=0.080078125, logit_2=2.3974609375, logit_3=1.2822265625),
        "pixels",
    ),
    Experiment(
        "S69",
        "Logits are masked where a bin of the series is",
        lambda: shown(logits(_series(first_masked=True), NETWORK, _in_request())),
        everywhere(logit_1=-1, logit_2=-1, logit_3=-1),
        "pixels",
    ),
    Experiment(
        "S74",
        "Logits become probabilities in parts of 2^30, by the temperature",
        lambda: class_scores(ee.Image.constant(list(LOGITS)), 3, NETWORK.temperature).parts.rename(
            ["first", "second", "third"]
        ),
        everywhere(first=96_669_592, second=262_775_195, third=714_297_037),
        "pixels",
    ),
    Experiment(
        "S74",
        "Class, confidence and all layers of three logits",
        lambda: _answers(ALL_LAYERS),
        everywhere(
            **{"class": 3, "confidence": 67, "second": 2, "margin": 42, "entropy": 76},
            **{"probability_1": 9, "probability_2": 24, "probability_3": 67},
            **{"applicability": 67, "set": 2, "member_1": 1, "member_2": 0, "member_3": 1},
        ),
        "pixels",
    ),
    Experiment(
        "S75",
        f"An image of {DEEPEST_ASKED} steps, one in the other, is computed",
        lambda: _chain(DEEPEST_ASKED),
        everywhere(a=DEEPEST_ASKED),
        "pixels",
    ),
    Experiment(
        "S76",
        f"An array of {LARGEST_ASKED[0] * LARGEST_ASKED[1]:,} numbers goes with a request, and is summed",
        lambda: (
            _matrix(large_array())
            .arrayReduce(ee.Reducer.sum(), [0, 1])
            .arrayGet(ee.Image.constant([0, 0]))
            .rename(["sum"])
        ),
        everywhere(sum=-554.8968505859375),
        "pixels",
    ),
    Experiment(
        "S77",
        "The error function works element by element on an array, in millionths",
        lambda: _elements(_matrix([[0, 10], [-10, 0.5]]).erf().multiply(1e6).round(), 2, 2),
        _are([[0, 1_000_000], [-1_000_000, 520_500]]),
        "pixels",
    ),
)
"""About networks; every expected number was computed without the functions that are asked."""
