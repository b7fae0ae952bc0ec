"""What a model says of pixels, and how a share becomes a confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """What the model says of some pixels."""

    codes: NDArray[np.uint8]
    """Class code of each pixel, `(pixel,)`."""
    confidence: NDArray[np.uint8]
    """Probability of that class in percent, 0 to 100, `(pixel,)`."""


def percent(part: NDArray[np.integer], whole: int) -> NDArray[np.uint8]:
    """`part` in percent of `whole`, halves up; in whole numbers, so that every engine rounds the same.

    Args:
        part: Whole numbers from 0 to `whole`.
        whole: What counts as 100 %.
    """
    return ((200 * part.astype(np.int64) + whole) // (2 * whole)).astype(np.uint8)
