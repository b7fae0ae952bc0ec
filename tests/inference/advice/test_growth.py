"""Classes of a place beside those of the training."""

import numpy as np
import pytest

from gee_pipeline.recipe import Recipe
from inference.advice.growth import growth_of
from inference.models.series import greenness
from inference.models.told.class_curves import ClassCurves

RECIPE = Recipe.of(bands=("B2", "B4", "B8"), window=(151, 240))
BINS = len(RECIPE.window)
NAMES = ("corn", "rice", "other")


def flat(low: float, median: float, high: float) -> tuple[tuple[float, ...], ...]:
    return tuple((value,) * BINS for value in (low, median, high))


CURVES = ClassCurves((flat(0.4, 0.5, 0.6), flat(0.1, 0.2, 0.3), flat(0.0, 0.1, 0.2)))


def test_the_distance_is_that_of_the_medians() -> None:
    rng = np.random.default_rng(1)
    series = rng.integers(500, 4_000, (90, 3, BINS)).astype(np.int16)
    said = np.repeat([0, 1, 2], (40, 30, 20))
    found = growth_of(series, said, NAMES, CURVES, RECIPE)
    assert [(one.name, one.pixels) for one in found] == [("corn", 40), ("rice", 30)]  # others are too few
    values = greenness(series, RECIPE).astype(float)
    for one, k, centre in zip(found, (0, 1), (0.5, 0.2), strict=True):
        medians = [float(np.median(values[said == k, at])) for at in range(BINS)]
        assert one.difference == pytest.approx(np.mean([abs(m - centre) for m in medians]))
        assert one.inside == pytest.approx(np.mean([abs(m - centre) <= 0.1 for m in medians]))
        np.testing.assert_allclose(one.quartiles[1], medians, atol=6e-4)
