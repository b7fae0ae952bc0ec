"""Designs of probability samples: each gives the weights of the units and the variance of a weighted total.

Everything that an assessment reports is a total or a ratio of two totals (Stehman 2014), so no other module
knows how a sample was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError

FEWEST: Final = 2
"""Units that a stratum needs for a variance within it."""


class Design(Protocol):
    """How the units of a sample were drawn."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """`(unit,)`: how many units of the frame each unit of the sample stands for."""

    @property
    def degrees(self) -> float:
        """Degrees of freedom of a variance; infinite where intervals are normal."""

    def variance(self, values: NDArray[Any]) -> float:
        """Estimated variance of the weighted total of `values` `(unit,)`."""


@dataclass(frozen=True)
class _Strata:
    """Groups of the frame whose sizes are known, each with units of the sample."""

    stratum: NDArray[np.intp]
    """`(unit,)`: index of the stratum of each unit."""
    sizes: NDArray[np.float64]
    """`(stratum,)`: units of the frame in each stratum."""
    names: Sequence[str] = ()
    """Names of the strata, for messages."""

    def __post_init__(self) -> None:
        require_variance(self.counts, self.sizes, self.names)

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """`(stratum,)`: units of the sample in each stratum."""
        return np.bincount(self.stratum, minlength=len(self.sizes))

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """`(unit,)`: N / n of its stratum."""
        return np.asarray((self.sizes / np.maximum(self.counts, 1))[self.stratum])

    @property
    def remaining(self) -> NDArray[np.float64]:
        """`(stratum,)`: 1 - n/N, by which a variance shrinks as the sample becomes the frame."""
        return np.asarray(np.maximum(1 - np.maximum(self.counts, 1) / np.maximum(self.sizes, 1), 0))

    @property
    def alike(self) -> bool:
        """Whether all units of a stratum count the same."""
        return True

    @property
    def degrees(self) -> float:
        """Infinite: intervals are normal."""
        return math.inf


@dataclass(frozen=True)
class Stratified(_Strata):
    """Simple random samples without replacement in strata; one stratum is a simple random sample.

    Cochran 1977, equation 5.7; with strata that are map classes it is Olofsson et al. 2014.
    """

    finite: bool = True
    """Whether the variance shrinks as the sample becomes the frame (1 - n/N)."""
    unequal: NDArray[np.float64] | None = None
    """`(unit,)`: weights of units that were drawn at several rates within a stratum, as in one that was made
    of several; None where each counts N / n."""

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """`(unit,)`: N / n of its stratum, or its own."""
        return super().weights if self.unequal is None else self.unequal

    @property
    def remaining(self) -> NDArray[np.float64]:
        """`(stratum,)`: 1 - n/N, or 1 where the variance does not shrink."""
        return super().remaining if self.finite else np.ones(len(self.sizes))

    @property
    def alike(self) -> bool:
        """Whether all units of a stratum count the same."""
        return self.unequal is None

    def variance(self, values: NDArray[Any]) -> float:
        """Sum over the strata of N^2 (1 - n/N) s^2 / n."""
        return float(self.variances(values).sum())

    def variances(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """`(stratum,)`: what each stratum adds to the variance of a total.

        Where weights differ within a stratum, s^2 is that of the values times n / N of their weights, so that
        strata that were merged add more than each would by itself (collapsed strata, Cochran 1977, 5A.12).
        """
        n, left = np.maximum(self.counts, 1), self.remaining
        if self.unequal is not None:
            values = np.asarray(values, np.float64) * self.unequal * (n / self.sizes)[self.stratum]
        return np.asarray(self.sizes**2 * left * spread(values, self.stratum, self.counts) / n)


@dataclass(frozen=True)
class PostStratified(_Strata):
    """A simple random sample whose units fall into strata of known size (Cochran 1977, equation 5A.42)."""

    def variance(self, values: NDArray[Any]) -> float:
        """N^2 ((1 - n/N) sum W s^2 / n + sum (1 - W) s^2 / n^2): chance decided the units of each stratum."""
        total, n = self.sizes.sum(), len(self.stratum)
        share, within = self.sizes / total, spread(values, self.stratum, self.counts)
        return float(total**2 * ((1 - n / total) / n * (share @ within) + ((1 - share) @ within) / n**2))


@dataclass(frozen=True)
class Unequal:
    """Units drawn with probabilities of their own (Horvitz and Thompson 1952)."""

    probabilities: NDArray[np.float64]
    """`(unit,)`: inclusion probability of each unit, above 0 and at most 1."""
    joint: NDArray[np.float64] | None = None
    """`(unit, unit)`: probability that both of two units are drawn; None counts them as drawn with
    replacement, which is on the safe side."""
    ids: Sequence[str] = ()
    """Names of the units, for messages."""

    def __post_init__(self) -> None:
        p = self.probabilities
        if len(bad := np.flatnonzero(~((p > 0) & (p <= 1)))):
            names = [self.ids[i] if len(self.ids) else str(i) for i in bad.tolist()]
            raise InputError(
                f"An inclusion probability is above 0 and at most 1; that of {listed(names)} is "
                f"{listed([f'{p[i]:g}' for i in bad.tolist()])}. Correct the design."
            )
        if len(p) < FEWEST:
            raise InputError(f"A variance needs at least {FEWEST} units, got {len(p)}. Draw more.")

    @property
    def weights(self) -> NDArray[np.float64]:
        """`(unit,)`: 1 / probability."""
        return 1 / self.probabilities

    @property
    def degrees(self) -> float:
        """Infinite: intervals are normal."""
        return math.inf

    def variance(self, values: NDArray[Any]) -> float:
        """By Yates and Grundy 1953, else n / (n - 1) sum (z - mean z)^2 with z = y / p."""
        z = np.asarray(values, np.float64) / self.probabilities
        if self.joint is None:
            return float(len(z) / (len(z) - 1) * ((z - z.mean()) ** 2).sum())
        pairs = np.outer(self.probabilities, self.probabilities) / self.joint - 1
        np.fill_diagonal(pairs, 0)
        return float(z**2 @ pairs.sum(1) - z @ pairs @ z)


@dataclass(frozen=True)
class Clusters:
    """Clusters drawn by a design, and in each all units or a simple random sample of them.

    Cochran 1977, equations 9A.2 and 11.21: the totals of the clusters vary as in the first stage, and what
    was left out within them adds to it.
    """

    cluster: NDArray[np.intp]
    """`(unit,)`: index of the drawn cluster of each unit."""
    first: Stratified | Unequal
    """How the clusters were drawn; its units are the clusters."""
    sizes: NDArray[np.float64] | None = None
    """`(cluster,)`: units of the frame in each drawn cluster; None where all of them are in the sample."""
    names: Sequence[str] = ()
    """Names of the drawn clusters, for messages."""

    def __post_init__(self) -> None:
        require_variance(self.counts, self._sizes, self.names, "cluster")

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """`(cluster,)`: units of the sample in each cluster."""
        return np.bincount(self.cluster, minlength=len(self.first.weights))

    @cached_property
    def within(self) -> Stratified:
        """The second stage: each cluster is a stratum."""
        return Stratified(self.cluster, self._sizes, self.names)

    @property
    def _sizes(self) -> NDArray[np.float64]:
        return self.counts.astype(np.float64) if self.sizes is None else self.sizes

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """`(unit,)`: weight of its cluster times that within it."""
        return self.first.weights[self.cluster] * self.within.weights

    @property
    def degrees(self) -> float:
        """Clusters less their strata."""
        first = self.first
        strata = np.count_nonzero(first.counts) if isinstance(first, Stratified) else 1
        return float(len(first.weights) - strata)

    def variance(self, values: NDArray[Any]) -> float:
        """That of the clusters' expanded totals, and the weighted sum of the variances within them."""
        expanded = np.asarray(values, np.float64) * self.within.weights
        totals = np.bincount(self.cluster, expanded, minlength=len(self.first.weights))
        return self.first.variance(totals) + float(self.first.weights @ self.within.variances(values))


