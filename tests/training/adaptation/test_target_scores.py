"""Figures without labels beside computations by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.adaptation.target_scores import SHARPNESS, neighbourhood_density, target_scores


def test_the_density_by_hand():
    found = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    directions = [row / math.hypot(*row) for row in found]
    each = []
    for i in range(3):
        weights = [math.exp(float(directions[i] @ directions[j]) / SHARPNESS) for j in range(3) if j != i]
        shares = [one / sum(weights) for one in weights]
        each.append(-sum(one * math.log(one) for one in shares if one))
    assert neighbourhood_density(found) == pytest.approx(sum(each) / 3, rel=1e-9)


def test_dense_groups_have_more_near_neighbours_than_scattered_answers():
    rng = np.random.default_rng(1)
    grouped = np.repeat([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]], 50, axis=0)
    scattered = rng.dirichlet([1, 1, 1], 150)
    assert neighbourhood_density(grouped) > neighbourhood_density(scattered)


def test_the_figures():
    found = target_scores(np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8]]), ("corn", "other"))
    assert found.series == 4
    assert found.confidence == pytest.approx((0.9 + 0.6 + 0.5 + 0.8) / 4)
    assert found.shares == {"corn": 0.75, "other": 0.25}
    parts = [-(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2) for p in (0.9, 0.6, 0.5, 0.2)]
    assert found.entropy == pytest.approx(sum(parts) / 4)
    assert set(found.to_dict()) == {"series", "confidence", "entropy", "neighbourhood_density", "shares"}
