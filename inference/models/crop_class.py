"""What the codes of a map mean."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gee_pipeline.errors import InputError
from inference.drawing.class_colors import COLOR

MOST_CLASSES: Final = 253
"""Codes 1 to 253; 0, 254 and 255 of a map mean outside, not cropland and not enough observations."""


RESERVED_NAMES: Final = ("outside", "not cropland", "not enough observations")
"""What the codes 0, 254 and 255 of a map are called."""

LONGEST_NAME: Final = 100
"""Most characters of a class's name: a line of a legend."""


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
        if type(self.code) is not int or not all(isinstance(text, str) for text in (self.name, self.color)):
            raise InputError(f"A class is a number, a name and a colour, got {self.code!r}, {self.name!r}.")
        if not 1 <= self.code <= MOST_CLASSES:
            raise InputError(f"A class code lies between 1 and {MOST_CLASSES}, got {self.code}.")
        _require_name(self.code, self.name)
        if not COLOR.fullmatch(self.color):
            raise InputError(f"The colour of class {self.name} must read #rrggbb, got {self.color!r}.")


def _require_name(code: int, name: str) -> None:
    """Refuse a name that another code of a map has, or that a legend's file cannot hold."""
    if not name.strip():
        raise InputError(f"Class {code} needs a name.")
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"The name of a class has at most {LONGEST_NAME} characters, that of class {code} has "
            f"{len(name):,}. Shorten it."
        )
    if odd := [letter for letter in name if not _is_text(letter)]:
        raise InputError(
            f"The name of a class is one line of text, that of class {code} holds {odd[0]!r}. Remove it."
        )
    if name.strip().casefold() in RESERVED_NAMES:
        raise InputError(
            f"A map calls other pixels {name.strip()!r} already; give class {code} another name than "
            f"{', '.join(RESERVED_NAMES)}."
        )


def _is_text(letter: str) -> bool:
    """Whether a character can stand in a line of XML: no control, half of a pair, line end, non-character."""
    return unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") and ord(letter) & 0xFFFE != 0xFFFE


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
