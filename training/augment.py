"""Random changes of a training batch that a model should not mind; gaps are still gaps here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.recipe import Recipe
from training.options import TrainingOptions

Transform = Callable[[NDArray[np.int16], np.random.Generator], NDArray[np.int16]]
"""Series `(sample, band, bin)` of whole seasons, gaps nodata, to the same shape; never in place."""


def transforms(options: TrainingOptions, recipe: Recipe) -> tuple[Transform, ...]:
    """What the options ask for, in the order in which it is applied."""

    def jitter(series: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
        return jitter_observations(series, rng, options.time_jitter)

    def drop(series: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
        shares, least = (0.0, options.drop_observations), recipe.min_clear_bins
        return drop_observations(series, rng, shares, window=recipe.window, at_least=least)

    return (jitter,) * bool(options.time_jitter) + (drop,) * bool(options.drop_observations)


def apply(
    steps: Sequence[Transform], series: NDArray[np.int16], rng: np.random.Generator
) -> NDArray[np.int16]:
    """The series after all steps."""
    for step in steps:
        series = step(series, rng)
    return series


def drop_observations(
    series: NDArray[np.int16],
    rng: np.random.Generator,
    shares: tuple[float, float],
    *,
    window: range,
    at_least: int,
) -> NDArray[np.int16]:
    """Series with some observed bins hidden, as by clouds.

    Each sample loses a share of its own, drawn evenly between two, but keeps `at_least` observed
    bins in the window where it has so many: what the map would refuse is not worth learning.

    Args:
        series: `(sample, band, bin)`, gaps nodata.
        rng: Where the draws come from.
        shares: Smallest and largest share to hide, 0 to 1.
        window: Bins of the model window.
        at_least: Observed bins that stay in the window.
    """
    observed = series[:, 0] != NODATA
    draws = np.where(observed, rng.random(observed.shape), 2.0)  # (sample, bin); gaps come last
    keep = draws >= rng.uniform(*shares, (len(series), 1))
    inside = slice(window.start, window.stop)
    order = np.argsort(-draws[:, inside] * observed[:, inside], axis=1)  # the safest observations first
    np.put_along_axis(keep[:, inside], order[:, :at_least], True, axis=1)
    return np.where(keep[:, None, :], series, NODATA).astype(np.int16)


def jitter_observations(series: NDArray[np.int16], rng: np.random.Generator, most: int) -> NDArray[np.int16]:
    """Series in which each bin shows the observation of a bin near by, or its own.

    So an observation stands up to `most` bins early or late, some appear twice and some not at all: series
    with an observation in every second bin come to look like those of denser and shifted sampling.

    Args:
        series: `(sample, band, bin)`, gaps nodata.
        rng: Where the draws come from.
        most: Largest distance in bins.
    """
    samples, _, bins = series.shape
    moved = np.arange(bins) + rng.integers(-most, most + 1, (samples, bins))
    return np.take_along_axis(series, moved.clip(0, bins - 1)[:, None, :], axis=2)
