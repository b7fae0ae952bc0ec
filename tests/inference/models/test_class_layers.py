"""Layers of pixels, against a loop over exact fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from gee_pipeline.layers import OF_PARTS, band_names
from inference.models.class_layers import layer_values
from inference.models.pixel_prediction import ClassParts, Prediction, ScoredPrediction
from inference.models.predictor import PROBABILITY_UNIT, Predictor
from inference.models.told.prediction_sets import PredictionSets
from tests.support.layer_oracle import pixel_layers

ALL = tuple(layer.name for layer in OF_PARTS)


def found_of(parts: list[list[int]], whole: int) -> NDArray[np.uint8]:
    scores = ClassParts(np.array(parts, np.int32), whole)
    return layer_values(ALL, ScoredPrediction(scores.largest(), scores))


def wanted_of(parts: list[list[int]], whole: int) -> list[list[int]]:
    """`[pixel][band]`."""
    rows = [pixel_layers([Fraction(part, whole) for part in row]) for row in parts]
    return [[value for name in ALL for value in row[name]] for row in rows]


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
@pytest.mark.parametrize("whole", [1, 7, 100, 128, 500, 20_000])
def test_layers_of_votes_are_those_of_exact_fractions(classes: int, whole: int) -> None:
    chance = np.random.default_rng([classes, whole])
    shares = chance.dirichlet([0.4] * classes, 400)
    parts = [chance.multinomial(whole, share).tolist() for share in shares]
    assert found_of(parts, whole).T.tolist() == wanted_of(parts, whole)


@pytest.mark.parametrize(
    ("parts", "second", "margin", "entropy"),
    [
        ([4, 2, 1, 1], 2, 25, 88),  # exactly 87.5 % of the entropy of four equal classes: up
        ([2, 2, 2, 2], 2, 0, 100),  # of equal classes the smaller code wins, and the next one is second
        ([0, 0, 8, 0], 1, 100, 0),  # among those that nobody votes for the smaller code is second
        ([1, 0, 3, 4], 3, 13, 70),  # 12.5 percentage points: up
        ([3, 1, 0, 4], 1, 13, 70),
    ],
)
def test_ties_and_halves(parts: list[int], second: int, margin: int, entropy: int) -> None:
    assert found_of([parts], 8)[:3, 0].tolist() == [second, margin, entropy]
    assert wanted_of([parts], 8)[0][:3] == [second, margin, entropy]


def test_a_single_class_has_no_second_and_no_doubt() -> None:
    assert found_of([[9]], 9)[:, 0].tolist() == [255, 100, 0, 100]


def test_the_class_of_the_map_counts_also_where_another_part_is_larger_now() -> None:
    """A map that was made on another device keeps its class and confidence."""
    prediction = Prediction(np.array([2], np.uint8), np.array([50], np.uint8))
    scores = ClassParts(np.array([[501, 499]]), 1_000)
    assert layer_values(ALL, ScoredPrediction(prediction, scores))[:, 0].tolist() == [1, 0, 100, 50, 50]


def test_sets_and_their_members_are_those_of_the_limits() -> None:
    sets = PredictionSets(0.9, (0.25, 0.75, 0.5), (10, 10, 10), "samples")
    rows = {
        (6, 1, 1): [1, 1, 0, 0],  # three quarters are the first's limit itself, an eighth is less than any
        (5, 3, 0): [1, 0, 1, 0],  # 0.375 suffices for the second
        (5, 1, 2): [0, 0, 0, 0],  # nothing is likely enough
        (0, 4, 4): [2, 0, 1, 1],
    }
    scores = ClassParts(np.array(list(rows)), 8)
    scored = ScoredPrediction(scores.largest(), scores, prediction_sets=sets)
    found = layer_values(("sets", "members"), scored)
    assert found.dtype == np.uint8
    assert found.T.tolist() == list(rows.values())


@pytest.mark.slow
def test_a_network_gives_layers_of_its_softmax_beside_the_same_prediction(make_checkpoint) -> None:
    checkpoint = make_checkpoint(temperature=0.2)
    series = np.random.default_rng(1).integers(0, 5_000, (90, 10, 43)).astype(np.int16)
    one = Predictor(checkpoint, "cpu")
    scored, plain = one.scored(series), one.predict(series)
    np.testing.assert_array_equal(scored.prediction.codes, plain.codes)
    np.testing.assert_array_equal(scored.prediction.confidence, plain.confidence)
    assert scored.scores.whole == PROBABILITY_UNIT == 2**30
    odds = np.exp(one.logits(series).astype(float) / 0.2)
    shares = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scored.scores.parts / 2**30, shares, atol=1e-6)
    bands = dict(
        zip(band_names(ALL, 5)[3:], layer_values(ALL, replace(scored, prediction=plain)), strict=True)
    )
    order = np.argsort(-shares, axis=1)
    np.testing.assert_array_equal(bands["second"], order[:, 1] + 1)
    ranked = np.take_along_axis(shares, order, axis=1)
    np.testing.assert_allclose(bands["margin"], 100 * (ranked[:, 0] - ranked[:, 1]), atol=0.501)
    nats = -(shares * np.log(shares)).sum(axis=1)
    np.testing.assert_allclose(bands["entropy"], 100 * nats / np.log(5), atol=0.501)
    for code in range(1, 6):
        np.testing.assert_allclose(bands[f"probability_{code}"], 100 * shares[:, code - 1], atol=0.501)
    own = np.stack([bands[f"probability_{k}"] for k in range(1, 6)])[plain.codes - 1, np.arange(90)]
    np.testing.assert_array_equal(own, plain.confidence)
