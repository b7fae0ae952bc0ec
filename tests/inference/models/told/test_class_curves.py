"""Curves of NDVI by class, against numpy's interpolation pixel by pixel."""

import json

import numpy as np
import pytest

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from inference.models.series import greenness, has_ndvi
from inference.models.told.class_curves import ClassCurves, curves_of, quartiles

RECIPE = Recipe.of(bands=("B2", "B4", "B8"), window=(151, 240))
BINS = len(RECIPE.window)


def made(pixels: int = 60) -> np.ndarray:
    rng = np.random.default_rng(1)
    series = rng.integers(200, 5_000, (pixels, 3, BINS)).astype(np.int16)
    gaps = rng.random((pixels, BINS)) < 0.4
    gaps[:, 3] = False
    series[np.broadcast_to(gaps[:, None], series.shape)] = NODATA
    return series


def ndvi_of(pixel: np.ndarray) -> np.ndarray:
    seen = np.flatnonzero(pixel[0] != NODATA)
    red, near = (np.interp(np.arange(BINS), seen, pixel[band][seen]) for band in (1, 2))
    return (near - red) / (near + red)


def test_greenness_is_that_of_the_series_as_a_model_sees_it() -> None:
    series = made()
    expected = [ndvi_of(pixel) for pixel in series]
    np.testing.assert_allclose(greenness(series, RECIPE), expected, atol=1e-5)


def test_dark_water_has_none() -> None:
    series = made(2)
    series[1, 1:] = -5
    found = greenness(series, RECIPE)
    assert np.isnan(found[1]).all()
    assert not np.isnan(found[0]).any()
    np.testing.assert_allclose(quartiles(found), np.repeat(found[:1], 3, axis=0), atol=1e-6)
    assert (quartiles(found[1:]) == 0).all()


def test_each_class_has_the_quartiles_of_its_samples() -> None:
    series, labels = made(), np.arange(60) % 3
    found = curves_of(greenness(series, RECIPE), labels, 3)
    assert found is not None
    for k in range(3):
        values = [ndvi_of(pixel) for pixel in series[labels == k]]
        expected = [np.quantile(values, q, axis=0) for q in (0.25, 0.5, 0.75)]
        np.testing.assert_allclose(found.quartiles[k], expected, atol=6e-4)  # three decimals are kept
    assert ClassCurves.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_nothing_is_said_without_a_sample_of_each_class_or_without_both_bands() -> None:
    assert curves_of(greenness(made(), RECIPE), np.arange(60) % 3, 4) is None
    assert has_ndvi(RECIPE)
    assert not has_ndvi(Recipe.of(bands=("B2", "B3", "B4"), window=(151, 240)))


@pytest.mark.parametrize(
    "values",
    [(), (((0.1,), (0.2,)),), (((0.1,), (0.2,), (0.3, 0.4)),), (((0.1,), (0.2,), (float("nan"),)),)],
)
def test_what_are_no_curves_is_refused(values) -> None:
    with pytest.raises(InputError, match="three quartiles of NDVI"):
        ClassCurves(values)
