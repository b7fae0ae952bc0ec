"""The classes that a pixel may well have: sets that hold the true class of a stated share of pixels.

Split conformal prediction (Vovk et al. 2005; Sadinle et al. 2019, "Least ambiguous set-valued classifiers
with bounded error levels"): a class is in the set where one less its probability is at most a limit, and the
limit is found on labelled samples that did not train, for each class of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError


@dataclass(frozen=True)
class PredictionSets:
    """How likely each class must be to be in the set of a pixel."""

    coverage: float
    """Share of the pixels whose true class the set is meant to hold, of each class."""
    limits: tuple[float, ...]
    """`(class,)`: one less the probability of a class in the set is at most this; 1 takes it in always."""
    samples: tuple[int, ...]
    """`(class,)`: labelled samples of each class that the limits rest on."""
    source: str
    """What these samples are."""

    def __post_init__(self) -> None:
        each = len(self.limits) == len(self.samples) > 0
        inside = 0 < self.coverage < 1 and all(0 <= limit <= 1 for limit in self.limits)
        if not each or not inside or any(count < 0 for count in self.samples):
            raise InputError(
                "Prediction sets have a coverage between 0 and 1, and for each class a limit from 0 to 1 and "
                f"its number of samples; got {self.coverage}, {self.limits} and {self.samples}."
            )

    def members(self, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """`(pixel, class)`: whether a class is in the set of a pixel.

        Args:
            probabilities: `(pixel, class)`, 0 to 1.
        """
        inside: NDArray[np.bool_] = 1 - np.asarray(probabilities, np.float64) <= np.array(self.limits)
        return inside

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PredictionSets:
        """What `to_dict` gave."""
        rows = {name: tuple(values[name]) for name in ("limits", "samples")}
        return cls(**{**values, **rows})
