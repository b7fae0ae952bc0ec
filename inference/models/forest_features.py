"""From the series of a pixel to what a forest looks at, in whole numbers.

32-bit floats hold them exactly up to 2^24, which all medians are, and harmonic coefficients unless the index
passes a hundred; beyond it they are rounded, to other whole numbers.

`gee_pipeline.earthengine.forest.forest_graph` computes the same numbers on Earth Engine's servers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import REFLECTANCE_SCALE
from gee_pipeline.features.feature_names import FeatureKind
from gee_pipeline.features.harmonic import HALF_UP, bin_days, harmonic_coefficients
from gee_pipeline.recipe import Recipe
from inference.models.series import fill_gaps_whole


def forest_features(series: NDArray[np.int16], recipe: Recipe, kind: FeatureKind) -> NDArray[np.float32]:
    """The features of some pixels, `(pixel, feature)`, in the order of `feature_names`; whole numbers.

    Medians are the filled series, rounded to whole DN, halves up. Harmonic features are the coefficients of
    these medians x 10,000, rounded likewise.

    Args:
        series: `(pixel, band, bin)` of the model window as stored, nodata in the gaps; each with an
            observation of every sensor.
        recipe: Bands and window of the series.
        kind: Which features.

    Raises:
        InputError: Harmonic features need a band that the recipe does not have.
        AssertionError: The series have other bands or bins, or one has no observation of a sensor.
    """
    if series.shape[1:] != (len(recipe.bands), len(recipe.window)):
        raise AssertionError(f"{series.shape[1:]} bands and bins are not those of the recipe's window")
    filled = fill_gaps_whole(series, recipe.group_sizes)
    if kind == "median":
        return filled.reshape(len(filled), math.prod(filled.shape[1:])).astype(np.float32)
    fitted = harmonic_coefficients(filled, bin_days(recipe), bands=recipe.bands)
    return np.floor(fitted * REFLECTANCE_SCALE + HALF_UP).astype(np.float32)
