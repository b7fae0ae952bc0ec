"""Which way of tuning is worth it: by labels that did not tune, and not without evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import t as student_t

from training.tuning.trials import Trial

EVIDENCE: Final = 1.645
"""Standard errors by which the likelihood must gain before a model is changed: one chance in twenty of a gain
that is none."""


@dataclass(frozen=True)
class Difference:
    """A mean difference between two models on the same samples, with its 95 % interval by places."""

    mean: float
    """Of the samples."""
    error: float
    """Its standard error; samples of one place do not count as independent."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """The way that is taken, beside leaving the model as it is."""

    trial: Trial
    """What is taken; that of nothing where no way has proved to be better."""
    accuracy: Difference
    """Gain of overall accuracy, 0 to 1."""
    likelihood: Difference
    """Gain of the mean logarithm of the true class's probability, in nats."""


def choose(trials: Sequence[Trial], labels: NDArray[np.int64], unit: NDArray[np.intp]) -> Choice:
    """The way with the best likelihood, where it is better than nothing by more than chance.

    The likelihood tells more than right and wrong where labels are few; all answers have their own
    temperature, so that mere confidence gains nothing. More answers must be right too: a map shows classes.

    Args:
        trials: All ways; the first leaves the model as it is.
        labels: `(sample,)`.
        unit: `(sample,)`: the place of each.
    """
    nothing = trials[0]
    best = min(trials, key=lambda trial: trial.loss)
    found = _beside(best, nothing, labels, unit)
    proved = found.likelihood.mean > EVIDENCE * found.likelihood.error and found.accuracy.mean > 0
    return found if proved else _beside(nothing, nothing, labels, unit)


def _beside(trial: Trial, nothing: Trial, labels: NDArray[np.int64], unit: NDArray[np.intp]) -> Choice:
    accuracy = difference(trial.right(labels) - nothing.right(labels), unit)
    gain = log_likelihoods(trial, labels) - log_likelihoods(nothing, labels)
    return Choice(trial, accuracy, difference(gain, unit))


def log_likelihoods(trial: Trial, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """`(sample,)`: logarithm of the probability of the true class, at the trial's temperature.

    Args:
        trial: Answers.
        labels: `(sample,)`.
    """
    every = log_softmax(trial.logits.astype(np.float64) / trial.temperature, axis=1)
    own: NDArray[np.float64] = every[np.arange(len(labels)), labels]
    return own


def difference(values: NDArray[np.float64], unit: NDArray[np.intp]) -> Difference:
    """The mean of paired differences, with an interval by places (a ratio estimator over clusters).

    Cochran (1977), "Sampling Techniques", 3rd edition, equation 11.30 without the finite population's
    correction; Student's t with one degree of freedom less than places.

    Args:
        values: `(sample,)`.
        unit: `(sample,)`: number of the place of each, from 0; two places or more.
    """
    places = int(unit.max()) + 1
    mean = float(values.mean())
    residuals = np.bincount(unit, weights=values - mean, minlength=places)
    error = float(np.sqrt(places / (places - 1) * (residuals**2).sum()) / len(values))
    reach = float(student_t.ppf(0.975, places - 1)) * error
    return Difference(mean, error, mean - reach, mean + reach)
