"""Accuracy of a map and areas of its classes from labelled units, whatever the design (Stehman 2014)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.designs import Calibrated, Design, PostStratified, Stratified
from assessment.estimation.estimate import Estimate, ratio
from assessment.estimation.intervals import FEW_OMISSIONS, Figure, area_interval, share_interval
from assessment.estimation.mover import mover_interval

Flags = NDArray[np.bool_]
"""`(unit,)`: of which units something is true."""


@dataclass(frozen=True)
class LabelledSample:
    """Units of a probability sample, with what the map shows and what is there."""

    drawn: Design
    """How they were drawn."""
    classes: Sequence[str]
    """Names of the classes."""
    map: NDArray[np.intp]
    """`(unit,)`: index of the class that the map shows, -1 where it shows none."""
    reference: NDArray[np.intp]
    """`(unit,)`: index of the class that is there."""
    hectares: float
    """Area of the frame."""
    size: NDArray[np.float64]
    """`(unit,)`: area of each unit, in any unit of measure; all 1 where they are equal."""
    map_strata: bool = False
    """Whether the units that show one class are a simple random sample of its pixels."""
    drawn_from: NDArray[np.intp] | None = None
    """`(unit,)`: index of the class on the map that the units were drawn from, where `map` is another."""

    @cached_property
    def design(self) -> Calibrated:
        """The design, with weights in hectares: totals of 0 and 1 times `size` are areas."""
        return Calibrated(self.drawn, self.size, self.hectares)

    @property
    def everywhere(self) -> Flags:
        """All units."""
        return np.ones(len(self.map), bool)

    def few_omissions(self, k: int, within: Flags) -> bool:
        """Whether fewer than 5 units within a part are of class `k` and not on the map that was drawn from.

        The standard error of its area rests on them, whichever map is assessed.
        """
        shown = self.map if self.drawn_from is None else self.drawn_from
        return int((within & (self.reference == k) & (shown != k)).sum()) < FEW_OMISSIONS

    def area_of(self, where: Flags, within: Flags | None = None) -> Estimate | None:
        """The share of the frame, or of a part of it, for which something is true; None without a unit in it.

        Units outside the part stay in the sample: how many are inside is chance too.

        Args:
            where: Units for which it is true.
            within: Units of the part.
        """
        part = self.everywhere if within is None else within
        return ratio(self.design, self.size * (where & part), self.size * part)


@dataclass(frozen=True)
class ClassAccuracy:
    """How well one class is mapped, and how much of it there is."""

    name: str
    """Name of the class."""
    area: Figure | None
    """Hectares that are of the class; None where no unit lies in the part of the frame."""
    users: Figure | None
    """Share of what is mapped as the class that is of it; None where the sample has nothing mapped so."""
    producers: Figure | None
    """Share of what is of the class that is mapped so; None where the sample has nothing of it."""
    f1: Figure | None
    """2 (right) / (mapped + there), by area; None where neither is there."""
    right_units: int
    """Units that are of the class and mapped as it."""
    mapped_units: int
    """Units that the map shows as the class."""
    reference_units: int
    """Units that are of the class."""

    @property
    def omitted_units(self) -> int:
        """Units that are of the class and mapped as something else, or not."""
        return self.reference_units - self.right_units


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a map within its frame, or a part of it."""

    hectares: float
    """Area of the frame or part."""
    units: int
    """Units of the sample in it."""
    overall: Figure | None
    """Share of the mapped area whose class is right; None where no unit is mapped."""
    classes: tuple[ClassAccuracy, ...]
    """By class."""
    shares: NDArray[np.float64]
    """`(class + 1, class)`: error matrix in shares of area, map by reference; last row what has no class."""
    counts: NDArray[np.intp]
    """The same in units."""


