"""Totals of a sample with the help of what a map says of every unit of the frame.

It is lambda F + T(y - lambda f), F the known total of the covariate f, with lambda tuned to the least
variance and kept in [0, 1]: no help at 0, the difference estimator at 1. With a sample of unlabelled units in
place of the whole map it is prediction-powered inference (Angelopoulos et al. 2023, 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.designs import Design
from assessment.estimation.estimate import Estimate, covariance, total
from assessment.estimation.intervals import FEW_UNITS


@dataclass(frozen=True)
class Covariate:
    """What a map says of the units of the sample, and in all over the frame."""

    values: NDArray[np.float64]
    """`(unit,)`: f, for example the probability of a class."""
    group: NDArray[np.intp]
    """`(unit,)`: units of one group share a lambda; of a stratified design its strata."""
    totals: NDArray[np.float64]
    """`(group,)`: total of f over the frame."""
    variances: NDArray[np.float64] | None = None
    """`(group,)`: variance of these totals; None where the map shows every unit of the frame."""

    @property
    def uncertain(self) -> NDArray[np.float64]:
        """`(group,)`: variance of the totals, 0 where they are known."""
        return np.zeros(len(self.totals)) if self.variances is None else self.variances

    @property
    def pooled(self) -> Covariate:
        """The same, with groups of fewer than 30 units joined to one: their own lambda would be chance."""
        small = np.bincount(self.group, minlength=len(self.totals)) < FEW_UNITS
        kept, joined = np.unique(np.where(small, -1, np.arange(len(small))), return_inverse=True)
        count = len(kept)
        return Covariate(
            self.values,
            joined[self.group],
            np.bincount(joined, self.totals, minlength=count).astype(np.float64),
            np.bincount(joined, self.uncertain, minlength=count).astype(np.float64),
        )


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
        weight: One lambda for all groups; None tunes one for each group of 30 units or more, and one for all
            others together, if they have as many; else theirs is 0.
    """
    y, known = np.asarray(y, np.float64), covariate.pooled
    count = len(known.totals)
    parts = [np.where(known.group == g, known.values, 0.0) for g in range(count)]
    units = np.bincount(known.group, minlength=count).tolist()
    if weight is None:
        each = zip(parts, units, known.uncertain.tolist(), strict=True)
        lambdas = [_tuned(design, y, f, v) if n >= FEW_UNITS else 0.0 for f, n, v in each]
    else:
        lambdas = [weight] * count
    left = y - sum(one * f for one, f in zip(lambdas, parts, strict=True))
    value = float(lambdas @ known.totals + design.weights @ left)
    variance = design.variance(left) + float(np.square(lambdas) @ known.uncertain)
    if weight is None:
        variance += sum(
            design.variance(np.where(known.group == g, left, 0.0)) / (units[g] - 2)
            for g in range(count)
            if lambdas[g] > 0  # one more number was taken from the units: n - 2 in place of n - 1
        )
    estimate = replace(total(design, left), value=value, se=math.sqrt(max(variance, 0.0)))
    return Assisted(
        estimate, tuple(lambdas), math.sqrt(design.variance(y)), _correlation(design, y, known.values)
    )


def _tuned(design: Design, y: NDArray[np.float64], f: NDArray[np.float64], uncertain: float) -> float:
    """The lambda of least variance, cov(y, f) / (var f + variance of its total), in [0, 1]."""
    below = design.variance(f) + uncertain
    return min(max(covariance(design, y, f) / below, 0.0), 1.0) if below > 0 else 0.0


def _correlation(design: Design, y: NDArray[np.float64], f: NDArray[np.float64]) -> float:
    both = design.variance(y) * design.variance(f)
    return covariance(design, y, f) / math.sqrt(both) if both > 0 else 0.0
