"""How likely a class must be to be in a prediction set, found on labelled samples that did not train."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.models.checkpoint import Checkpoint
from inference.models.predictor import Predictor
from inference.models.told.prediction_sets import PredictionSets
from training.samples.samples import Samples

COVERAGE: Final = 0.9
"""Share of the pixels whose true class a set is meant to hold, where nothing else is asked for."""

HELD_OUT: Final = "held-out samples of its training"
"""What the limits of a model rest on that nobody calibrated again."""


def with_prediction_sets(checkpoint: Checkpoint, held_out: Samples, *, device: str = "auto") -> Checkpoint:
    """The same model with limits of prediction sets, where the samples suffice.

    Args:
        checkpoint: The model.
        held_out: Samples of places that did not train it.
        device: Where it answers.
    """
    window = checkpoint.recipe.window
    said = Predictor(checkpoint, device).probabilities(held_out.series[:, :, window.start : window.stop])
    return replace(checkpoint, prediction_sets=sets_of(said, held_out.labels, source=HELD_OUT))


def sets_of(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    source: str,
    coverage: float = COVERAGE,
) -> PredictionSets | None:
    """Limits of prediction sets; None where there are too few samples for any.

    A class with enough samples has a limit of its own, so that its coverage holds whatever the shares of the
    classes. Those with fewer share one, from the samples of all of them, or where even these are too few from
    all samples, whatever their class.

    Args:
        probabilities: `(sample, class)` that a model gives samples which did not train it.
        labels: `(sample,)`: index of the true class of each.
        source: What the samples are.
        coverage: Share of the pixels whose true class a set shall hold, above 0 and below 1.
    """
    scores = 1 - np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    if len(labels) < fewest(coverage):
        return None
    few = counts < fewest(coverage)
    rare = few[labels]
    shared = limit_of(scores[rare] if rare.sum() >= fewest(coverage) else scores, coverage)
    limits = [shared if few[k] else limit_of(scores[labels == k], coverage) for k in range(len(counts))]
    return PredictionSets(coverage, tuple(limits), tuple(counts.tolist()), source)


def fewest(coverage: float) -> int:
    """Samples from which on a limit leaves any class out: 9 for 90 %, 19 for 95 %."""
    share = Fraction(str(coverage))
    return math.ceil(share / (1 - share))


def limit_of(scores: NDArray[np.float64], coverage: float) -> float:
    """The score that a new one of the same kind exceeds with a probability of at most one less the coverage.

    The ceil((n + 1) coverage)-th smallest of n scores (Vovk et al. 2005); 1 where there are fewer.

    Args:
        scores: `(sample,)`: one less the probability of the true class.
        coverage: Above 0 and below 1.
    """
    rank = math.ceil((len(scores) + 1) * Fraction(str(coverage)))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else 1.0
