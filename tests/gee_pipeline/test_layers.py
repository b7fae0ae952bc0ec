"""The table of layers: places of bands, refusals, and one way to compute each layer on either side."""

import pytest

from gee_pipeline import layers
from gee_pipeline.earthengine.prediction import class_scores
from gee_pipeline.errors import InputError
from gee_pipeline.layers import BASE, OF_PARTS, OF_SETS, ON_REQUEST, band_names, classes_in, in_order, placed
from inference.models import class_layers

ALL = tuple(layer.name for layer in ON_REQUEST)
BASE_BANDS = ("class", "confidence", "clear")


@pytest.mark.parametrize(
    ("names", "classes", "bands"),
    [
        ((), 5, ("class", "confidence", "clear")),
        (("second", "entropy"), 5, ("class", "confidence", "clear", "second", "entropy")),
        # one band a class, behind all others
        (
            ALL,
            2,
            (
                *(*BASE_BANDS, "second", "margin", "entropy", "probability_1", "probability_2"),
                *("applicability", "set", "member_1", "member_2"),
            ),
        ),
        (("probabilities",), 1, ("class", "confidence", "clear", "probability_1")),
    ],
)  # fmt: skip
def test_bands_follow_one_another_without_a_gap(names, classes, bands):
    assert band_names(names, classes) == bands
    places = [band for one in placed(names, classes) for band in one.bands]
    assert places == list(range(len(bands)))


def test_names_are_put_in_order_and_each_counts_once():
    assert in_order(["probabilities", "second", "second"]) == ("second", "probabilities")


def test_an_unknown_layer_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"second, margin, entropy, probabilities.*got ndvi"):
        in_order(["margin", "ndvi"])


@pytest.mark.parametrize(
    ("names", "bands", "classes"),
    [
        ((), 3, 1),
        ((), 4, None),
        (("second", "margin"), 5, 1),
        (("second",), 5, None),
        (("second", "probabilities"), 9, 5),
        (("probabilities",), 3, None),
        (("probabilities", "sets", "members"), 14, 5),  # two bands a class
        (("probabilities", "sets", "members"), 13, None),
    ],
)
def test_the_number_of_bands_tells_the_number_of_classes(names, bands, classes):
    assert classes_in(names, bands) == classes


def test_every_layer_on_request_is_computed_here_and_on_the_servers():
    of_parts = tuple(layer.name for layer in OF_PARTS)
    assert tuple(class_layers.COMPUTED) == ALL
    assert tuple(class_scores.COMPUTED) == of_parts  # servers have forests, which have no other


def test_every_layer_is_described():
    for layer in (*BASE, *ON_REQUEST):
        assert layer.title
        assert layer.description
        assert layer.dtype == "uint8"
        assert layer.overviews == ("MODE" if layer.is_class or layer in OF_SETS else "AVERAGE")
    assert all(layer.formula and layer.nodata == 255 for layer in ON_REQUEST)
    assert layers.HALF_AND_MORE - 0.5 < 1e-5
