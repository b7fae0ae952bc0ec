"""95 % intervals: normal, Student's t for clusters, binomial where a standard error is 0 or says little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from scipy import stats

from assessment.estimation.estimate import Estimate

Z: Final = 1.96
"""Standard errors on each side of a 95 % interval, as in the published examples (exact: 1.959964)."""

FEW_UNITS: Final = 30
"""Estimates that rest on fewer units are flagged."""

LARGE_CV: Final = 0.25
"""Estimates whose standard error is a larger share of them are flagged."""

FEW_CASES: Final = 5
"""A share that fewer units than these make, or speak against, has no normal interval."""

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

    @property
    def half_width(self) -> float:
        """1.96 standard errors, or half of an interval that is not normal."""
        return Z * self.se if self.interval == "normal" else (self.high - self.low) / 2

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes it weak: `few units`, `large cv`."""
        large = self.value == 0 or self.se / abs(self.value) > LARGE_CV
        few = self.units < FEW_UNITS
        return (("few units",) if few else ()) + (("large cv",) if large else ())

    def times(self, factor: float) -> Figure:
        """The same in another unit, such as hectares."""
        value, se, low, high = (factor * v for v in (self.value, self.se, self.low, self.high))
        return Figure(value, se, low, high, self.units, self.interval, self.cut)


def figure(estimate: Estimate, most: float = 1.0) -> Figure:
    """An estimate with its interval, cut at 0 and `most`; one without a standard error gets no such interval.

    Args:
        estimate: A share, or a total.
        most: The largest value that is possible.
    """
    if estimate.se <= NOTHING * most:
        return wilson(estimate, estimate.effective, most)
    student = math.isfinite(estimate.degrees)
    width = float(stats.t.ppf(stats.norm.cdf(Z), estimate.degrees)) if student else Z
    low, high = estimate.value - width * estimate.se, estimate.value + width * estimate.se
    return Figure(
        estimate.value,
        estimate.se,
        max(low, 0.0),
        min(high, most),
        estimate.units,
        "t" if student else "normal",
        low < 0 or high > most,
    )


def share(estimate: Estimate, cases: int, *, equal: bool) -> Figure:
    """A share with an interval that holds also where few units are right, or few are wrong.

    Args:
        estimate: The share.
        cases: Units of the sample of which it is true, of `estimate.units`.
        equal: Whether these units were drawn as one simple random sample, so that their number is binomial.
    """
    if FEW_CASES <= cases <= estimate.units - FEW_CASES and estimate.se > NOTHING:
        return figure(estimate)
    if equal:
        return clopper_pearson(estimate, cases)
    p = estimate.value
    units = p * (1 - p) / estimate.se**2 if estimate.se > NOTHING and 0 < p < 1 else estimate.effective
    return wilson(estimate, units)


def clopper_pearson(estimate: Estimate, cases: int) -> Figure:
    """The exact binomial interval of `cases` out of the units of an estimate (Clopper and Pearson 1934)."""
    n, tail = estimate.units, float(stats.norm.sf(Z))
    low = float(stats.beta.ppf(tail, cases, n - cases + 1)) if cases else 0.0
    high = float(stats.beta.isf(tail, cases + 1, n - cases)) if cases < n else 1.0
    return Figure(estimate.value, estimate.se, low, high, n, "clopper-pearson")


def wilson(estimate: Estimate, effective: float, most: float = 1.0) -> Figure:
    """The score interval of a share (Wilson 1927).

    Args:
        estimate: The share, or a total that is 0 or `most`.
        effective: Units of a simple random sample that would say as much.
        most: The largest value that is possible.
    """
    p, n = estimate.value / most, max(effective, 1.0)
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * math.sqrt(max(p * (1 - p) / n + Z**2 / (4 * n**2), 0.0))
    low, high = max(centre - reach, 0.0), min(centre + reach, 1.0)
    return Figure(estimate.value, estimate.se, low * most, high * most, estimate.units, "wilson")
