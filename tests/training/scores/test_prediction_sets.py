"""Limits of prediction sets, against sorted lists, and their coverage against the binomial distribution."""

import math

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from inference.models.networks.cropnet import CropNetConfig
from inference.models.predictor import Predictor
from training.fit.options import SplitRule, TrainingOptions
from training.fit.split import split_samples
from training.fit.train import train_checkpoint
from training.scores.prediction_sets import fewest, limit_of, sets_of

TINY = CropNetConfig("compact", (8, 8), (2, 2), (0.0, 0.1), 10, 3)


@pytest.mark.parametrize(
    ("coverage", "samples", "rank"),
    [
        (0.5, 9, 5),  # not the sixth, which a quantile of the kind "higher" takes
        (0.9, 9, 9),
        (0.9, 10, 10),
        (0.9, 99, 90),
        (0.9, 100, 91),
        (0.95, 19, 19),
        (0.7, 9, 7),  # (9 + 1) x 0.7 is 7, also where binary fractions make it a little more
    ],
)
def test_the_limit_is_the_score_of_that_rank(coverage, samples, rank) -> None:
    scores = np.random.default_rng(samples).permutation(samples) / samples
    assert limit_of(scores, coverage) == (rank - 1) / samples


@pytest.mark.parametrize(("coverage", "samples"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_with_fewer_samples_every_class_is_in_the_set(coverage, samples) -> None:
    assert fewest(coverage) == samples
    assert limit_of(np.zeros(samples), coverage) == 0
    assert limit_of(np.zeros(samples - 1), coverage) == 1


def drawn(rng, counts):
    """Probabilities of samples; of the last class the model knows little."""
    labels = np.repeat(np.arange(len(counts)), counts)
    odds = rng.normal(0, 1, (len(labels), len(counts)))
    odds[np.arange(len(labels)), labels] += np.linspace(4, 0.5, len(counts))[labels]
    shares = np.exp(odds)
    return shares / shares.sum(axis=1, keepdims=True), labels


def nth(values, coverage=0.9):
    return sorted(values)[math.ceil((len(values) + 1) * coverage - 1e-9) - 1]


def test_each_class_has_its_own_limit_and_rare_ones_share_one() -> None:
    said, labels = drawn(np.random.default_rng(3), (40, 9, 8, 6))
    scores = [1 - row[k] for row, k in zip(said, labels, strict=True)]
    of = [[s for s, k in zip(scores, labels, strict=True) if k == one] for one in range(4)]
    found = sets_of(said, labels, source="samples")
    assert found is not None
    shared = nth(of[2] + of[3])
    assert found.limits == pytest.approx((nth(of[0]), max(of[1]), shared, shared), abs=0)
    assert (found.samples, found.coverage, found.source) == ((40, 9, 8, 6), 0.9, "samples")


def test_rare_classes_that_are_few_together_take_the_limit_of_all() -> None:
    said, labels = drawn(np.random.default_rng(4), (30, 5, 3, 0))
    scores = 1 - said[np.arange(38), labels]
    found = sets_of(said, labels, source="samples")
    assert found is not None
    assert found.limits == (nth(scores[:30]), *[nth(scores)] * 3)


def test_of_too_few_samples_nothing_is_said() -> None:
    said, labels = drawn(np.random.default_rng(5), (4, 4))
    assert sets_of(said, labels, source="samples") is None
    assert sets_of(said, labels, source="samples", coverage=0.8) is not None


def test_the_coverage_of_each_class_holds_whatever_the_shares_of_the_classes() -> None:
    """Calibrated on one mix of classes and tried on another, over many draws."""
    rng = np.random.default_rng(6)
    held, sizes = np.zeros(3), (40, 20, 99)
    draws, tried = 300, (30, 60, 10)
    inside = 0
    for _ in range(draws):
        found = sets_of(*drawn(rng, sizes), source="samples")
        assert found is not None
        said, labels = drawn(rng, tried)
        hits = found.members(said)[np.arange(100), labels]
        held += np.bincount(labels, hits, minlength=3)
        r = math.ceil(41 * 0.9)
        low, high = betabinom.interval(0.95, 30, r, 41 - r)
        inside += low <= hits[:30].sum() <= high
    for k, (n, m) in enumerate(zip(sizes, tried, strict=True)):
        expected = math.ceil((n + 1) * 0.9 - 1e-9) / (n + 1)  # Vovk et al. 2005, 2.2
        assert abs(held[k] / draws / m - expected) < 0.012
    assert binom.sf(draws - inside - 1, draws, 0.05) > 1e-3  # as often as the interval says


@pytest.mark.slow
def test_a_training_says_it_of_its_own_split(made_samples) -> None:
    samples, options = made_samples(200), TrainingOptions(epochs=2, batch_size=16, device="cpu")
    rule = SplitRule(seed=5)
    checkpoint = train_checkpoint(samples, options, rule, year=2021, config=TINY)
    held_out = samples.take(split_samples(samples, rule).validation)
    said = Predictor(checkpoint, "cpu").probabilities(held_out.series[:, :, 24:67])
    assert checkpoint.prediction_sets is not None
    assert checkpoint.prediction_sets == sets_of(
        said, held_out.labels, source="held-out samples of its training"
    )
    assert sum(checkpoint.prediction_sets.samples) == len(held_out)
