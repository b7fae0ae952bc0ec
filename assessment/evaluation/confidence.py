"""What the confidence of a model is worth: as a frequency, and to tell right answers from wrong ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from training.scores.calibration import BINS, ReliabilityBin, expected_calibration_error, reliability

COVERAGES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Shares of the samples, the most confident first, of which the errors are told."""


@dataclass(frozen=True)
class Risk:
    """The errors that remain where the least confident answers are left out."""

    coverage: float
    """Share of the samples that keep their answer."""
    confidence: float
    """The least confidence among them, 0 to 1."""
    error: float
    """Share of these that is wrong."""


@dataclass(frozen=True)
class Confidence:
    """Confidence compared with what is right."""

    mean: float
    """Mean confidence, 0 to 1."""
    calibration_error: float
    """Expected calibration error over `bins` intervals of equal width, by samples (Guo et al. 2017)."""
    bins: int
    """Number of intervals of the calibration error."""
    reliability: tuple[ReliabilityBin, ...]
    """Those that hold samples."""
    tells_right: float | None
    """Probability that a right answer has more confidence than a wrong one, ties half (area under the ROC
    curve); None where all are right, or all wrong."""
    risks: tuple[Risk, ...]
    """Errors by coverage."""
    area_under_risk: float
    """Mean error over all coverages (Geifman and El-Yaniv 2017)."""


def confidence_of(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Confidence:
    """What the confidence of predictions is worth.

    Args:
        probabilities: `(sample, class)`, at least one sample.
        labels: `(sample,)` index of the true class.
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(-sure, kind="stable")
    errors = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    ends = [max(1, round(share * len(order))) - 1 for share in COVERAGES]
    return Confidence(
        mean=float(sure.mean()),
        calibration_error=expected_calibration_error(probabilities, labels),
        bins=BINS,
        reliability=reliability(probabilities, labels),
        tells_right=float(roc_auc_score(right, sure)) if 0 < right.sum() < len(right) else None,
        risks=tuple(
            Risk(share, float(sure[order[end]]), float(errors[end]))
            for share, end in zip(COVERAGES, ends, strict=True)
        ),
        area_under_risk=float(errors.mean()),
    )
