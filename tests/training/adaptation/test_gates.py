"""Each gate alone refuses a made-up case, and the log adds up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.adaptation.gates import NOT_ACCEPTED, accept, normalised_entropy
from training.adaptation.options import GHCA

OPEN = replace(GHCA, confidence=0.0, certainty=1.0, stability=1, most_of_class=100)


def probabilities(*first: float) -> np.ndarray:
    """Of two classes."""
    return np.array([[p, 1 - p] for p in first])


def test_with_open_gates_all_are_accepted():
    labels, log = accept(probabilities(0.6, 0.3, 0.9), np.array([0.5, 0.9, 0.1]), [], OPEN)
    assert labels.tolist() == [0, 1, 0]
    assert log.accepted == (2, 1)
    assert (log.unsure, log.uncertain, log.unstable, log.surplus) == (0, 0, 0, 0)
    assert log.share == 1


def test_confidence_alone():
    labels, log = accept(probabilities(0.95, 0.85, 0.05), np.zeros(3), [], replace(OPEN, confidence=0.9))
    assert labels.tolist() == [0, NOT_ACCEPTED, 1]
    assert log.unsure == 1


def test_certainty_alone_within_each_class():
    """The second class is less certain throughout, and yet half of it passes."""
    entropy = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    found = probabilities(0.9, 0.9, 0.9, 0.1, 0.1, 0.1)
    labels, log = accept(found, entropy, [], replace(OPEN, certainty=0.5))
    assert labels.tolist() == [0, 0, NOT_ACCEPTED, 1, 1, NOT_ACCEPTED]
    assert log.uncertain == 2


def test_stability_alone():
    options = replace(OPEN, stability=3)
    now = probabilities(0.9, 0.9, 0.9)
    before = [np.array([1, 1, 1]), np.array([0, 1, 0]), np.array([0, 0, 1])]
    labels, log = accept(now, np.zeros(3), before, options)
    assert labels.tolist() == [0, NOT_ACCEPTED, NOT_ACCEPTED]  # only the two latest rounds and this one
    assert log.unstable == 2
    labels, log = accept(now, np.zeros(3), before[-1:], options)
    assert (labels == NOT_ACCEPTED).all()  # too few rounds
    assert log.unstable == 3


def test_a_class_keeps_its_most_certain():
    entropy = np.array([0.3, 0.1, 0.2, 0.9])
    labels, log = accept(probabilities(0.9, 0.9, 0.9, 0.1), entropy, [], replace(OPEN, most_of_class=2))
    assert labels.tolist() == [NOT_ACCEPTED, 0, 0, 1]
    assert log.surplus == 1
    assert log.accepted == (2, 1)


def test_the_log_adds_up():
    rng = np.random.default_rng(1)
    found = rng.dirichlet([0.3, 0.3, 0.3], 500)
    former = [np.where(rng.random(500) < 0.9, found.argmax(axis=1), 0) for _ in range(2)]
    options = replace(GHCA, confidence=0.6, most_of_class=30)
    labels, log = accept(found, rng.random(500), former, options)
    refused = log.unsure + log.uncertain + log.unstable + log.surplus
    assert min(log.unsure, log.uncertain, log.unstable, log.surplus) > 0
    assert refused + sum(log.accepted) == log.series == 500
    assert (labels == NOT_ACCEPTED).sum() == refused
    assert log.share == sum(log.accepted) / 500


def test_entropy_is_a_share_of_the_largest():
    found = normalised_entropy(np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0]]))
    assert found == pytest.approx([0.0, 1.0, np.log(2) / np.log(3)])
