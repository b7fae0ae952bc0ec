"""Strata as data: which pixels of a map belong to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.layers import CONFIDENCE, SETS

StrataBy = Literal["class", "class+district", "confidence", "sets", "none"]
"""What a stratum is: a class of the map; that in a district; that of some confidence; that where the
prediction set is empty, of one class or of several; the whole frame."""

LAYERS: Final[Mapping[StrataBy, str]] = {"confidence": CONFIDENCE.name, "sets": SETS.name}
"""Layer of the map by whose values each class is divided."""

CONFIDENCE_PARTS: Final = 3
"""Strata of one class by confidence."""

_SETS: Final = {0: "empty set", 1: "set of one", 2: "set of several"}
"""Strata of one class by the size of the prediction set at which they begin."""

SET_CUTS: Final = tuple(_SETS)[1:]
"""Sizes at which a further stratum of a class begins."""


@dataclass(frozen=True)
class Part:
    """Pixels that the map shows alike."""

    code: int
    """Code of the map."""
    low: int = 0
    """Least value of the layer that divides classes."""
    high: int = 255
    """Largest value."""

    def name(self, class_name: str, by: StrataBy) -> str:
        """What a stratum of it is called."""
        if (self.low, self.high) == (0, 255):
            return class_name
        if by == "sets":
            return f"{class_name}, {_SETS[self.low]}"
        return f"{class_name}, confidence {self.low} to {min(self.high, 100)}"


@dataclass(frozen=True)
class Partition:
    """The frame in parts, each of one code, and the districts."""

    parts: tuple[Part, ...]
    """In order of code and value of the layer that divides classes."""
    districts: int
    """Number of districts, with index 0 for none of them."""
    by: StrataBy
    """What a stratum is."""

    @property
    def layer(self) -> str | None:
        """The layer that decides besides the class; None where none does."""
        divided = any(part.high < 255 or part.low > 0 for part in self.parts)
        return LAYERS[self.by] if divided else None

    def table(self) -> NDArray[np.int16]:
        """`(code, value of the layer)`: index of the part; -1 outside the frame."""
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
        values: NDArray[np.uint8] | None,
        districts: NDArray[np.intp] | int = 0,
    ) -> NDArray[np.intp]:
        """`(y, x)`: part times districts plus district of each pixel; -1 outside the frame.

        Args:
            codes: `(y, x)` of the map.
            values: `(y, x)` of the layer that divides classes; None where none does.
            districts: `(y, x)`: index of the district, or one for all.
        """
        table = self.table()
        part = table[codes, values] if values is not None else table[:, 0][codes]
        return np.where(part < 0, -1, part.astype(np.intp) * self.districts + districts)


def parts_of(codes: Sequence[int], cuts: Mapping[int, Sequence[int]] | None = None) -> tuple[Part, ...]:
    """The parts of a frame.

    Args:
        codes: Codes of the map inside the frame, in order.
        cuts: By code, values of a layer at which further parts begin.
    """
    out = []
    for code in codes:
        edges = [0, *(cuts or {}).get(code, []), 256]
        out += [Part(code, low, high - 1) for low, high in pairwise(edges)]
    return tuple(out)
