"""What classes look like in a place, beside what they looked like in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.recipe import Recipe
from inference.models.series import greenness
from inference.models.told.class_curves import ClassCurves, quartiles

FEWEST: Final = 30
"""Pixels of a class whose curve is drawn and compared."""


@dataclass(frozen=True)
class Growth:
    """NDVI of the pixels that a model calls a class, beside that of its training samples."""

    name: str
    """The class."""
    pixels: int
    """Pixels looked at."""
    difference: float
    """Mean distance of the two medians over the bins of the window, in NDVI."""
    inside: float
    """Share of the bins in which the median lies between the quartiles of the training samples."""
    quartiles: tuple[tuple[float, ...], ...]
    """`(3, bin)`: first quartile, median and third quartile of the pixels."""


def growth_of(
    series: NDArray[np.int16],
    said: NDArray[np.intp],
    names: Sequence[str],
    curves: ClassCurves,
    recipe: Recipe,
) -> tuple[Growth, ...]:
    """The classes with enough pixels, in order of their codes.

    Args:
        series: `(pixel, band, bin)` of the model's window, gaps nodata.
        said: `(pixel,)`: index of the class that the model gives.
        names: Of the classes.
        curves: Of the training samples.
        recipe: Of the series.
    """
    values, out = greenness(series, recipe), []
    for k, name in enumerate(names):
        if (count := int((said == k).sum())) < FEWEST:
            continue
        found, (low, median, high) = quartiles(values[said == k]), np.array(curves.quartiles[k])
        here = found[1]
        out.append(
            Growth(
                name,
                count,
                float(np.abs(here - median).mean()),
                float(((low <= here) & (here <= high)).mean()),
                tuple(map(tuple, found.round(3).tolist())),
            )
        )
    return tuple(out)
