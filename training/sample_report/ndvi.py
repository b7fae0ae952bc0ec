"""Greenness of series through the season, and how it is spread within a class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from inference.models.series import ndvi_of
from training.samples.samples import Samples

LEAST_SHARE: Final = 0.02
"""A bin counts for a class where at least this share of its samples is observed: a median of few is noise."""


@dataclass(frozen=True)
class Curve:
    """NDVI of a class through the season; each array is `(bin,)`, NaN in bins with too few observations."""

    lower: NDArray[np.float64]
    """First quartile of the observed samples."""
    median: NDArray[np.float64]
    """Second quartile."""
    upper: NDArray[np.float64]
    """Third quartile."""


def ndvi(samples: Samples) -> NDArray[np.float32]:
    """NDVI = (B8 - B4) / (B8 + B4) of each observation, `(sample, bin)`; NaN in gaps.

    Also NaN where the sum of the two is not positive, which happens over dark water: there is no ratio then.
    """
    values = ndvi_of(samples.series, samples.recipe)
    gaps = samples.series[:, samples.recipe.bands.index("B8")] == NODATA
    return np.where(gaps, np.float32(np.nan), values)


def ndvi_curves(samples: Samples) -> dict[str, Curve]:
    """The curve of each class that has samples, by its name, in the order of the codes."""
    values = ndvi(samples)
    return {
        name: _curve(values[samples.labels == index])
        for index, (name, count) in enumerate(samples.counts.items())
        if count
    }


def _curve(values: NDArray[np.float32]) -> Curve:
    """Quartiles bin by bin, without the gaps."""
    least = max(1, math.ceil(LEAST_SHARE * len(values)))
    quartiles = np.full((3, values.shape[1]), np.nan)
    for index, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        if len(known) >= least:
            quartiles[:, index] = np.quantile(known, (0.25, 0.5, 0.75))
    return Curve(*quartiles)
