"""Which way is taken, by answers that are made here."""

import numpy as np
import pytest
from scipy import stats

from training.samples.samples import Samples
from training.tuning.choice import choose, difference, log_likelihoods
from training.tuning.trials import Trial
from training.tuning.ways import Candidate

LABELS = np.arange(60) % 2


def samples(labels=LABELS):
    return Samples(np.zeros((len(labels), 10, 73), np.int16), labels, ("corn", "other"))


def trial(way, right, sure=2.0):
    """Answers of which some are right, all as sure."""
    said = np.where(right, LABELS, 1 - LABELS)
    logits = np.where(np.arange(2) == said[:, None], sure, 0.0).astype(np.float32)
    return Trial.of(Candidate(way), logits, samples())


def share_right(share, seed=1):
    return np.random.default_rng(seed).random(60) < share


def test_a_difference_and_its_error_are_those_of_a_mean_where_every_sample_is_a_place():
    values = np.random.default_rng(0).normal(0.1, 1, 40)
    found = difference(values, np.arange(40))
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(stats.sem(values))
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_samples_of_one_place_count_once():
    values = np.random.default_rng(0).normal(0.1, 1, 12)
    alone = difference(values, np.arange(12))
    fourfold = difference(np.repeat(values, 4), np.repeat(np.arange(12), 4))
    assert fourfold.mean == pytest.approx(alone.mean)
    assert fourfold.error == pytest.approx(alone.error)


def test_a_way_that_is_clearly_better_is_taken():
    nothing, better = trial("nothing", share_right(0.5)), trial("all", share_right(0.95))
    found = choose([nothing, better], LABELS, np.arange(60))
    assert found.trial is better
    right = better.right(LABELS) - nothing.right(LABELS)
    assert found.accuracy.mean == pytest.approx(right.mean())
    assert found.likelihood.mean == pytest.approx(nothing.loss - better.loss)


def test_a_gain_within_chance_changes_nothing():
    right = share_right(0.8)
    luckier = right.copy()
    luckier[np.flatnonzero(~right)[0]] = True  # one of sixty
    nothing, other = trial("nothing", right), trial("all", luckier)
    assert other.loss < nothing.loss
    assert choose([nothing, other], LABELS, np.repeat([0, 1, 2], 20)).trial is nothing


def test_a_likelier_way_with_fewer_right_answers_changes_nothing():
    """Answers whose sureness tells right from wrong gain likelihood, and here lose one right answer."""
    right = share_right(0.7)
    nothing = trial("nothing", right)
    right[np.flatnonzero(right)[0]] = False
    told = trial("bias", right, sure=np.where(right, 4.0, 0.1)[:, None])
    assert told.loss < nothing.loss - 0.1
    found = choose([nothing, told], LABELS, np.arange(60))
    assert found.trial is nothing
    assert (found.accuracy.mean, found.accuracy.error) == (0, 0)


def test_mere_sureness_gains_nothing():
    right = share_right(0.8)
    shy, bold = trial("nothing", right, sure=0.5), trial("all", right, sure=8.0)
    assert bold.loss == pytest.approx(shy.loss, abs=1e-4)
    assert log_likelihoods(bold, LABELS).mean() == pytest.approx(-bold.loss)
