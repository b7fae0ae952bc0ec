"""What files call a crop, and when two labels are the same."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Label = int | str
"""A whole number, or a name."""

_WHOLE: Final = re.compile(r"(-?[0-9]{1,18})(\.0*)?")
"""Spreadsheets write 3.0 in a column that has empty cells."""


def plain_label(label: Label) -> Label:
    """A label as it is compared: numbers as whole numbers, texts trimmed and without case."""
    if not isinstance(label, str):
        return int(label)
    text = unicodedata.normalize("NFC", label).strip().casefold()
    return int(whole[1]) if (whole := _WHOLE.fullmatch(text)) else text


def distinct_labels(labels: NDArray[Any]) -> tuple[list[Label | None], NDArray[np.intp]]:
    """Each label once, as it is compared, and where each sample's is; None for what is not a label.

    True and False are the names "true" and "false", not the numbers 1 and 0.
    """
    if labels.dtype.kind in "iuf":
        numbers, place = np.unique(labels, return_inverse=True)
        return [int(n) if np.isfinite(n) and n == int(n) else None for n in numbers.tolist()], place
    given = [_named(value) for value in labels.tolist()]
    first = {value: i for i, value in enumerate(dict.fromkeys(given))}
    return [_label_of(value) for value in first], np.array([first[value] for value in given], np.intp)


def _label_of(value: Any) -> Label | None:
    if isinstance(value, float):
        return int(value) if np.isfinite(value) and value == int(value) else None
    if isinstance(value, str):
        return plain_label(value) if value.strip() else None
    return value if isinstance(value, int) else None


def _named(value: Any) -> Any:
    """A truth value by its name: in Python True equals 1."""
    return str(value) if isinstance(value, bool | np.bool_) else value
