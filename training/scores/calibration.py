"""Confidence that is a frequency: one temperature for all logits, and how far confidence is from being right.

After Guo et al. (2017), "On Calibration of Modern Neural Networks", ICML: temperature scaling (section 4.2)
and the expected calibration error (equation 3).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS: Final = 15
"""Bins of confidence, as in Guo et al. (2017)."""

MOST: Final = 20.0
"""Temperatures from 1/20 to 20 are looked at: further out every confidence is 100 % or one in K."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The samples whose confidence lies in one interval."""

    samples: int
    """Number of samples."""
    confidence: float
    """Their mean confidence, 0 to 1."""
    accuracy: float
    """The share of them that is right; equal to the confidence where the model is calibrated."""


@dataclass(frozen=True)
class Calibration:
    """What a temperature does to the confidence on the samples it was fitted to."""

    temperature: float
    """Logits are divided by it before the softmax; above 1 where the network was overconfident."""
    ece_before: float
    """Expected calibration error at temperature 1, 0 to 1."""
    ece_after: float
    """The same at the temperature."""
    nll_before: float
    """Mean negative log-likelihood at temperature 1, in nats."""
    nll_after: float
    """The same at the temperature."""
    samples: int
    """Samples it was fitted to."""
    reliability_before: tuple[ReliabilityBin, ...]
    """Bins of confidence that hold samples, at temperature 1."""
    reliability_after: tuple[ReliabilityBin, ...]
    """The same at the temperature."""

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON."""
        bins = ("reliability_before", "reliability_after")
        return asdict(self) | {name: [asdict(one) for one in getattr(self, name)] for name in bins}


def calibrate(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Calibration:
    """The best temperature for some samples, and their confidence before and after.

    Args:
        logits: `(sample, class)`, at least one sample.
        labels: `(sample,)` index of the true class.
    """
    temperature = fit_temperature(logits, labels)
    before, after = (softmax(logits.astype(np.float64) / t, axis=1) for t in (1.0, temperature))
    return Calibration(
        temperature=temperature,
        ece_before=expected_calibration_error(before, labels),
        ece_after=expected_calibration_error(after, labels),
        nll_before=negative_log_likelihood(logits, labels),
        nll_after=negative_log_likelihood(logits, labels, temperature),
        samples=len(labels),
        reliability_before=reliability(before, labels),
        reliability_after=reliability(after, labels),
    )


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature with the least negative log-likelihood, 1/20 to 20.

    Where every sample is right the likelihood only grows as the temperature falls to 0, and every confidence
    would be 100 %, which no number of samples shows: the temperature is 1 then.

    Args:
        logits: `(sample, class)`, at least one sample.
        labels: `(sample,)` index of the true class.
    """
    if (logits.argmax(axis=1) == labels).all():
        return 1.0
    # Convex in 1 / T, so it has one minimum, also along log T.
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, math.exp(log_t)),
        bounds=(-math.log(MOST), math.log(MOST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(math.exp(found.x))


def negative_log_likelihood(
    logits: NDArray[np.floating], labels: NDArray[np.integer], temperature: float = 1.0
) -> float:
    """Mean negative logarithm of the probability given to the true class, in nats.

    Args:
        logits: `(sample, class)`, at least one sample.
        labels: `(sample,)` index of the true class.
        temperature: What the logits are divided by.
    """
    likelihood = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-likelihood[np.arange(len(labels)), labels].mean())


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS
) -> float:
    """Mean distance of confidence and accuracy over bins of confidence, weighted by their samples; 0 to 1.

    Args:
        probabilities: `(sample, class)`, at least one sample.
        labels: `(sample,)` index of the true class.
        bins: Number of intervals of equal width between 0 and 1, each with its upper end.
    """
    found = reliability(probabilities, labels, bins)
    return sum(one.samples * abs(one.accuracy - one.confidence) for one in found) / len(labels)


def reliability(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Confidence and accuracy of each bin that holds samples, from the least confident to the most.

    Args:
        probabilities: `(sample, class)`.
        labels: `(sample,)` index of the true class.
        bins: Number of intervals of equal width between 0 and 1, each with its upper end.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.ceil(confidence * bins).clip(1, bins)
    members = [place == number for number in np.unique(place)]
    return tuple(
        ReliabilityBin(int(m.sum()), float(confidence[m].mean()), float(right[m].mean())) for m in members
    )
