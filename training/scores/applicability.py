"""What a model's answers are like on its training samples, and where the usual ends on other places."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.models.checkpoint import Checkpoint
from inference.models.predictor import Predictor
from inference.models.told.applicability import Applicability, answers, distances
from training.samples.samples import Samples

BEYOND: Final = 1.5
"""Interquartile ranges above the upper quartile at which the usual ends (Meyer and Pebesma 2021, 2.3)."""

FEWEST: Final = 30
"""Held-out samples below which no limit is said."""

_RANK: Final = 1e-6
"""Share of the largest eigenvalue below which a direction has no spread; one has none: answers sum to 0."""


MOST: Final = 20_000
"""Training samples whose answers are looked at; a covariance of a few classes rests on fewer."""


def with_applicability(
    checkpoint: Checkpoint, training: Samples, held_out: Samples, *, device: str = "auto", seed: int = 1
) -> Checkpoint:
    """The same model with its area of applicability, where the samples tell it.

    Args:
        checkpoint: The model.
        training: Samples that trained it; of more than `MOST` some are drawn.
        held_out: Samples of places that did not.
        device: Where it answers.
        seed: Of the draw.
    """
    window, predictor = checkpoint.recipe.window, Predictor(checkpoint, device)
    chosen = np.random.default_rng(seed).permutation(len(training))[:MOST]
    seen = training.take(np.sort(chosen))
    known, new = (
        predictor.probabilities(one.series[:, :, window.start : window.stop]) for one in (seen, held_out)
    )
    return replace(checkpoint, applicability=applicability_of(known, seen.labels, new))


def applicability_of(
    training: NDArray[np.floating],
    labels: NDArray[np.integer],
    held_out: NDArray[np.floating],
) -> Applicability | None:
    """The area of applicability of a model; None where samples are too few or too much alike to tell.

    Args:
        training: `(sample, class)`: probabilities that it gives the samples that trained it.
        labels: `(sample,)`: index of the true class of each.
        held_out: `(sample, class)`: probabilities on places that did not train.
    """
    classes = training.shape[1]
    counts = np.bincount(labels, minlength=classes)
    if classes < 2 or counts.min() < 2 or len(held_out) < FEWEST:
        return None
    found = answers(training)
    means = np.array([found[labels == k].mean(axis=0) for k in range(classes)])
    within = found - means[labels]
    covariance = within.T @ within / (len(found) - classes)
    precision = np.linalg.pinv(covariance, rcond=_RANK, hermitian=True)
    limit = usual_end(distances(answers(held_out), means, precision))
    if not limit > 0:
        return None
    return Applicability(
        tuple(map(tuple, means.tolist())), tuple(map(tuple, precision.tolist())), limit, len(held_out)
    )


def usual_end(values: NDArray[np.float64]) -> float:
    """Upper quartile and one and a half interquartile ranges, not above the largest value."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    return float(min(upper + BEYOND * (upper - lower), values.max()))
