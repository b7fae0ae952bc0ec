"""Labels that others contradict, by hand and on made crops."""

from dataclasses import replace

import numpy as np
import pytest

from assessment.labels.suspects import check_labels, suspects_of, usual_of
from gee_pipeline.errors import InputError
from tests.training.conftest import make_samples
from training.fit.options import SplitRule

NAMES = ("corn", "rice", "other")
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.7, 0.2, 0.1],
        [0.1, 0.8, 0.1],  # called corn
        [0.3, 0.6, 0.1],
        [0.5, 0.4, 0.1],  # called rice: corn is likeliest, but less than corn usually is
        [0.2, 0.6, 0.2],
    ]
)
LABELS = np.array([0, 0, 0, 1, 1, 1])


def test_what_is_usual_for_a_class_is_its_mean_over_its_own_samples():
    found = usual_of(PROBABILITIES, LABELS)
    np.testing.assert_allclose(found[:2], [(0.9 + 0.7 + 0.1) / 3, (0.6 + 0.4 + 0.6) / 3])
    assert np.isnan(found[2])


def test_a_suspect_has_another_class_as_likely_as_is_usual_for_it():
    """By hand: corn is usual from 0.567 on, rice from 0.533; so only the third lies off the diagonal."""
    (one,) = suspects_of(PROBABILITIES, LABELS, NAMES)
    assert (one.sample, one.label, one.likelier, one.own, one.other) == (2, "corn", "rice", 0.1, 0.8)


def test_the_least_likely_label_comes_first():
    """Another wrong corn makes corn less usual, 0.438, so that a rice of 0.5 is a suspect too."""
    more = np.vstack([PROBABILITIES, [[0.05, 0.9, 0.05]]])
    found = suspects_of(more, np.append(LABELS, 0), NAMES)
    assert [one.sample for one in found] == [6, 2, 4]


def test_wrong_labels_of_made_crops_are_found():
    samples = make_samples(120)
    wrong = np.array([5, 40, 77, 101])
    labels = samples.labels.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    found = check_labels(replace(samples, labels=labels), SplitRule(block_size=0.5))
    assert {one.sample for one in found.suspects} == set(wrong.tolist())
    for one in found.suspects:
        assert one.likelier == samples.class_names[samples.labels[one.sample]]


def test_too_few_labels_are_not_checked():
    with pytest.raises(InputError, match="30 or more of two classes"):
        check_labels(make_samples(29), SplitRule())
    samples = replace(make_samples(30), lon=np.full(30, -91.0), lat=np.full(30, 35.0))
    with pytest.raises(InputError, match="two places"):
        check_labels(samples, SplitRule())
