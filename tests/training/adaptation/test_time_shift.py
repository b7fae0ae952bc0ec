"""The shift of a season without labels, beside published scores and a shift that was made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from training.adaptation.time_shift import estimate_shift, moved, shares_of, shift_score
from training.samples.samples import Samples

SHARES = (0.25, 0.25, 0.5)


def by_peak(window: Any) -> Any:
    """A model of the source: the class by the bin of the highest near infrared, sure when it is near."""
    peak = np.where(window == -9999, 0, window)[:, 3].argmax(axis=1)[:, None]
    distance = np.abs(peak - (np.array([10, 20, 30]) - 0))
    weights = np.exp(-(distance**2) / 4.0) + 1e-6
    return weights / weights.sum(axis=1, keepdims=True)


def series_at(labels: Any, later: int) -> Any:
    """A peak at the bins 10, 20 and 30 of the window, later by some."""
    series = np.full((len(labels), 10, 73), 500, np.int16)
    rows = np.arange(len(labels))
    series[rows, :, 24 + 10 * (labels + 1) + later] = 4000
    return series


def test_the_scores_are_those_of_the_published_code() -> None:
    """Three answers by hand: entropy, shares found (2/3, 1/3, 0), each logarithm with its small number."""
    p = np.array([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.2, 0.7, 0.1]])
    entropy = -np.mean([sum(q * np.log(q + 1e-5) for q in row) for row in p])
    found = (2 / 3, 1 / 3, 0.0)
    pairs = zip(SHARES, found, strict=True)
    distance = sum(s * (np.log(s + 1e-5) - np.log(f + 1e-5)) for s, f in pairs)
    marginal = np.log(p.mean(axis=0) + 1e-5)
    inception = np.mean((p * (np.log(p + 1e-5) - marginal)).sum(axis=1))
    score = shift_score(5, p, SHARES)
    assert score.score == pytest.approx(entropy + distance)
    assert score.inception == pytest.approx(inception)


def test_everything_surely_one_class_is_no_good_shift() -> None:
    """Entropy alone would take it."""
    one = np.tile([0.998, 0.001, 0.001], (40, 1))
    mixed = np.repeat([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], [10, 10, 20], axis=0)
    assert shift_score(0, mixed, SHARES).score < shift_score(0, one, SHARES).score


@pytest.mark.parametrize("later", [-3, 0, 4])
def test_a_shift_that_was_made_is_found(later: int) -> None:
    labels = np.repeat([0, 1, 2], [10, 10, 20])
    found = estimate_shift(series_at(labels, later), Recipe(), by_peak, SHARES, 30)
    assert (found.bins, found.days, found.at_limit) == (later, 5 * later, False)
    assert [one.days for one in found.scores] == list(range(-30, 31, 5))


def test_a_shift_beyond_the_limit_says_so() -> None:
    labels = np.repeat([0, 1, 2], [10, 10, 20])
    found = estimate_shift(series_at(labels, 4), Recipe(), by_peak, SHARES, 10)
    assert (found.days, found.at_limit) == (10, True)


@pytest.mark.parametrize("days", [0, 4, 61])
def test_limits_that_cannot_be(days: int) -> None:
    with pytest.raises(InputError, match="--season-shift 20"):
        estimate_shift(series_at(np.array([0, 1]), 0), Recipe(), by_peak, SHARES, days)


def test_moved_series_have_gaps_where_they_came_from() -> None:
    series = np.arange(2 * 3 * 5, dtype=np.int16).reshape(2, 3, 5)
    later, earlier = moved(series, 2), moved(series, -1)
    assert (later[:, :, :2] == -9999).all()
    assert (later[:, :, 2:] == series[:, :, :3]).all()
    assert (earlier[:, :, -1] == -9999).all()
    assert (earlier[:, :, :-1] == series[:, :, 1:]).all()
    assert (moved(series, 0) == series).all()


def test_shares_are_those_of_the_labels(made_samples: Any) -> None:
    samples: Samples = replace(made_samples(8), labels=np.array([0, 0, 0, 0, 1, 1, 2, 2]))
    assert shares_of(samples) == (0.5, 0.25, 0.25)
