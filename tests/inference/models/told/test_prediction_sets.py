"""Prediction sets as a model's file holds them."""

import json

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from inference.models.told.prediction_sets import PredictionSets

SETS = PredictionSets(0.9, (0.1, 1.0, 1 / 3), (40, 0, 9), "held-out samples")


def test_members_are_those_that_are_likely_enough() -> None:
    said = np.random.default_rng(1).dirichlet((0.3, 0.3, 0.3), 500).astype(np.float32)
    found = SETS.members(said)
    assert found.tolist() == [
        [1 - float(p) <= q for p, q in zip(row, SETS.limits, strict=True)] for row in said
    ]
    assert found[:, 1].all()  # a limit of 1 leaves nothing out


def test_the_sample_that_set_a_limit_is_inside() -> None:
    said = np.random.default_rng(2).dirichlet((1, 1), 200)
    for row in said:
        one = PredictionSets(0.9, tuple((1 - row).tolist()), (9, 9), "samples")
        assert one.members(row[None]).all()


def test_they_come_back_from_json_to_the_bit() -> None:
    assert PredictionSets.from_dict(json.loads(json.dumps(SETS.to_dict()))) == SETS


@pytest.mark.parametrize(
    ("coverage", "limits", "samples"),
    [
        (1.0, (0.5,), (9,)),
        (0.0, (0.5,), (9,)),
        (0.9, (), ()),
        (0.9, (0.5, 0.5), (9,)),
        (0.9, (1.5,), (9,)),
        (0.9, (float("nan"),), (9,)),
        (0.9, (0.5,), (-1,)),
    ],
)
def test_what_are_no_limits_is_refused(coverage, limits, samples) -> None:
    with pytest.raises(InputError, match="a coverage between 0 and 1"):
        PredictionSets(coverage, limits, samples, "samples")
