"""Greenness of a model's training samples through its window, by class: what its classes look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError

QUARTERS: Final = (0.25, 0.5, 0.75)
"""Shares of the samples below each curve of a class."""

_DIGITS: Final = 3
"""Decimals that are kept."""


@dataclass(frozen=True)
class ClassCurves:
    """NDVI of the training samples of each class in each bin of the model's window, gaps filled."""

    quartiles: tuple[tuple[tuple[float, ...], ...], ...]
    """`(class, 3, bin)`: first quartile, median and third quartile."""

    def __post_init__(self) -> None:
        lengths = {len(curve) for one in self.quartiles for curve in one}
        whole = len(lengths) == 1 and all(len(one) == len(QUARTERS) for one in self.quartiles)
        if not whole or not all(math.isfinite(v) for one in self.quartiles for curve in one for v in curve):
            raise InputError(
                "Curves are three quartiles of NDVI for each class, in the same bins; got curves of "
                f"{sorted(lengths)} bins for {len(self.quartiles)} classes."
            )

    @property
    def classes(self) -> int:
        """How many classes have curves."""
        return len(self.quartiles)

    @property
    def bins(self) -> int:
        """Bins of each curve."""
        return len(self.quartiles[0][0])

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassCurves:
        """What `to_dict` gave."""
        return cls(tuple(tuple(tuple(curve) for curve in one) for one in values["quartiles"]))


def curves_of(values: NDArray[np.floating], labels: NDArray[np.integer], classes: int) -> ClassCurves | None:
    """The curves of labelled samples; None where a class has none.

    Args:
        values: `(sample, bin)`: NDVI in the bins of the model's window, gaps filled; NaN where it has none.
        labels: `(sample,)`: index of the class of each.
        classes: How many classes the model has.
    """
    if np.bincount(labels, minlength=classes).min() == 0:
        return None
    found = (quartiles(values[labels == k]).round(_DIGITS) for k in range(classes))
    return ClassCurves(tuple(tuple(map(tuple, one.tolist())) for one in found))


def quartiles(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """`(3, bin)`: quartiles of the pixels bin by bin, without NaN; 0 where all are NaN.

    Args:
        values: `(pixel, bin)`.
    """
    known = ~np.isnan(values).all(axis=0)
    out = np.zeros((len(QUARTERS), values.shape[1]))
    out[:, known] = np.nanquantile(values[:, known].astype(np.float64), QUARTERS, axis=0)
    return out
