"""How many units a sample needs, and how many each stratum gets."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.designs import FEWEST
from gee_pipeline.errors import InputError

FLOOR: Final = 50
"""Units that each stratum gets at least, where nothing else is said and the points suffice."""

FEWEST_POINTS: Final = FEWEST
"""Points of each stratum at least, whatever is asked for: a variance needs them."""

Allocation = Literal["proportional", "neyman", "equal"]
"""By size; by size times standard deviation; the same number each."""


def required_units(
    weights: NDArray[Any], deviations: NDArray[Any], se: float, frame: float = np.inf
) -> float:
    """Units for a standard error of a share over all strata (Cochran 1977, equation 5.25), not rounded.

    Args:
        weights: `(stratum,)`: share of the frame.
        deviations: `(stratum,)`: standard deviation of the variable, of a share p sqrt(p (1 - p)).
        se: The standard error.
        frame: Units of the frame; without it the correction for a finite frame is left out.

    Raises:
        InputError: The standard error is not above 0.
    """
    if not se > 0:
        raise InputError(f"A standard error to reach is above 0, got {se:g}. Give for example 0.01.")
    w, s = np.asarray(weights, np.float64), np.asarray(deviations, np.float64)
    return float((w @ s / se) ** 2 / (1 + w @ s**2 / (frame * se**2)))


def default_floor(units: int, strata: int) -> int:
    """Units of each stratum at least: 50, or less where that would take more than half of the points."""
    return max(FEWEST_POINTS, min(FLOOR, units // (2 * max(strata, 1))))


def allocate(
    units: int, parts: NDArray[Any], sizes: NDArray[Any], *, floor: int = FEWEST_POINTS
) -> NDArray[np.intp]:
    """`(stratum,)`: units of each stratum, `units` in all.

    Each gets `floor`, or all it has; what is left goes in proportion to `parts` to those whose proportion is
    larger than that. Whole numbers are made by the largest remainders, which keep the sum.

    Args:
        units: Units of the sample.
        parts: `(stratum,)`: what units are proportional to, such as the size; all 1 for equal numbers.
        sizes: `(stratum,)`: units of the frame, above 0.
        floor: Units of each stratum at least.

    Raises:
        InputError: The units do not suffice for the floor, or the frame has fewer.
    """
    sizes = np.asarray(sizes, np.int64)
    least = np.minimum(max(floor, FEWEST_POINTS), sizes)
    if least.sum() > units:
        raise InputError(
            f"{len(sizes)} strata with at least {max(floor, FEWEST_POINTS)} units each need {least.sum():,} "
            f"units, got {units:,}. Give more --points, a smaller --floor, or fewer strata."
        )
    if sizes.sum() < units:
        raise InputError(f"The frame has {sizes.sum():,} pixels, fewer than {units:,} --points. Give fewer.")
    return _rounded(_between(units, np.asarray(parts, np.float64), least, sizes), units, least, sizes)


def _between(
    units: int, parts: NDArray[np.float64], least: NDArray[np.int64], most: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Numbers in proportion to `parts` with a given sum, none below its least or above its most.

    The sum grows with the factor of proportion, which is found by halving.
    """
    parts = parts / parts.max() if parts.max() > 1e-100 else np.ones(len(parts))
    parts = np.maximum(parts, 1e-9)  # a part of 0 still takes what the others cannot
    low, high = 0.0, float((most / parts).max())
    for _ in range(200):
        middle = (low + high) / 2
        found = np.clip(middle * parts, least, most)
        low, high = (middle, high) if found.sum() < units else (low, middle)
    return np.asarray(np.clip(high * parts, least, most))


def _rounded(
    numbers: NDArray[np.float64], units: int, least: NDArray[np.int64], most: NDArray[np.int64]
) -> NDArray[np.intp]:
    whole = np.clip(np.floor(numbers + 1e-6).astype(np.int64), least, most)
    order = np.argsort(-(numbers - whole), kind="stable")
    for place in order[: units - whole.sum()]:
        whole[place] += 1
    return whole.astype(np.intp)
