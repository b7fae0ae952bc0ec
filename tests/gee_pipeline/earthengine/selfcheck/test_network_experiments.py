"""The numbers in the questions about networks, worked out without the functions that are asked."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.network.network_weights import Matrix
from gee_pipeline.earthengine.prediction.map_image import prediction
from gee_pipeline.earthengine.selfcheck.experiment import Experiment
from gee_pipeline.earthengine.selfcheck.network_experiments import (
    ALL_LAYERS,
    DEEPEST_ASKED,
    LOGITS,
    NETWORK,
    NETWORK_EXPERIMENTS,
    SERIES,
    large_array,
)
from gee_pipeline.recipe import Recipe
from inference.deployment.network_deployment import served_network
from tests.support.ee_asking import graph_of
from tests.support.made_networks import made_network
from tests.support.made_scene_list import made_scenes, sent_bytes
from tests.support.request_shape import steps

Maps = list[list[list[Fraction]]]
"""`(channel, band, bin)`."""


def asked(words: str) -> Experiment:
    """The question with these words."""
    (found,) = [one for one in NETWORK_EXPERIMENTS if words in one.question]
    return found


def said(experiment: Experiment) -> dict[str, float]:
    """The expected values of the first pixel."""
    return {name: rows[0][0] for name, rows in experiment.expected.items()}


def convolved(maps: Maps, matrix: Matrix, stride: int) -> Maps:
    """A convolution with its ReLU, in loops over places; beyond the edges there are zeros."""
    rows, columns = len(maps[0]), len(maps[0][0])
    found = []
    for weights in matrix:
        out = []
        for row in range(0, rows, stride):
            line = []
            for column in range(0, columns, stride):
                total = Fraction(weights[-1])
                for place in range(9):
                    y, x = row + place // 3 - 1, column + place % 3 - 1
                    if 0 <= y < rows and 0 <= x < columns:
                        for channel, values in enumerate(maps):
                            total += Fraction(weights[place * len(maps) + channel]) * values[y][x]
                line.append(max(total, Fraction(0)))
            out.append(line)
        found.append(out)
    return found


def logits_by_hand() -> list[float]:
    """What `NETWORK` says of `SERIES`, in whole fractions."""
    bands = zip(NETWORK.factor, NETWORK.offset, zip(*SERIES, strict=True), strict=True)
    maps = [[[Fraction(v) * Fraction(f) + Fraction(o) for v in values] for f, o, values in bands]]
    for layer in NETWORK.convolutions:
        maps = convolved(maps, layer.matrix, layer.stride)
    means = [sum(map(sum, one)) / (len(one) * len(one[0])) for one in maps]
    return [
        float(sum(Fraction(w) * m for w, m in zip(row, means, strict=False)) + Fraction(row[-1]))
        for row in NETWORK.head
    ]


def test_the_logits_that_are_expected_are_those_of_loops() -> None:
    found = dict(zip(("logit_1", "logit_2", "logit_3"), logits_by_hand(), strict=True))
    assert said(asked("logits of a hand's loops")) == found
    assert said(asked("texts in rows")) == found
    assert len(set(found.values())) == 3, "classes that answer alike would hide that they are mixed up"


def test_the_network_that_is_asked_has_both_kinds_of_activations() -> None:
    bands = zip(NETWORK.factor, NETWORK.offset, zip(*SERIES, strict=True), strict=True)
    maps = [[[Fraction(v) * Fraction(f) + Fraction(o) for v in values] for f, o, values in bands]]
    for layer in NETWORK.convolutions:
        maps = convolved(maps, layer.matrix, layer.stride)
        flat = [value for channel in maps for row in channel for value in row]
        assert 0 < sum(value > 0 for value in flat) < len(flat)


def test_the_parts_that_are_expected_are_a_softmax() -> None:
    raised = [math.exp(value / NETWORK.temperature) for value in LOGITS]
    parts = [round(value / sum(raised) * 2**30) for value in raised]
    assert list(said(asked("in parts of 2^30")).values()) == parts


def test_the_layers_that_are_expected_follow_from_the_probabilities() -> None:
    raised = [math.exp(value / NETWORK.temperature) for value in LOGITS]
    shares = [value / sum(raised) for value in raised]
    logs = [math.log(share) for share in shares]
    answer = [value - sum(logs) / 3 for value in logs]
    told = NETWORK.told
    assert told.means is not None
    assert told.set_limits is not None
    away = [[a - m for a, m in zip(answer, mean, strict=True)] for mean in told.means]
    weights = [told.precision[k][k] for k in range(3)]  # it has a diagonal alone
    nearest = min(sum(w * d * d for w, d in zip(weights, one, strict=True)) for one in away)
    members = [1 - share <= limit for share, limit in zip(shares, told.set_limits, strict=True)]
    assert said(asked("all layers")) == {
        "class": 3,
        "confidence": round(100 * shares[2]),
        "second": 2,
        "margin": round(100 * (shares[2] - shares[1])),
        "entropy": round(100 * -sum(p * log for p, log in zip(shares, logs, strict=True)) / math.log(3)),
        **{f"probability_{k}": round(100 * share) for k, share in enumerate(shares, 1)},
        "applicability": math.ceil(100 * math.sqrt(nearest) / told.limit),
        "set": sum(members),
        **{f"member_{k}": int(member) for k, member in enumerate(members, 1)},
    }


def test_the_sum_that_is_expected_is_that_of_the_numbers() -> None:
    numbers = [Fraction(value) for row in large_array() for value in row]
    assert said(asked("goes with a request")) == {"sum": float(sum(numbers))}


@pytest.fixture(scope="module")
def whole_map(offline_client: None) -> Any:
    """A map of four blocks of 32 channels, 43 bins, cropland mask and all layers: the largest that ships."""
    recipe = Recipe()
    season = recipe.season.season(2021, "north")
    checkpoint = made_network(recipe, (32,) * 4, (2, 1, 1, 1), classes=5)
    eye = tuple(tuple(float(i == j) for j in range(5)) for i in range(5))
    told = replace(NETWORK.told, set_limits=(0.5,) * 5, means=eye, precision=eye)
    served = served_network(checkpoint, None)
    served = replace(served, weights=replace(served.weights, told=told))
    cropland = graph.cropland("worldcover")
    return prediction(made_scenes(season), season, recipe, served, cropland=cropland, layers=ALL_LAYERS)


def test_the_chain_that_is_asked_is_deeper_than_any_map(whole_map: Any) -> None:
    deepest = steps(graph_of(whole_map))
    assert steps(graph_of(asked("steps, one in the other").build())) > DEEPEST_ASKED
    assert 150 < deepest < DEEPEST_ASKED - 20


def test_the_array_that_is_asked_is_as_large_as_the_largest_request(whole_map: Any) -> None:
    asked_bytes = len(json.dumps(graph_of(asked("goes with a request").build())))
    assert sent_bytes(whole_map) <= asked_bytes < 2 * sent_bytes(whole_map)
