"""What is said of each parcel, from the sums over its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from assessment.fields.sums import OBSERVATIONS, ParcelSums
from assessment.sample.map_file import CONFIDENCE, PROBABILITIES
from assessment.sample.text_table import plain

NO_CLASS: Final = -1
"""Index of the class of a parcel without one."""

DIGITS: Final = 4
"""Decimals of a pixel, or of a percent, beyond which two classes count as equal: they are sums of fractions
of 32 bits, and noise decides nothing."""


@dataclass(frozen=True)
class ParcelFacts:
    """What is said of some parcels; classes are indices in order of their codes, `NO_CLASS` where none is."""

    majority: NDArray[np.intp]
    """`(parcel,)`: the class with the most covered pixels, of equal ones the lower code."""
    shares: NDArray[np.float64]
    """`(parcel, class)`: parts of the pixels with a class; they sum to 1, or are not numbers."""
    pixels: NDArray[np.float64]
    """`(parcel,)`: pixels with a class, by fractions."""
    valid: NDArray[np.float64]
    """`(parcel,)`: these as a share of the parcel; not a number where it has no area."""
    unmapped: NDArray[np.float64]
    """`(parcel, code)`: shares of the parcel with the codes that are no class."""
    confidence: NDArray[np.float64] | None
    """`(parcel,)`: mean confidence, percent."""
    observations: NDArray[np.float64] | None
    """`(parcel,)`: mean number of clear observations."""
    probable: NDArray[np.intp] | None
    """`(parcel,)`: the class with the highest mean probability, of equal ones the lower code."""
    probabilities: NDArray[np.float64] | None
    """`(parcel, class)`: mean probability, percent."""


def parcel_facts(sums: ParcelSums, area: NDArray[np.float64], classes: int) -> ParcelFacts:
    """What is said of parcels.

    Args:
        sums: Sums over their pixels, classes first.
        area: `(parcel,)`: their area in pixels.
        classes: Number of classes.
    """
    of_classes, pixels = sums.pixels[:, :classes], sums.pixels[:, :classes].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = of_classes / pixels[:, None]
        valid, unmapped = pixels / area, sums.pixels[:, classes:] / area[:, None]
    sure, seen, likely = (sums.means(name) for name in (CONFIDENCE, OBSERVATIONS, PROBABILITIES))
    return ParcelFacts(
        majority=_largest(of_classes, pixels > 0),
        shares=shares,
        pixels=pixels,
        valid=np.minimum(valid, 1),
        unmapped=np.minimum(unmapped, 1),
        confidence=None if sure is None else sure[0],
        observations=None if seen is None else seen[0],
        probable=None if likely is None else _largest(np.nan_to_num(likely.T), ~np.isnan(likely).any(axis=0)),
        probabilities=None if likely is None else likely.T,
    )


def _largest(values: NDArray[np.float64], there: Any) -> NDArray[np.intp]:
    """Column of the largest value of each row, of equal ones the first; `NO_CLASS` where nothing is there."""
    return np.where(there, np.round(values, DIGITS).argmax(axis=1), NO_CLASS)


@dataclass(frozen=True)
class Agreement:
    """Declared classes beside the classes of parcels."""

    labels: tuple[str, ...]
    """Names of the classes."""
    table: NDArray[np.int64]
    """`(declared, class)`: parcels; the last column is that of parcels without a class."""

    @property
    def compared(self) -> int:
        """Parcels with a class and a declared one that the map has."""
        return int(self.table[:, :-1].sum())

    @property
    def same(self) -> int:
        """Those of them whose classes are equal."""
        return int(np.trace(self.table[:, :-1]))


def declared_classes(labels: Sequence[str | None], known: dict[str, int]) -> NDArray[np.intp]:
    """Indices of the classes that labels name, by name or code; `NO_CLASS` where a label names none.

    Args:
        labels: What was declared.
        known: Index of each name and code, as `plain` has it.
    """
    return np.array([NO_CLASS if x is None else known.get(plain(x), NO_CLASS) for x in labels], np.intp)
