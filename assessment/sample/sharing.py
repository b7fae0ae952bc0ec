"""Points shared out to strata: a number of them, or as many as reach a standard error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from assessment.planning.expected import Assumed, Expected, expect, expect_simple
from assessment.planning.sizes import FEWEST_POINTS, allocate, default_floor, required_units
from assessment.sample.request import DesignRequest
from gee_pipeline.errors import InputError

ROUNDS: Final = 60
"""Tries to find how many points reach a standard error; each is nearer."""

MOST_POINTS: Final = 1_000_000
"""Points that a standard error may ask for."""


@dataclass(frozen=True)
class Shared:
    """Points of each stratum, and what to expect of them."""

    units: NDArray[np.intp]
    """`(stratum,)`."""
    expected: Expected
    """Standard errors."""


def share_out(request: DesignRequest, assumed: Assumed, sizes: NDArray[np.float64]) -> Shared:
    """The points of each stratum as a request asks for them.

    Args:
        request: How many, and how they are shared out.
        assumed: What is assumed of the strata; of a simple random sample of what the map shows.
        sizes: `(stratum,)`: pixels, above 0.

    Raises:
        InputError: There are too few points for the strata, or too few pixels for the points.
    """
    if request.points is not None:
        return _share(request, assumed, sizes, request.points)
    target = request.target_se or 0.0
    points = _first_guess(request, assumed, sizes, target)
    for _ in range(ROUNDS):
        _require_reasonable(points, target, sizes.sum())
        found = _share(request, assumed, sizes, points)
        if found.expected.overall_se <= target:
            return found
        points += max(1, int(points * ((found.expected.overall_se / target) ** 2 - 1)))
    return found


def _share(request: DesignRequest, assumed: Assumed, sizes: NDArray[np.float64], points: int) -> Shared:
    if request.strata == "none":
        units = allocate(points, np.ones(1), np.array([sizes.sum()]))
        return Shared(units, expect_simple(assumed, points, sizes.sum()))
    parts = {
        "proportional": sizes,
        "neyman": sizes * assumed.deviations(),
        "equal": np.ones(len(sizes)),
    }[request.allocate]
    floor = default_floor(points, len(sizes)) if request.floor is None else request.floor
    units = allocate(points, parts, sizes, floor=floor)
    return Shared(units, expect(assumed, units, sizes))


def _first_guess(request: DesignRequest, assumed: Assumed, sizes: NDArray[np.float64], target: float) -> int:
    """Points that the best allocation would need; others need more."""
    mapped = assumed.label >= 0
    weights = assumed.weights[mapped] / assumed.weights[mapped].sum()
    needed = required_units(weights, assumed.deviations()[mapped], target, sizes[mapped].sum())
    floor = 0 if request.strata == "none" else request.floor or FEWEST_POINTS
    return int(np.ceil(max(needed, np.minimum(floor, sizes).sum(), FEWEST_POINTS)))


def _require_reasonable(points: int, target: float, frame: float) -> None:
    if points > min(MOST_POINTS, frame):
        raise InputError(
            f"A standard error of {target:g} needs {points:,} points or more; the map has {frame:,.0f} "
            f"pixels, and at most {MOST_POINTS:,} are drawn. Choose a larger --target-se."
        )
