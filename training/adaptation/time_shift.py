"""By how many days a place is later than another, told without its labels (Nyborg et al. 2022, TimeMatch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.observations import least_observed
from gee_pipeline.recipe import Recipe
from training.samples.samples import Samples

SMALL: Final = 1e-5
"""Stands inside each logarithm, as in the code of TimeMatch."""

MOST_DAYS: Final = 60
"""As far as TimeMatch looks."""

Probabilities = Callable[[NDArray[np.int16]], NDArray[np.floating]]
"""A model of the source: series `(series, band, bin of the window)` to `(series, class)`."""


@dataclass(frozen=True)
class ShiftScore:
    """What one shift is worth."""

    days: float
    """Days by which the target would be later than the source."""
    score: float
    """Mean entropy of the answers, and how far the shares of their classes lie from the source's; nats. The
    least is the best."""
    inception: float
    """Inception score, for comparison; the largest would be the best."""


@dataclass(frozen=True)
class TimeShift:
    """The best of some shifts."""

    days: float
    """Days by which the target is later than the source."""
    bins: int
    """The same in bins."""
    at_limit: bool
    """Whether it is the largest that was looked at, so that it says little."""
    scores: tuple[ShiftScore, ...]
    """All, from the earliest to the latest."""

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self) | {"scores": [asdict(one) for one in self.scores]}


def estimate_shift(
    series: NDArray[np.int16],
    recipe: Recipe,
    probabilities: Probabilities,
    shares: Sequence[float],
    most_days: int,
) -> TimeShift:
    """The shift after which a model of the source answers surely, and with the source's shares of classes.

    Sureness alone is won by a shift at which everything is surely one class; shares alone by chance. Where
    the shares of the target are truly others, the score is drawn to those of the source.

    Args:
        series: `(series, band, bin)` of whole seasons of the target, gaps nodata.
        recipe: Window and bins.
        probabilities: The model.
        shares: Of each class in the source, summing to 1.
        most_days: Largest shift either way, at most `MOST_DAYS`.

    Raises:
        InputError: The largest shift is not 1 to `MOST_DAYS` days, or less than a bin.
    """
    length = recipe.mean_bin_days
    most = int(most_days // length)
    if not 0 < most_days <= MOST_DAYS or most < 1:
        raise InputError(
            f"A shift is looked for within a bin ({length:g} days) and {MOST_DAYS} days, got {most_days}. "
            "Try --season-shift 20, or leave it out."
        )
    found = []
    for bins in range(-most, most + 1):
        window = moved(series, -bins)[:, :, recipe.window.start : recipe.window.stop]
        seen = least_observed(window, recipe.group_sizes) > 0
        found.append(shift_score(bins * length, probabilities(window[seen]), shares))
    best = min(range(len(found)), key=lambda index: (found[index].score, abs(index - most)))
    return TimeShift(found[best].days, best - most, best in (0, 2 * most), tuple(found))


def shift_score(days: float, probabilities: NDArray[np.floating], shares: Sequence[float]) -> ShiftScore:
    """The scores of a shift.

    Args:
        days: The shift.
        probabilities: `(series, class)` of the target after it.
        shares: Of each class in the source.
    """
    p, expected = probabilities.astype(np.float64), np.asarray(shares, np.float64)
    logarithms = np.log(p + SMALL)
    entropy = -(p * logarithms).sum(axis=1).mean()
    inception = (p * (logarithms - np.log(p.mean(axis=0) + SMALL))).sum(axis=1).mean()
    found = np.bincount(p.argmax(axis=1), minlength=len(expected)) / len(p)
    distance = (expected * (np.log(expected + SMALL) - np.log(found + SMALL))).sum()
    return ShiftScore(days, float(entropy + distance), float(inception))


def moved(series: NDArray[np.int16], bins: int) -> NDArray[np.int16]:
    """Series that stand later by some bins; what comes in from beyond the season is a gap."""
    out = np.full_like(series, NODATA)
    count = series.shape[2]
    if bins >= 0:
        out[:, :, bins:] = series[:, :, : count - bins]
    else:
        out[:, :, :bins] = series[:, :, -bins:]
    return out


def shares_of(samples: Samples) -> tuple[float, ...]:
    """Share of each class of labelled samples."""
    return tuple(count / len(samples) for count in samples.counts.values())
