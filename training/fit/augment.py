"""Random changes of a training batch that a model should not mind, by preset.

`field` changes observations, on series whose gaps are still gaps; the others move, stretch and warp series
whose gaps are filled (`training.fit.resample`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from gee_pipeline.bands import NODATA, VALID_MAX, VALID_MIN
from gee_pipeline.errors import InputError
from gee_pipeline.observations import group_slices, observed_by_group
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import length_text
from gee_pipeline.sensors import Unit
from training.fit.options import AUGMENTATIONS, TrainingOptions
from training.fit.options import AugmentationPreset as Preset
from training.fit.resample import CODE, CODE_DAYS, PAPER, Moves

Transform = Callable[[NDArray[np.int16], np.random.Generator], NDArray[np.int16]]
"""Series `(sample, band, bin)` of whole seasons, gaps nodata, to the same shape; never in place."""

_MOVES: Final = {"paper": PAPER, "code": CODE, "code-days": CODE_DAYS}


@dataclass(frozen=True)
class Augmentation:
    """How training samples are changed, each time they are seen: first observations, then whole series."""

    preset: Preset = "none"
    """`none`; `field`: observations hidden and moved, as between places and years; `paper` and `code`: Tong
    et al. 2025 as they write it and as they programmed it; `code-days`: the ranges of their code, applied to
    the day as `paper` does."""
    observations: tuple[Transform, ...] = ()
    """Changes of series with gaps, in order; with `field` only."""
    parameters: Moves | None = None
    """Other ranges and shares than those of a preset that moves series; with these only."""

    def __post_init__(self) -> None:
        if self.preset not in AUGMENTATIONS:
            raise InputError(f"An augmentation is one of {', '.join(AUGMENTATIONS)}, got {self.preset!r}.")
        if (self.observations and self.preset != "field") or (self.parameters and self.preset not in _MOVES):
            raise InputError(
                "Changes of observations go with the augmentation field, and parameters of moved series with "
                f"{' or '.join(_MOVES)}; got them with {self.preset}."
            )

    @classmethod
    def of(cls, preset: Preset, options: TrainingOptions, recipe: Recipe) -> Augmentation:
        """A preset; `field` as the options say.

        Raises:
            InputError: The preset moves series along time, which the recipe's bins do not follow.
        """
        if preset in _MOVES and not recipe.in_order:
            raise InputError(
                f"The augmentation {preset} moves series along time, and the bins here, of "
                f"{length_text(recipe.bin_days)}, do not follow one another. Say --augmentation none."
            )
        return cls(preset, transforms(options, recipe) if preset == "field" else ())

    @property
    def moves(self) -> Moves | None:
        """How series are moved, stretched and warped, or None where they are not."""
        return self.parameters or _MOVES.get(self.preset)

    @property
    def copies(self) -> int:
        """Changed copies of each sample in addition to itself; 0 where the samples themselves change."""
        return self.moves.copies if self.moves else 0

    def epoch(self, samples: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The order of an epoch: the index of each sample to be seen, and whether it is seen as it is.

        Each sample occurs once for itself and once a copy; without copies all occurrences may change.
        The copies are drawn again in each epoch; the published code draws them once.
        """
        order = rng.permutation(samples * (1 + self.copies))
        return order % samples, (order < samples) & (self.copies > 0)


def transforms(options: TrainingOptions, recipe: Recipe) -> tuple[Transform, ...]:
    """What the options ask for, in the order in which it is applied.

    A season moves as a whole; observations are hidden and moved sensor by sensor, and brightness is that of
    reflectance alone. Bins that do not follow one another in time stay as they are.
    """
    if not recipe.in_order:
        return ()
    at_least = max(recipe.min_clear_bins, 1)  # a series without any observation has no input
    rest: dict[str, Any] = {"window": recipe.window, "at_least": at_least}
    hide = partial(drop_observations, shares=(0.0, options.drop_observations), **rest)
    shift = partial(shift_season, most=options.time_shift)
    jitter = partial(keep_observed, partial(jitter_observations, most=options.time_jitter), **rest)
    brightness = partial(warp_magnitude, sigma=options.magnitude_warp)
    bright = any(group.sensor.unit == "reflectance" for group in recipe.sensors)
    steps: tuple[tuple[float, Transform], ...] = (
        (options.magnitude_warp * bright, by_sensor(brightness, recipe, units=("reflectance",))),
        (options.time_shift, partial(keep_observed, shift, groups=recipe.group_sizes, **rest)),
        (options.time_jitter, by_sensor(jitter, recipe)),
        (options.drop_observations, by_sensor(hide, recipe)),
    )
    return tuple(step for strength, step in steps if strength)


def by_sensor(
    step: Transform, recipe: Recipe, *, units: tuple[Unit, ...] = ("reflectance", "decibel", "number")
) -> Transform:
    """A change that each sensor's bands undergo by themselves; of one sensor the change itself.

    Args:
        step: The change of the bands of one sensor.
        recipe: Whose bands are changed.
        units: Sensors with another unit stay as they are.
    """
    if len(recipe.sensors) == 1:
        return step
    groups = zip(recipe.sensors, group_slices(recipe.group_sizes), strict=True)
    changing = [rows for group, rows in groups if group.sensor.unit in units]

    def changed(series: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
        out = series.copy()
        for rows in changing:
            out[:, rows] = step(series[:, rows], rng)
        return out

    return changed


def apply(
    steps: Sequence[Transform], series: NDArray[np.int16], rng: np.random.Generator
) -> NDArray[np.int16]:
    """The series after all steps."""
    for step in steps:
        series = step(series, rng)
    return series


def keep_observed(
    step: Transform,
    series: NDArray[np.int16],
    rng: np.random.Generator,
    *,
    window: range,
    at_least: int,
    groups: Sequence[int] | None = None,
) -> NDArray[np.int16]:
    """What a step makes of series, but a sample that would lose too many observations stays as it is.

    Args:
        step: Moves observations along time, possibly out of the window.
        series: `(sample, band, bin)`, gaps nodata.
        rng: Where the draws come from.
        window: Bins of the model window.
        at_least: Observed bins of each sensor that stay in the window, where there were that many.
        groups: Number of bands of each sensor; None where all belong to one.
    """
    changed = step(series, rng)
    before, after = (_observed_in(part, window, groups) for part in (series, changed))
    poor = np.logical_or.reduce(after < np.minimum(before, at_least), axis=0)
    return np.where(poor[:, None, None], series, changed)


def _observed_in(series: NDArray[np.int16], window: range, groups: Sequence[int] | None) -> NDArray[np.intp]:
    """`(group, sample)`: observed bins in the window."""
    counts: NDArray[np.intp] = observed_by_group(series[:, :, window.start : window.stop], groups).sum(axis=2)
    return counts


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
    bins in the window where it has that many: what the map would refuse is not worth learning.

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
