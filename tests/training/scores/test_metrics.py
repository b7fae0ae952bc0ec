import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from training.scores.metrics import score

NAMES = ("corn", "soybeans", "rice")


def test_figures_worked_out_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 1, 0, 2, 2, 1])
    scores = score(labels, predicted, NAMES)
    assert scores.confusion == ((3, 1, 0), (1, 2, 0), (0, 1, 2))
    assert scores.accuracy == pytest.approx(0.7)
    corn, soybeans, rice = scores.classes
    assert (corn.precision, corn.recall, corn.samples) == (0.75, 0.75, 4)
    assert (soybeans.precision, soybeans.recall) == (0.5, pytest.approx(2 / 3))
    assert (rice.precision, rice.recall) == (1.0, pytest.approx(2 / 3))
    assert scores.macro_f1 == pytest.approx((0.75 + 4 / 7 + 0.8) / 3)


def test_a_class_without_samples_has_no_say_in_macro_f1():
    scores = score(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), NAMES)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 1) / 2)
    assert scores.classes[2].samples == 0


def test_a_class_that_is_never_predicted_has_precision_0():
    scores = score(np.array([0, 1]), np.array([0, 0]), NAMES)
    assert (scores.classes[1].precision, scores.classes[1].f1) == (0.0, 0.0)


def test_equal_to_scikit_learn_on_many_samples():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 500)
    predicted = np.where(rng.random(500) < 0.7, labels, rng.integers(0, 3, 500))
    scores = score(labels, predicted, NAMES)
    assert scores.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))


def test_scores_are_json_values():
    scores = score(np.array([0, 1, 2]), np.array([0, 1, 1]), NAMES)
    assert json.loads(json.dumps(scores.to_dict())) == scores.to_dict() | {
        "classes": json.loads(json.dumps(scores.to_dict()["classes"]))
    }
