"""Totals of a sample with the help of what a map says of every unit of the frame.

It is lambda F + T(y - lambda f), F the known total of the covariate f, with lambda tuned to the least
variance and kept in [0, 1]: no help at 0, the difference estimator at 1. With a sample of unlabelled units in
place of the whole map it is prediction-powered inference (Angelopoulos et al. 2023, 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.designs import Design
from assessment.estimation.estimate import Estimate, covariance, total
from assessment.estimation.intervals import FEW_UNITS

FEW_CASES: Final = 10
"""Units that differ from the rest of their group, which it takes to tune a lambda."""


@dataclass(frozen=True)
class Covariate:
    """What a map says of the units of the sample, and in all over the frame."""

    values: NDArray[np.float64]
    """`(unit,)`: f, for example the probability of a class."""
    group: NDArray[np.intp]
    """`(unit,)`: units of one group share a lambda; of a stratified design, strata."""
    totals: NDArray[np.float64]
    """`(group,)`: total of f over the frame."""
    variances: NDArray[np.float64] | None = None
    """`(group,)`: variance of these totals; None where the map shows every unit of the frame."""

    @property
    def uncertain(self) -> NDArray[np.float64]:
        """`(group,)`: variance of the totals, 0 where they are known."""
        return np.zeros(len(self.totals)) if self.variances is None else self.variances


@dataclass(frozen=True)
class Assisted:
    """A total estimated with a map."""

    estimate: Estimate
    """The total."""
    lambdas: tuple[float, ...]
    """Weight of the map in each group that was tuned, 0 to 1."""
    plain_se: float
    """Standard error without the map."""
    correlation: float
    """Correlation of y and f within the strata of the design, which predicts a gain of 1 - sqrt(1 - r^2)."""


def assisted_total(
    design: Design, y: NDArray[Any], covariate: Covariate, weight: float | None = None
) -> Assisted:
    """The total of `y` `(unit,)` over the frame, with the help of a covariate.

    Args:
        design: How the units were drawn.
        y: What was seen of each unit.
        covariate: What the map says.
        weight: One lambda for all groups; None tunes it in each group that says enough, and takes that of the
            whole sample in the others: one of their own would be chance.
    """
    y, f, group = np.asarray(y, np.float64), covariate.values, covariate.group
    lambdas = np.full(len(covariate.totals), weight or 0.0)
    own = np.zeros(len(lambdas), bool)
    if weight is None:
        own = np.array([_says_enough(y[group == g]) for g in range(len(lambdas))])
        lambdas[:] = _tuned(design, y, f, float(covariate.uncertain.sum()))
        for g in np.flatnonzero(own).tolist():
            part = np.where(group == g, f, 0.0)
            lambdas[g] = _tuned(design, y, part, float(covariate.uncertain[g]))
    left = y - lambdas[group] * f
    value = float(lambdas @ covariate.totals + design.weights @ left)
    variance = design.variance(left) + float(lambdas**2 @ covariate.uncertain)
    for g in np.flatnonzero(own & (lambdas > 0)).tolist():  # one more number was taken from these units
        part = group == g
        variance += design.variance(np.where(part, left, 0.0)) / (part.sum() - 2)
    estimate = replace(total(design, left), value=value, se=math.sqrt(max(variance, 0.0)))
    plain_se = math.sqrt(design.variance(y))
    return Assisted(estimate, tuple(lambdas.tolist()), plain_se, _correlation(design, y, f))


def _says_enough(y: NDArray[np.float64]) -> bool:
    """Whether a group has units enough to tune a lambda, and not only a few that differ from the rest.

    (sum d^2)^2 / sum d^4 of the deviations is the number of cases where they are few, of 0 and 1 alike.
    """
    squares = (y - y.mean()) ** 2 if len(y) else y
    return len(y) >= FEW_UNITS and squares.sum() ** 2 >= FEW_CASES * (squares**2).sum() > 0


def _tuned(design: Design, y: NDArray[np.float64], f: NDArray[np.float64], uncertain: float) -> float:
    """The lambda of least variance, cov(y, f) / (var f + variance of its total), in [0, 1]."""
    below = design.variance(f) + uncertain
    return min(max(covariance(design, y, f) / below, 0.0), 1.0) if below > 0 else 0.0


def _correlation(design: Design, y: NDArray[np.float64], f: NDArray[np.float64]) -> float:
    both = design.variance(y) * design.variance(f)
    return covariance(design, y, f) / math.sqrt(both) if both > 0 else 0.0
