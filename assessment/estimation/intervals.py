"""95 % intervals: normal ones of areas, score intervals of shares, exact ones where a standard error is 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from scipy import stats

from assessment.estimation.estimate import Estimate

Z: Final = 1.96
"""Standard errors on each side of a 95 % interval, as in the published examples (exact: 1.959964)."""

FEW_UNITS: Final = 30
"""Estimates that rest on fewer units are flagged."""

LARGE_CV: Final = 0.25
"""Estimates whose standard error is a larger share of them are flagged."""

FEW_OMISSIONS: Final = 5
"""The area of a class that fewer units show where the map has something else is flagged: its standard error
rests on them, and its interval holds less often than it says."""

NOTHING: Final = 1e-9
"""A standard error of a share that is smaller is 0, but for rounding."""

Kind = Literal["normal", "t", "clopper-pearson", "wilson"]


@dataclass(frozen=True)
class Figure:
    """An estimate as it is published."""

    value: float
    """The estimate."""
    se: float
    """Its standard error by the formula of the design."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""
    units: int
    """Units of the sample that it rests on."""
    interval: Kind
    """How the interval was made."""
    cut: bool = False
    """Whether the interval was cut at 0 or at the most that is possible."""
    few_omissions: bool = False
    """Whether it is an area of a class that fewer than 5 units show to be missing on the map."""
    reach: float = Z
    """Standard errors on each side: 1.96, or more where there are few clusters."""
    mover: tuple[float, float] | None = None
    """Ends of an interval that also holds where few omitted units decide, see `mover`; of areas by strata."""

    @property
    def half_width(self) -> float:
        """Standard errors to each side, 1.96 or as Student has it; half of the interval where they are 0."""
        return self.reach * self.se if self.se > 0 else (self.high - self.low) / 2

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes it weak."""
        weak = {
            "few units": self.units < FEW_UNITS,
            "large cv": self.value == 0 or self.se / abs(self.value) > LARGE_CV,
            "few omissions": self.few_omissions,
        }
        return tuple(name for name, true in weak.items() if true)

    def times(self, factor: float) -> Figure:
        """The same in another unit, such as hectares."""
        value, se, low, high = (factor * v for v in (self.value, self.se, self.low, self.high))
        mover = None if self.mover is None else (factor * self.mover[0], factor * self.mover[1])
        return replace(self, value=value, se=se, low=low, high=high, mover=mover)


def area_interval(estimate: Estimate, most: float = 1.0) -> Figure:
    """An area with its normal interval, cut at 0 and `most`; a score interval where there is no variance.

    Args:
        estimate: An area, or its share of the frame.
        most: The largest value that is possible.
    """
    if estimate.se <= NOTHING * most:
        return _score(replace(estimate, se=0.0), estimate.effective, most)
    z = reach(estimate)
    low, high = estimate.value - z * estimate.se, estimate.value + z * estimate.se
    kind: Kind = "normal" if z == Z else "t"
    cut = low < 0 or high > most
    low, high = max(low, 0.0), min(high, most)
    return Figure(estimate.value, estimate.se, low, high, estimate.units, kind, cut, reach=z)


def share_interval(estimate: Estimate, *, binomial: bool = False, unseen: float = 0.0) -> Figure:
    """A share with the score interval of as many equal units, which holds where few units are right or wrong.

    Args:
        estimate: The share.
        binomial: Whether its units are a simple random sample, so that 0 and 1 have an exact interval.
        unseen: Variance that the standard error does not know of, for the interval alone.
    """
    p = estimate.value
    if estimate.se > NOTHING:
        variance = estimate.se**2 + unseen
        return _score(estimate, p * (1 - p) / variance if 0 < p < 1 else estimate.effective)
    certain = replace(estimate, se=0.0)
    return _exact(certain) if binomial and p in (0.0, 1.0) else _score(certain, estimate.effective)


def reach(estimate: Estimate) -> float:
    """Standard errors on each side of a 95 % interval."""
    if math.isinf(estimate.degrees):
        return Z
    return float(stats.t.ppf(stats.norm.cdf(Z), estimate.degrees))


def _exact(estimate: Estimate) -> Figure:
    """The binomial interval of a share of 0 or 1 (Clopper and Pearson 1934)."""
    n, tail = estimate.units, float(stats.norm.sf(Z))
    limit = tail ** (1 / n)
    low, high = (limit, 1.0) if estimate.value == 1 else (0.0, 1 - limit)
    return Figure(estimate.value, 0.0, low, high, n, "clopper-pearson")


def _score(estimate: Estimate, effective: float, most: float = 1.0) -> Figure:
    """The score interval (Wilson 1927) of a share, with as many equal units as say the same."""
    p, n, z = estimate.value / most, max(effective, 1.0), reach(estimate)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(max(p * (1 - p) / n + z**2 / (4 * n**2), 0.0))
    low = 0.0 if p == 0 else max(centre - half, 0.0)  # not a rounding away from it
    high = 1.0 if p == 1 else min(centre + half, 1.0)
    return Figure(estimate.value, estimate.se, low * most, high * most, estimate.units, "wilson", reach=z)
