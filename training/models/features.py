"""What a model looks at, made of filled series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.features.harmonic import bin_days, harmonic_features
from gee_pipeline.recipe import Recipe
from training.models.registry import ModelSpec

if TYPE_CHECKING:
    from training.pretrained.start import Pretrained


def features_of(
    spec: ModelSpec,
    series: NDArray[np.float32],
    recipe: Recipe,
    *,
    observed: NDArray[np.bool_] | None = None,
    pretrained: Pretrained | None = None,
) -> NDArray[np.float32]:
    """The features of a model that are made of series: `(sample, band, bin)`, `(sample, band * bin)`,
    `(sample, 35)` or, as embeddings, `(sample, 128)`.

    Forests take them as they are. Networks do not need them: they take `inference.models.series.model_input`.

    Args:
        spec: The model.
        series: `(sample, band, bin)` from `inference.models.series.fill_gaps`, reflectance x 10,000, of the
            whole season or of the model window.
        recipe: Bands and window.
        observed: `(sample, bin)`, the bins that a harmonic fit counts; None counts all.
        pretrained: The encoder of a model on months.

    Raises:
        InputError: The series have other bands or bins than the recipe, or the encoder is missing.
    """
    window = _window(series, recipe)
    if spec.features == "median-2d":
        return window
    if spec.features == "median-1d":
        return window.reshape(len(window), -1)
    if spec.features == "months":
        return _embedded(spec, window, recipe, pretrained)
    if observed is not None and observed.shape[-1] != window.shape[2]:
        observed = observed[:, recipe.window.start : recipe.window.stop]
    return harmonic_features(window, bin_days(recipe), observed=observed, bands=recipe.bands)


def _embedded(
    spec: ModelSpec, window: NDArray[np.float32], recipe: Recipe, pretrained: Pretrained | None
) -> NDArray[np.float32]:
    from training.pretrained.embedding import embed

    if pretrained is None:
        raise InputError(
            f"Features of {spec.name} are made by the encoder {spec.encoder}, so its weights must be given: "
            "--pretrained FILE, from 'cropmap data weights'."
        )
    return embed(window, recipe, pretrained)


def _window(series: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32]:
    bands, bins = series.shape[1:]
    if bands != len(recipe.bands) or bins not in (len(recipe.window), recipe.bins_in_season):
        raise InputError(
            f"Features are made of {len(recipe.bands)} bands and of {len(recipe.window)} bins, or the "
            f"season's {recipe.bins_in_season}; got {bands} bands and {bins} bins. Use their recipe."
        )
    return series if bins == len(recipe.window) else series[:, :, recipe.window.start : recipe.window.stop]
