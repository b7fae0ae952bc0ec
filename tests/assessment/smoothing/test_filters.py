"""Filters of a window: against R sits' numbers, loops and scipy."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from assessment.smoothing.filters import bayes, likeliest, logits, majority

CLASSES = np.array([1, 2, 3, 4], np.uint8)


def most_frequent(codes: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    """The rule of the filter in words, by scipy's generic filter."""

    def rule(values: NDArray[np.float64]) -> int:
        own = int(values[len(values) // 2])
        counts = Counter(int(v) for v in values if v in CLASSES)
        if own not in CLASSES:
            return own
        most = max(counts.values())
        return own if counts[own] == most else min(c for c, n in counts.items() if n == most)

    found = ndimage.generic_filter(codes.astype(float), rule, window, mode="constant", cval=0)
    return found.astype(np.uint8)


@pytest.mark.parametrize("window", [3, 5, 9])
def test_the_majority_of_a_window_with_ties_and_gaps(window: int) -> None:
    rng = np.random.default_rng(window)
    codes = rng.choice(np.array([0, 1, 2, 3, 4, 254, 255], np.uint8), (40, 33))
    found = majority(np.pad(codes, window // 2), CLASSES, window)
    assert np.array_equal(found, most_frequent(codes, window))


def smoothed_by_formula(
    values: NDArray[Any], known: NDArray[np.bool_], window: int, s: float
) -> NDArray[Any]:
    """Pixel by pixel: mean and variance of the upper half of what is known around."""
    out = np.full((len(values), *(side - window + 1 for side in known.shape)), np.nan)
    for one, row, col in np.ndindex(out.shape):
        here = np.s_[row : row + window, col : col + window]
        x = values[one, row + window // 2, col + window // 2]
        around = np.sort(values[one][here][known[here]])[::-1]
        around = around[: -(-len(around) // 2)]
        if not known[row + window // 2, col + window // 2]:
            continue
        v = around.var(ddof=1) if len(around) > 1 else 0.0
        out[one, row, col] = around.mean() if v < 1e-4 else (v * x + s * around.mean()) / (v + s)
    return out


def test_bayes_is_the_formula_also_beside_gaps() -> None:
    rng = np.random.default_rng(2)
    values = logits(np.moveaxis(rng.dirichlet((0.4, 0.7, 1), (21, 17)), -1, 0))
    known = rng.random((21, 17)) < 0.6
    found = bayes(values, known, window=5, smoothness=7)
    assert found == pytest.approx(smoothed_by_formula(values, known, 5, 7), nan_ok=True, abs=1e-12)
    assert np.isnan(found).any()


def test_equal_neighbours_leave_their_mean() -> None:
    values = np.full((2, 5, 5), 1.5)
    found = bayes(values, np.ones((5, 5), bool), window=3)
    assert found == pytest.approx(np.full((2, 3, 3), 1.5))


def test_a_lonely_pixel_keeps_its_logits() -> None:
    known = np.zeros((5, 5), bool)
    known[2, 2] = True
    values = np.arange(50.0).reshape(2, 5, 5)
    found = bayes(values, known, window=5)
    assert found[:, 0, 0].tolist() == [12, 37]


def test_logits_of_certain_classes_are_finite() -> None:
    found = logits(np.array([[[1.0]], [[0.0]], [[0.0]]]), 0.01)
    assert found[:, 0, 0] == pytest.approx([np.log(0.99 / 0.02), np.log(0.01 / 1.0), np.log(0.01 / 1.0)])


def test_of_equal_classes_a_pixel_keeps_its_own() -> None:
    values = np.array([[[2.0, 2.0, 1.0, np.nan]], [[2.0, 2.0, 0.0, np.nan]], [[1.0, 1.0, 3.0, np.nan]]])
    own = np.array([[2, 3, 1, 255]], np.uint8)
    assert likeliest(values, own).tolist() == [[2, 1, 3, 255]]
