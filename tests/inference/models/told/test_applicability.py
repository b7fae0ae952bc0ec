"""How unlike the training samples answers are, against scipy's Mahalanobis distance."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.special import softmax

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.layers import LEAST_PROBABILITY
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.class_layers import layer_values
from inference.models.pixel_prediction import ClassParts, ScoredPrediction
from inference.models.told.applicability import Applicability, answers

RNG = np.random.default_rng(5)
MEANS = RNG.normal(0, 3, (3, 3))
ROOT = RNG.normal(0, 1, (3, 3))
PRECISION = ROOT @ ROOT.T
KNOWN = Applicability(tuple(map(tuple, MEANS.tolist())), tuple(map(tuple, PRECISION.tolist())), 2.5, 100)


def test_the_distance_is_that_to_the_nearest_class() -> None:
    shares = softmax(RNG.normal(0, 4, (50, 3)), axis=1)
    for share, found in zip(shares, KNOWN.dissimilarity(shares), strict=True):
        answer = np.log(share) - np.log(share).mean()
        assert found == pytest.approx(min(mahalanobis(answer, mean, PRECISION) for mean in MEANS))


def test_answers_do_not_depend_on_what_all_logits_share() -> None:
    logits = RNG.normal(0, 2, (20, 4))
    expected = logits - logits.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(answers(softmax(logits + 7, axis=1)), expected, atol=1e-9)


def test_a_probability_of_nothing_counts_as_the_least_part() -> None:
    (found,) = answers(np.array([[1.0, 0.0]]))
    assert found[0] - found[1] == pytest.approx(-np.log(LEAST_PROBABILITY))


def test_the_layer_is_in_percent_of_the_limit_and_calls_nothing_inside_outside() -> None:
    shares = softmax(RNG.normal(0, 3, (2_000, 3)), axis=1)
    far, layer = KNOWN.dissimilarity(shares), KNOWN.layer(shares)
    np.testing.assert_array_equal(layer > 100, far > 2.5)
    near = far < 2.5 * 2.5
    assert near.any()
    assert (~near).any()
    np.testing.assert_array_equal(layer[near], np.ceil(100 * far[near] / 2.5).astype(int))
    assert layer.max() == 254  # 255 is where there is no class


def test_the_layer_of_a_map_is_that_of_its_parts() -> None:
    parts = RNG.multinomial(2**20, [0.7, 0.2, 0.1], 40)
    scores = ClassParts(parts, 2**20)
    scored = ScoredPrediction(scores.largest(), scores, KNOWN)
    (found,) = layer_values(["applicability"], scored)
    np.testing.assert_array_equal(found, KNOWN.layer(parts / 2**20))


def test_it_comes_back_from_json() -> None:
    assert Applicability.from_dict(json.loads(json.dumps(KNOWN.to_dict()))) == KNOWN


def test_a_checkpoint_keeps_it_and_stays_the_same_model(make_checkpoint, tmp_path) -> None:

    plain = make_checkpoint()
    size = len(plain.classes)
    square = tuple(map(tuple, np.eye(size).tolist()))
    known = replace(plain, applicability=Applicability(square, square, 3.0, 50))
    for name, checkpoint in (("plain", plain), ("known", known)):
        save_checkpoint(tmp_path / f"{name}.safetensors", checkpoint)
        found = load_checkpoint(tmp_path / f"{name}.safetensors")
        assert found.applicability == checkpoint.applicability
        assert found.digest == plain.digest


def test_it_must_be_of_the_models_classes(make_checkpoint) -> None:

    with pytest.raises(MismatchError, match="an area of applicability of 3 came with a model of 5"):
        replace(make_checkpoint(), applicability=KNOWN)


@pytest.mark.parametrize(
    "change",
    [{"limit": 0.0}, {"limit": float("nan")}, {"means": ((0.0,),)}, {"precision": ((1.0,) * 3,) * 2}],
)
def test_what_tells_nothing_is_refused(change) -> None:

    with pytest.raises(InputError, match="area of applicability has"):
        replace(KNOWN, **change)


def test_a_damaged_entry_is_named(make_checkpoint, tmp_path) -> None:
    from inference.models import checkpoint as module

    text = module._to_json(make_checkpoint())
    damaged = json.dumps({**json.loads(text), "applicability": {"means": 7}})
    with pytest.raises(CorruptFileError, match=r"metadata of .* is damaged"):
        module._from_json(damaged, {}, tmp_path / "x.safetensors")
