"""What each rule leaves of a map's pixels, class by class, and how many of them are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Stage(StrEnum):
    """What pixels have passed, in order; those after `DRAWN` were looked at one by one."""

    MAPPED = "mapped"
    """Has a class on the map."""
    COMPOSITE = "composite"
    """The composite of its cell is kept."""
    CONFIDENCE = "confidence"
    """Is confident enough."""
    CLEAR = "clear"
    """Was observed often enough."""
    NEIGHBOURS = "neighbours"
    """Stands among its like."""
    SQUARE = "square"
    """Is the one of its class that its square gives."""
    DRAWN = "drawn"
    """Was drawn by lot to be looked at."""
    MODEL = "model"
    """The network gives its class again from the kept composite."""
    PASSES = "passes"
    """Enough dropout passes give its class."""
    ALSO = "also"
    """The other checkpoints give its class."""
    SPACING = "spacing"
    """Is far enough from the samples before it."""
    SAMPLES = "samples"
    """Is a sample: its class was not full, and is not too large compared with the smallest."""


@dataclass(frozen=True)
class Noise:
    """How many pseudo-labels a reference contradicts."""

    compared: int
    """Pixels that have a reference label."""
    wrong: int
    """Those whose reference label is another class."""

    @property
    def share(self) -> float | None:
        """Share of the compared that is wrong, 0 to 1; None where nothing could be compared."""
        return self.wrong / self.compared if self.compared else None

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {"compared": self.compared, "wrong": self.wrong, "share": self.share}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Noise:
        """What `to_dict` wrote."""
        return cls(values["compared"], values["wrong"])


class StageCounts:
    """Counts by stage and class code; codes are 1 to K."""

    def __init__(self, classes: int) -> None:
        """Nothing counted yet.

        Args:
            classes: K.
        """
        self._classes = classes
        self._counts = {stage: np.zeros((3, classes + 1), np.int64) for stage in Stage}

    def count(self, stage: Stage, codes: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count pixels that have passed a stage.

        Args:
            stage: What they have passed.
            codes: `(pixel,)` their classes, 1 to K.
            truth: `(pixel,)` reference codes; 0 where there is none.
        """
        known = truth != 0
        groups = (codes, codes[known], codes[known & (truth != codes)])
        for row, group in enumerate(groups):
            self._counts[stage][row] += np.bincount(group, minlength=self._classes + 1)

    def left(self, stage: Stage) -> NDArray[np.int64]:
        """`(class,)`: pixels that have passed a stage."""
        return self._counts[stage][0, 1:]

    def noise(self, stage: Stage) -> Noise:
        """The noise of all classes at a stage."""
        return Noise(int(self._counts[stage][1].sum()), int(self._counts[stage][2].sum()))

    def noise_by_class(self, stage: Stage, names: tuple[str, ...]) -> Mapping[str, Noise]:
        """The noise of each class at a stage, by the class of the pseudo-label."""
        compared, wrong = self._counts[stage][1:, 1:].tolist()
        return {name: Noise(compared[k], wrong[k]) for k, name in enumerate(names)}
