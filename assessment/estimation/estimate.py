"""A total, and a ratio of two totals: everything that an assessment reports (Stehman 2014)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.designs import Design


@dataclass(frozen=True)
class Estimate:
    """A number that a sample says, and how sure it is."""

    value: float
    """The estimate."""
    se: float
    """Its standard error."""
    units: int
    """Units of the sample that it rests on."""
    effective: float
    """Units of equal weights that would say as much (Kish 1965): fewer where weights differ."""
    degrees: float = math.inf
    """Degrees of freedom of the standard error."""

    @property
    def cv(self) -> float:
        """Standard error over value; infinite at 0."""
        return self.se / abs(self.value) if self.value else math.inf

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        return Estimate(self.value * factor, self.se * abs(factor), self.units, self.effective, self.degrees)


def total(design: Design, y: NDArray[Any]) -> Estimate:
    """The total of `y` `(unit,)` over the frame."""
    value = float(design.weights @ np.asarray(y, np.float64))
    return Estimate(
        value, math.sqrt(max(design.variance(y), 0.0)), len(y), _kish(design.weights), design.degrees
    )


def ratio(design: Design, y: NDArray[Any], x: NDArray[Any]) -> Estimate | None:
    """The total of `y` over that of `x`; None where that of `x` is 0, so that there is no ratio.

    The variance is that of the total of y - R x, over the square of the total of x.

    Args:
        design: How the units were drawn.
        y: `(unit,)`.
        x: `(unit,)`, 0 where a unit is no part of what the ratio is about.
    """
    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    below = float(design.weights @ x)
    if below == 0:
        return None
    value = float(design.weights @ y) / below
    se = math.sqrt(max(design.variance(y - value * x), 0.0)) / abs(below)
    weights = design.weights[x != 0]
    return Estimate(value, se, len(weights), _kish(weights), design.degrees)


def _kish(weights: NDArray[np.float64]) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())


def covariance(design: Design, y: NDArray[Any], x: NDArray[Any]) -> float:
    """Estimated covariance of two weighted totals, (V(y + x) - V(y - x)) / 4."""
    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    return (design.variance(y + x) - design.variance(y - x)) / 4
