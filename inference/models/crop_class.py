"""What the codes of a map mean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gee_pipeline.errors import InputError

MOST_CLASSES: Final = 253
"""Codes 1 to 253; 0, 254 and 255 of a map mean outside, not cropland and not enough observations."""


@dataclass(frozen=True)
class CropClass:
    """One class of a map."""

    code: int
    """Value of its pixels, 1 to 253."""
    name: str
    """What it is called in legends."""
    color: str
    """Colour as `#rrggbb`."""

    def __post_init__(self) -> None:
        if not 1 <= self.code <= MOST_CLASSES:
            raise InputError(f"A class code lies between 1 and {MOST_CLASSES}, got {self.code}.")
        if not self.name.strip():
            raise InputError(f"Class {self.code} needs a name.")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise InputError(f"The colour of class {self.name} must read #rrggbb, got {self.color!r}.")


def require_legend(classes: Sequence[CropClass], owner: str) -> None:
    """Refuse classes that a map cannot distinguish.

    Args:
        classes: The classes of a model, in its own order.
        owner: What they belong to, for the message, such as `a checkpoint`.

    Raises:
        InputError: The codes are not 1 to K in order, or two classes share a name.
    """
    codes = [c.code for c in classes]
    if codes != list(range(1, len(codes) + 1)):
        raise InputError(f"The classes of {owner} have the codes 1 to {len(codes)}, got {codes}.")
    if repeated := [n for n, count in Counter(c.name for c in classes).items() if count > 1]:
        raise InputError(f"Each class of {owner} has its own name, got {repeated} twice.")
