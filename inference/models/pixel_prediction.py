"""What a model says of pixels: classes, confidence, and how likely each class is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.models.told.applicability import Applicability
from inference.models.told.prediction_sets import PredictionSets


@dataclass(frozen=True)
class Prediction:
    """What the model says of some pixels."""

    codes: NDArray[np.uint8]
    """Class code of each pixel, `(pixel,)`."""
    confidence: NDArray[np.uint8]
    """Probability of that class in percent, 0 to 100, `(pixel,)`."""


@dataclass(frozen=True)
class ClassParts:
    """How likely each class is, in whole numbers."""

    parts: NDArray[np.integer]
    """`(pixel, class)`, in order of the codes; a row sums to `whole`, but for what rounding takes."""
    whole: int
    """What counts as 100 %."""

    @property
    def shares(self) -> NDArray[np.float64]:
        """`(pixel, class)`: the parts as shares of the whole."""
        return self.parts / self.whole

    def largest(self) -> Prediction:
        """The class with the largest part, of equal ones the smaller code, and its percentage, halves up."""
        index = self.parts.argmax(axis=1)  # of equal parts the first
        best = self.parts[np.arange(len(self.parts)), index]
        return Prediction((index + 1).astype(np.uint8), percent(best, self.whole))


@dataclass(frozen=True)
class ScoredPrediction:
    """Classes with what stands behind them."""

    prediction: Prediction
    """The class of each pixel and its confidence."""
    scores: ClassParts
    """How likely each class is."""
    applicability: Applicability | None = None
    """What the model's answers are like on its training samples; None where the model does not say."""
    prediction_sets: PredictionSets | None = None
    """How likely a class must be to be in the set of a pixel; None where the model does not say."""


def percent(part: NDArray[np.integer], whole: int) -> NDArray[np.uint8]:
    """`part` in percent of `whole`, halves up; in whole numbers, so that every engine rounds the same.

    Args:
        part: Whole numbers from 0 to `whole`.
        whole: What counts as 100 %.
    """
    return ((200 * part.astype(np.int64) + whole) // (2 * whole)).astype(np.uint8)