@dataclass(frozen=True)
class Calibrated:
    """A design whose weights give the known total of a size, such as the hectares of the frame.

    The ratio estimator (Cochran 1977, equation 6.1): totals are shares of that size, so shares that belong
    together have the sum 1.
    """

    design: Design
    """How the units were drawn."""
    size: NDArray[np.float64]
    """`(unit,)`: size of each unit, above 0, such as hectares of a pixel."""
    known: float
    """Size of the whole frame."""

    @cached_property
    def _factor(self) -> float:
        return self.known / float(self.design.weights @ self.size)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """`(unit,)`: those of the design, all times one factor."""
        return self.design.weights * self._factor

    @property
    def degrees(self) -> float:
        """Those of the design."""
        return self.design.degrees

    def variance(self, values: NDArray[Any]) -> float:
        """That of what is left of the values beyond their mean for each size."""
        mean = float(self.weights @ values) / self.known
        return self._factor**2 * self.design.variance(values - mean * self.size)


def spread(values: NDArray[Any], group: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """`(group,)`: s^2 with n - 1 of some values in each group; 0 where there is one unit or none."""
    y = np.asarray(values, np.float64)
    mean = np.bincount(group, y, minlength=len(counts)) / np.maximum(counts, 1)
    squares = np.bincount(group, (y - mean[group]) ** 2, minlength=len(counts))
    return np.asarray(squares / np.maximum(counts - 1, 1))


def require_variance(
    counts: NDArray[np.intp], sizes: NDArray[np.float64], names: Sequence[str] = (), kind: str = "stratum"
) -> None:
    """Refuse strata of which the sample says nothing, or not how much their units differ.

    Args:
        counts: `(stratum,)`: units of the sample.
        sizes: `(stratum,)`: units of the frame.
        names: Names of the strata.
        kind: What they are called in the message.

    Raises:
        InputError: A stratum has units in the frame and none in the sample, one that is not the whole
            stratum, or more than the frame has.
    """
    total = sizes.sum()
    faults = []
    for index, (n, size) in enumerate(zip(counts.tolist(), sizes.tolist(), strict=True)):
        if fault := _fault(n, size, total):
            faults.append(f"{kind} {names[index] if len(names) else index} {fault}")
    if faults:
        raise InputError(
            f"Each {kind} needs at least {FEWEST} units, and no more than it has: {listed(faults, '; ')}. "
            "Add units, or merge or leave out strata by name."
        )


def _fault(n: int, size: float, total: float) -> str:
    """What is wrong with `n` units of a stratum of the frame; empty where nothing is."""
    if size > 0 and n == 0:
        return f"has no unit in the sample, so nothing is known of {size / total:.2%} of the frame"
    if n > size:
        return f"has {n} units in the sample and {size:g} in the frame"
    if n < FEWEST and size > n:
        return f"has n = {n} unit in the sample, so its variance is not known"
    return ""


def listed(names: Sequence[str], between: str = ", ", most: int = 20) -> str:
    """Names for a message, the first of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more
