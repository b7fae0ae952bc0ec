"""How good maps of patches are: overall and average accuracy, with intervals by bootstrap over images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.foundation.crop_classes import CLASSES

ANSWERS: Final = (*CLASSES, "no answer")
"""Columns of a table of confusion: what a map says, the last that it says nothing."""

DRAWS: Final = 2000
"""Draws of a bootstrap."""

BOUNDS: Final = (2.5, 97.5)
"""Percentiles of the draws that bound an interval of 95 %."""


@dataclass(frozen=True)
class Interval:
    """A share, and where 95 % of the draws lie."""

    value: float
    """Of all images, 0 to 1."""
    low: float
    """2.5th percentile of the draws."""
    high: float
    """97.5th percentile."""


@dataclass(frozen=True)
class PatchScores:
    """How good maps of some patches are, each figure the mean over trainings."""

    accuracy: Interval
    """Overall accuracy: the share of labelled pixels that are right."""
    average: Interval
    """Average accuracy: the mean of the shares found of each class that is labelled."""
    f1: float
    """Mean F1 of these classes."""
    jaccard: float
    """Mean intersection over union of these classes."""
    found: tuple[float | None, ...]
    """Share found of each class; None where no pixel has its label."""
    pixels: tuple[int, ...]
    """Labelled pixels by class."""


def confusion_of(labels: NDArray[np.integer], said: NDArray[np.integer]) -> NDArray[np.int64]:
    """Counts `(label, answer)` of one patch, classes by `CLASSES`, answers by `ANSWERS`.

    Args:
        labels: 0 no data, which is not counted, or 1 to 5.
        said: Of the same shape: 1 to 5, or 0 for no answer.
    """
    there = labels > 0
    answers = np.where(said[there] > 0, said[there].astype(np.int64) - 1, len(CLASSES))
    flat = (labels[there].astype(np.int64) - 1) * len(ANSWERS) + answers
    counts = np.bincount(flat, minlength=len(CLASSES) * len(ANSWERS))
    return counts.reshape(len(CLASSES), len(ANSWERS))


def score_patches(confusions: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0) -> PatchScores:
    """The scores of maps of patches.

    The images are drawn with replacement, the same ones for all trainings: the interval is about which images
    were taken to test, not about the seeds.

    Args:
        confusions: `(training, image, class, answer)`.
        draws: Draws of the bootstrap.
        seed: Of the draws.
    """
    trainings, images = confusions.shape[:2]
    rng = np.random.default_rng(seed)
    times = rng.multinomial(images, np.full(images, 1 / images), size=draws)  # (draw, image)
    flat = confusions.reshape(trainings, images, -1)
    drawn = np.einsum("di,tic->dtc", times, flat).reshape(draws, trainings, *confusions.shape[2:])
    whole = confusions.sum(axis=1)  # (training, class, answer)
    pixels = whole[0].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.mean(_recall(whole), axis=0)
        return PatchScores(
            _interval(_overall(whole), _overall(drawn)),
            _interval(_average(_recall(whole)), _average(_recall(drawn))),
            float(np.mean(_average(_f1(whole)))),
            float(np.mean(_average(_jaccard(whole)))),
            tuple(None if np.isnan(share) else float(share) for share in found),
            tuple(int(count) for count in pixels),
        )


def _interval(whole: NDArray[np.float64], drawn: NDArray[np.float64]) -> Interval:
    """Of `(training)` values and `(draw, training)` values."""
    means = drawn.mean(axis=1)
    means = means[~np.isnan(means)]  # a draw of images that nobody labelled
    low, high = np.percentile(means, BOUNDS) if len(means) else (np.nan, np.nan)
    return Interval(float(whole.mean()), float(low), float(high))


def _right(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pixels of each class that are right: the diagonal."""
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _overall(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(_right(counts).sum(axis=-1) / counts.sum(axis=(-2, -1)))


def _recall(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """NaN for a class without labels."""
    return np.asarray(_right(counts) / counts.sum(axis=-1))


def _f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    labelled, said = counts.sum(axis=-1), counts.sum(axis=-2)[..., : len(CLASSES)]
    return _labelled_only(2 * _right(counts) / (labelled + said), labelled)


def _jaccard(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    labelled, said = counts.sum(axis=-1), counts.sum(axis=-2)[..., : len(CLASSES)]
    return _labelled_only(_right(counts) / (labelled + said - _right(counts)), labelled)


def _labelled_only(values: NDArray[np.float64], labelled: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(labelled > 0, values, np.nan)


def _average(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes with labels; NaN where there is none."""
    there = ~np.isnan(values)
    return np.asarray(np.where(there, values, 0).sum(axis=-1) / there.sum(axis=-1))
