"""The crops a model can tell apart: CropGlobe's legend, its colours, and the choice of classes from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gee_pipeline.errors import InputError


@dataclass(frozen=True)
class Crop:
    """One entry of CropGlobe's legend; its place in `CROPS` is its label."""

    name: str
    """Lower-case English name."""
    color: str
    """`#rrggbb`, near the colours of the USDA Cropland Data Layer, which many readers know."""


CROPS: Final = (
    Crop("corn", "#ffd300"),
    Crop("soybeans", "#267000"),
    Crop("rice", "#00a8e2"),
    Crop("wheat", "#a57000"),
    Crop("sugarcane", "#9b4dca"),
    Crop("cotton", "#ff2626"),
    Crop("other", "#b8b8a0"),
)
"""Labels 0 to 6 of CropGlobe, in order (Tong et al. 2025). A checkpoint carries its classes' colours."""

OTHER: Final = "other"
"""The class that takes every crop which has no class of its own."""

NAMES: Final = tuple(crop.name for crop in CROPS)


def choose_classes(names: Sequence[str]) -> tuple[str, ...]:
    """The class names as asked for, checked against the legend.

    Args:
        names: At least two names of `CROPS`, in the order of the codes 1 to K.

    Raises:
        InputError: A name is unknown or repeated, or there are fewer than two.
    """
    chosen = tuple(name.strip().lower() for name in names)
    unknown = [name for name in chosen if name not in NAMES]
    if unknown or len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise InputError(
            f"Classes are two or more different names out of {', '.join(NAMES)}; got {', '.join(names)}. "
            "Write them as --classes corn,soybeans,other."
        )
    return chosen


def class_index(names: Sequence[str]) -> tuple[int, ...]:
    """For each label of CropGlobe its index in `names`, or -1 where its samples are left out.

    A crop without a class of its own becomes "other" where `names` has that, and is left out where not.
    """
    rest = list(names).index(OTHER) if OTHER in names else -1
    return tuple(list(names).index(crop) if crop in names else rest for crop in NAMES)


def color_of(name: str) -> str:
    """`#rrggbb` of a class name of the legend."""
    return CROPS[NAMES.index(name)].color