def assess(sample: LabelledSample, within: Flags | None = None, hectares: float | None = None) -> Accuracy:
    """Accuracy and areas.

    Args:
        sample: The labelled units.
        within: Units of a part of the frame, such as a district; None is all of it.
        hectares: Area of that part, where it is known.
    """
    part = sample.everywhere if within is None else within
    area = sample.hectares if hectares is None else hectares
    weights = sample.design.weights * sample.size * part
    shown = part & (sample.map >= 0)
    return Accuracy(
        hectares=area,
        units=int(part.sum()),
        overall=_share(sample.area_of(sample.map == sample.reference, shown)),
        classes=tuple(_class(sample, k, part, area) for k in range(len(sample.classes))),
        shares=_matrix(sample, weights / max(weights.sum(), math.ulp(0.0))),
        counts=_matrix(sample, part).astype(np.intp),
    )


def _class(sample: LabelledSample, k: int, part: Flags, hectares: float) -> ClassAccuracy:
    mapped, there = part & (sample.map == k), part & (sample.reference == k)
    area = sample.area_of(there, part)
    few, mover = sample.few_omissions(k, part), _mover(sample, k) if part.all() else None
    figure = None
    if area is not None:
        figure = replace(area_interval(area), few_omissions=few, mover=mover).times(hectares)
    return ClassAccuracy(
        name=sample.classes[k],
        area=figure,
        users=_share(
            sample.area_of(there, mapped),
            binomial=sample.map_strata and bool(part.all()),
            unseen=_unseen(sample, there, mapped),
        ),
        producers=_share(sample.area_of(mapped, there)),
        f1=_share(_f1(sample, mapped, there)),
        right_units=int((mapped & there).sum()),
        mapped_units=int(mapped.sum()),
        reference_units=int(there.sum()),
    )


def _mover(sample: LabelledSample, k: int) -> tuple[float, float] | None:
    """Ends of the interval of a class's share by the limits of each stratum; None where there are none."""
    drawn = sample.drawn
    if not isinstance(drawn, Stratified | PostStratified) or not drawn.alike:
        return None
    found = np.bincount(drawn.stratum, sample.reference == k, len(drawn.sizes))
    areas = np.bincount(drawn.stratum, sample.design.weights * sample.size, len(drawn.sizes))
    used = drawn.counts > 0
    shrink = np.sqrt(drawn.remaining)[used]
    return mover_interval(drawn.counts[used], found[used], (areas / areas.sum())[used], shrink)


def _f1(sample: LabelledSample, mapped: Flags, there: Flags) -> Estimate | None:
    size = sample.size
    return ratio(sample.design, size * 2 * (mapped & there), size * (mapped.astype(int) + there))


def _unseen(sample: LabelledSample, right: Flags, part: Flags) -> float:
    """Variance that strata may hide in which all units agree: as if half a unit more in n + 1 did not.

    A large stratum with few errors often shows none, and would count as certain. The half unit is that of
    Jeffreys' interval (Brown, Cai and DasGupta 2001).

    Args:
        sample: The labelled units.
        right: Units for which the share counts.
        part: Units of the part; strata that it holds wholly are looked at.
    """
    if not isinstance(sample.drawn, Stratified):
        return 0.0
    stratum, n = sample.drawn.stratum, np.maximum(sample.drawn.counts, 1)
    inside, agree = (np.bincount(stratum, values, len(n)) for values in (part, part & right))
    weights = np.bincount(stratum, sample.design.weights * sample.size * part, len(n))
    silent = (inside == n) & np.isin(agree / n, (0, 1))
    odd = 0.5 / (n + 1)
    shares = weights / max(weights.sum(), math.ulp(0.0))
    return float((shares**2 * odd * (1 - odd) / n)[silent].sum())


def _share(estimate: Estimate | None, *, binomial: bool = False, unseen: float = 0.0) -> Figure | None:
    return None if estimate is None else share_interval(estimate, binomial=binomial, unseen=unseen)


def _matrix(sample: LabelledSample, weights: NDArray[Any]) -> NDArray[Any]:
    """`(class + 1, class)`: sums of weights `(unit,)`, map by reference."""
    k = len(sample.classes)
    rows = np.where(sample.map < 0, k, sample.map)
    return np.bincount(rows * k + sample.reference, weights, minlength=(k + 1) * k).reshape(k + 1, k)
