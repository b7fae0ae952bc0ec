"""Prediction sets on samples, against loops."""

import numpy as np
import pytest

from assessment.estimation.designs import Clusters, Stratified
from assessment.evaluation.sets import FOLDS, across_folds, sets_on_samples
from training.scores.prediction_sets import sets_of

NAMES = ("corn", "rice", "other")
RNG = np.random.default_rng(1)
BLOCK = np.repeat(np.arange(12), 20)
LABELS = RNG.integers(0, 2, 240)
SAID = RNG.dirichlet((1, 1, 1), 240)


def design() -> Clusters:
    return Clusters(BLOCK, Stratified(np.zeros(12, np.intp), np.array([12.0]), finite=False))


def test_shares_and_sizes_are_counted_over_all_and_by_class() -> None:
    members = RNG.random((240, 3)) < 0.5
    found = sets_on_samples(members, LABELS, NAMES, design(), promised=0.9, source="samples")
    assert (found.promised, found.source) == (0.9, "samples")
    assert [part.name for part in found.parts] == ["all classes", "corn", "rice"]  # no sample is other
    for part, inside in zip(found.parts, (LABELS < 3, LABELS == 0, LABELS == 1), strict=True):
        held = [row[k] for row, k in zip(members[inside], LABELS[inside], strict=True)]
        sizes = [sum(row) for row in members[inside].tolist()]
        assert part.samples == inside.sum()
        assert part.coverage.value == pytest.approx(np.mean(held))
        assert part.coverage.low < part.coverage.value < part.coverage.high
        assert part.size == pytest.approx(np.mean(sizes))
        assert part.empty == pytest.approx(sizes.count(0) / len(sizes))


def test_no_sample_is_in_the_calibration_of_its_own_place() -> None:
    """A sample's set is that of the samples outside its fold; folds are whole places."""
    found = across_folds(SAID, LABELS, BLOCK, coverage=0.9, source="samples")
    assert found is not None
    fold = (np.random.default_rng(1).permutation(12) % FOLDS)[BLOCK]
    for one in range(FOLDS):
        others = sets_of(SAID[fold != one], LABELS[fold != one], source="samples")
        assert others is not None
        np.testing.assert_array_equal(found[fold == one], others.members(SAID[fold == one]))


def test_places_that_leave_too_few_samples_say_nothing() -> None:
    block = np.array([0] * 8 + [1] * 4)
    assert across_folds(SAID[:12], LABELS[:12], block, coverage=0.9, source="samples") is None
