"""The crops of CropGlobe and their colours: the built-in legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inference.drawing.class_colors import CLASS_COLORS
from inference.models.crop_class import CropClass


@dataclass(frozen=True)
class Crop:
    """One entry of CropGlobe's legend; its place in `CROPS` is its label."""

    name: str
    """Lower-case English name."""
    color: str
    """`#rrggbb`."""


CROPS: Final = tuple(
    Crop(name, CLASS_COLORS[name])
    for name in ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other")
)
"""Labels 0 to 6 of CropGlobe, in order (Tong et al. 2025). A checkpoint carries its classes' colours."""

OTHER: Final = "other"
"""The class that takes every crop which has no class of its own."""

NAMES: Final = tuple(crop.name for crop in CROPS)


def color_of(name: str) -> str:
    """`#rrggbb` of a class name of the legend."""
    return CROPS[NAMES.index(name)].color


def crop_classes(names: tuple[str, ...], colors: tuple[str, ...] | None = None) -> tuple[CropClass, ...]:
    """The classes with codes 1 to K; without colours of their own they have those of CropGlobe's legend."""
    colors = colors or tuple(map(color_of, names))
    return tuple(CropClass(code, *entry) for code, entry in enumerate(zip(names, colors, strict=True), 1))
