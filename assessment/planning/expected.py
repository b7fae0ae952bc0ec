"""What a sample can be expected to say, before anybody looks at a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNKNOWN: Final = 0.8
"""User's accuracy that is assumed where neither the user nor the map's confidence says one."""


@dataclass(frozen=True)
class Assumed:
    """What is assumed of the strata."""

    label: NDArray[np.intp]
    """`(stratum,)`: index of the class that the map shows in it, -1 where it shows none."""
    users: NDArray[np.float64]
    """`(stratum,)`: share of it that is of that class, 0 to 1."""
    weights: NDArray[np.float64]
    """`(stratum,)`: share of the frame."""
    classes: Sequence[str]
    """Names of the classes."""

    def shares(self) -> NDArray[np.float64]:
        """`(stratum, class)`: share of each class in each stratum.

        What is wrong is of the other classes in proportion to their area on the map, and so is what the map
        does not show.
        """
        k = len(self.classes)
        shown = self.label >= 0
        mapped = np.bincount(self.label[shown], self.weights[shown], minlength=k)
        out = np.tile(np.maximum(mapped, 1e-12), (len(self.label), 1))
        places = np.flatnonzero(shown)
        out[places, self.label[shown]] = 0
        wrong = np.where(shown & (k > 1), 1 - self.users, 1.0)
        out *= (wrong / np.maximum(out.sum(1), 1e-300))[:, None]
        out[places, self.label[shown]] = self.users[shown] if k > 1 else 1.0
        return out

    def deviations(self) -> NDArray[np.float64]:
        """`(stratum,)`: standard deviation of being mapped right; largest where nothing is mapped."""
        p = np.where(self.label >= 0, self.users, 0.5)
        return np.sqrt(p * (1 - p))


@dataclass(frozen=True)
class Expected:
    """Standard errors to expect."""

    overall_se: float
    """Of the share of the mapped area that is right."""
    areas: NDArray[np.float64]
    """`(class,)`: expected share of the frame."""
    area_se: NDArray[np.float64]
    """`(class,)`: its standard error."""
    simple_units: float
    """Units of a simple random sample that would say as much of the areas: the mean of the classes."""


def expect(assumed: Assumed, units: NDArray[np.intp], sizes: NDArray[np.float64]) -> Expected:
    """The standard errors of a stratified sample, if what is assumed is true.

    Args:
        assumed: What is assumed of the strata.
        units: `(stratum,)`: units of the sample.
        sizes: `(stratum,)`: units of the frame.
    """
    p, shown = assumed.shares(), assumed.label >= 0
    factor = assumed.weights**2 * (1 - units / sizes) / units
    right = np.sqrt(factor @ (shown * assumed.deviations() ** 2)) / assumed.weights[shown].sum()
    return _expected(float(right), assumed.weights @ p, factor @ (p * (1 - p)), int(units.sum()))


def expect_simple(assumed: Assumed, units: int, size: float) -> Expected:
    """The standard errors of a simple random sample, if what is assumed is true.

    Args:
        assumed: What is assumed of what the map shows.
        units: Units of the sample.
        size: Units of the frame.
    """
    shown = assumed.label >= 0
    mapped = assumed.weights[shown].sum()
    right = assumed.users[shown] @ assumed.weights[shown] / mapped
    areas, factor = assumed.weights @ assumed.shares(), (1 - units / size) / units
    overall = float(np.sqrt(factor / mapped * right * (1 - right)))
    return _expected(overall, areas, factor * areas * (1 - areas), units)


def _expected(
    overall: float, areas: NDArray[np.float64], variance: NDArray[np.float64], units: int
) -> Expected:
    known = variance > 0
    worth = areas[known] * (1 - areas[known]) / variance[known]
    simple = float(np.exp(np.log(worth).mean())) if len(worth) else float(units)
    return Expected(overall, areas, np.sqrt(variance), simple)
