"""How the input of a network is scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gee_pipeline.errors import InputError


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each band over the training series."""

    mean: tuple[float, ...]
    """In the unit of the band's sensor, reflectance 0 to 1 or decibel, in the recipe's band order."""
    std: tuple[float, ...]
    """In the same unit, greater than 0."""

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (*self.mean, *self.std)))
        if len(self.mean) != len(self.std) or not finite or not all(value > 0 for value in self.std):
            raise InputError(
                "A normalisation takes a mean and a standard deviation above 0 for each band, got "
                f"mean {self.mean} and std {self.std}."
            )
