"""Random changes of a training batch that a model should not mind; gaps are still gaps here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from gee_pipeline.bands import NODATA, VALID_MAX, VALID_MIN
from gee_pipeline.recipe import Recipe
from training.options import TrainingOptions

Transform = Callable[[NDArray[np.int16], np.random.Generator], NDArray[np.int16]]
"""Series `(sample, band, bin)` of whole seasons, gaps nodata, to the same shape; never in place."""


def transforms(options: TrainingOptions, recipe: Recipe) -> tuple[Transform, ...]:
    """What the options ask for, in the order in which it is applied."""
    hide = partial(
        drop_observations,
        shares=(0.0, options.drop_observations),
        window=recipe.window,
        at_least=recipe.min_clear_bins,
    )
    steps: tuple[tuple[float, Transform], ...] = (
        (options.magnitude_warp, partial(warp_magnitude, sigma=options.magnitude_warp)),
        (options.time_shift, partial(shift_season, most=options.time_shift)),
        (options.time_jitter, partial(jitter_observations, most=options.time_jitter)),
        (options.drop_observations, hide),
    )
    return tuple(step for strength, step in steps if strength)


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


def warp_magnitude(
    series: NDArray[np.int16], rng: np.random.Generator, sigma: float, *, knots: int = 5, share: float = 0.5
) -> NDArray[np.int16]:
    """Series whose reflectance is a little brighter or darker, differently through the season.

    One smooth curve multiplies all bands of a sample: a cubic spline through evenly spaced knots drawn from
    N(1, sigma). Haze, soil and canopies differ so from place to place (Tong et al. 2025, magnitude warping).

    Args:
        series: `(sample, band, bin)`, gaps nodata.
        rng: Where the draws come from.
        sigma: Standard deviation of the knots.
        knots: Number of knots.
        share: Share of the samples that change.
    """
    samples, _, bins = series.shape
    drawn = rng.normal(1, sigma, (samples, knots))
    drawn[rng.random(samples) >= share] = 1
    curve = CubicSpline(np.linspace(0, bins - 1, knots), drawn, axis=1)(np.arange(bins))  # (sample, bin)
    warped = (series * curve[:, None, :]).round().clip(VALID_MIN, VALID_MAX)
    return np.where(series == NODATA, NODATA, warped).astype(np.int16)


def shift_season(
    series: NDArray[np.int16], rng: np.random.Generator, most: int, *, share: float = 0.5
) -> NDArray[np.int16]:
    """Series that stand some bins early or late as a whole: other sowing dates, other weather.

    What moves in from beyond the season is a gap (Tong et al. 2025, time shifting, in steps of a bin).

    Args:
        series: `(sample, band, bin)`, gaps nodata.
        rng: Where the draws come from.
        most: Largest distance in bins.
        share: Share of the samples that change.
    """
    samples, _, bins = series.shape
    by = np.where(rng.random(samples) < share, rng.integers(-most, most + 1, samples), 0)
    came_from = np.arange(bins) - by[:, None]  # (sample, bin)
    there = (came_from >= 0) & (came_from < bins)
    moved = np.take_along_axis(series, came_from.clip(0, bins - 1)[:, None, :], axis=2)
    return np.where(there[:, None, :], moved, NODATA).astype(np.int16)


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
