"""Strata as data: which pixels of a map belong to which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

StrataBy = Literal["class", "class+district", "confidence", "none"]
"""What a stratum is: a class of the map; that in a district; that of some confidence; the whole frame."""

CONFIDENCE_PARTS: Final = 3
"""Strata of one class by confidence."""


@dataclass(frozen=True)
class Part:
    """Pixels that the map shows alike."""

    code: int
    """Code of the map."""
    low: int = 0
    """Least value of the confidence."""
    high: int = 255
    """Largest value."""

    def name(self, class_name: str) -> str:
        """What a stratum of it is called."""
        if (self.low, self.high) == (0, 255):
            return class_name
        return f"{class_name}, confidence {self.low} to {min(self.high, 100)}"


@dataclass(frozen=True)
class Partition:
    """The frame in parts, each of one code, and the districts."""

    parts: tuple[Part, ...]
    """In order of code and confidence."""
    districts: int
    """Number of districts, with index 0 for none of them."""
    by: StrataBy
    """What a stratum is."""

    @property
    def needs_confidence(self) -> bool:
        """Whether the confidence decides."""
        return any(part.high < 255 or part.low > 0 for part in self.parts)

    def table(self) -> NDArray[np.int16]:
        """`(code, confidence)`: index of the part; -1 outside the frame."""
        out = np.full((256, 256), -1, np.int16)
        for index, part in enumerate(self.parts):
            out[part.code, part.low : part.high + 1] = index
        return out

    def strata(self) -> NDArray[np.intp]:
        """`(part, district)`: index of the stratum."""
        shape = (len(self.parts), self.districts)
        if self.by == "none":
            return np.zeros(shape, np.intp)
        if self.by == "class+district":
            return np.arange(shape[0] * shape[1]).reshape(shape)
        return np.repeat(np.arange(shape[0])[:, None], shape[1], axis=1)

    def labels(
        self,
        codes: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None,
        districts: NDArray[np.intp] | int = 0,
    ) -> NDArray[np.intp]:
        """`(y, x)`: part times districts plus district of each pixel; -1 outside the frame.

        Args:
            codes: `(y, x)` of the map.
            confidence: `(y, x)`; None where it does not decide.
            districts: `(y, x)`: index of the district, or one for all.
        """
        table = self.table()
        part = table[codes, confidence] if confidence is not None else table[:, 0][codes]
        return np.where(part < 0, -1, part.astype(np.intp) * self.districts + districts)


def parts_of(codes: Sequence[int], cuts: dict[int, list[int]] | None = None) -> tuple[Part, ...]:
    """The parts of a frame.

    Args:
        codes: Codes of the map inside the frame, in order.
        cuts: By code, values of the confidence at which further parts begin.
    """
    out = []
    for code in codes:
        edges = [0, *(cuts or {}).get(code, []), 256]
        out += [Part(code, low, high - 1) for low, high in pairwise(edges)]
    return tuple(out)
