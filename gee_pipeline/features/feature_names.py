"""What a forest looks at: the kinds of features, and names that trees and the servers' bands share."""

from __future__ import annotations

from typing import Literal

from gee_pipeline.features.harmonic import FEATURES, band_rows
from gee_pipeline.recipe import Recipe

FeatureKind = Literal["median", "harmonic"]
"""The filled series of the model window, or the 35 coefficients of `gee_pipeline.features.harmonic`."""


def feature_names(recipe: Recipe, kind: FeatureKind) -> tuple[str, ...]:
    """The names in the order of a forest's columns: `B2_24`, `B2_25`, ..., `B12_66`, or `B8A_constant`, ....

    Args:
        recipe: Bands and window.
        kind: What the features are.

    Raises:
        InputError: Harmonic features need a band that the recipe does not have.
    """
    if kind == "median":
        return tuple(f"{band}_{index}" for band in recipe.bands for index in recipe.window)
    band_rows(recipe.bands)
    return FEATURES
