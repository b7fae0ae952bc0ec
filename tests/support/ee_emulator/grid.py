"""The pixel grid that a request asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from affine import Affine

_AFFINE_FIELDS = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
_FIELDS = {"dimensions", "affineTransform", "crsCode", "crsWkt"}


class BadGrid(ValueError):
    """A grid that Earth Engine, or this emulator, would refuse."""


@dataclass(frozen=True)
class Grid:
    """Pixels of an answer: `transform` takes (column, row) to coordinates of `crs`."""

    crs: str
    transform: Affine
    width: int
    height: int

    def corner(self) -> Grid:
        """Its first pixel alone: enough to learn the names and types of bands."""
        return Grid(self.crs, self.transform, 1, 1)

    def window(self, column: int, row: int, width: int, height: int) -> Grid:
        """Part of it, cut at its own right and lower edge."""
        return Grid(
            self.crs,
            self.transform * Affine.translation(column, row),
            min(width, self.width - column),
            min(height, self.height - row),
        )


def grid_of(message: dict[str, Any] | None) -> Grid:
    """Grid of a PixelGrid message, as `computePixels` and `image:export` take it.

    Raises:
        BadGrid: It is missing, has unknown fields or lacks one (the service itself would then fall back on
            the image's own grid, which no caller of this emulator should rely on).
    """
    if not message:
        raise BadGrid("The emulator answers pixels only on an explicit grid, and this request has none.")
    if unknown := set(message) - _FIELDS:
        raise BadGrid(
            f"Invalid JSON payload received. Unknown name \"{min(unknown)}\" at 'grid': Cannot find field."
        )
    crs = message.get("crsCode") or message.get("crsWkt")
    size, affine = message.get("dimensions", {}), message.get("affineTransform", {})
    if not crs or not affine or not size:
        raise BadGrid("The emulator needs dimensions, affineTransform and crsCode (or crsWkt) in a grid.")
    if unknown := set(affine) - set(_AFFINE_FIELDS) | set(size) - {"width", "height"}:
        raise BadGrid(
            f"Invalid JSON payload received. Unknown name \"{min(unknown)}\" at 'grid': Cannot find field."
        )
    width, height = int(size.get("width", 0)), int(size.get("height", 0))
    if width < 1 or height < 1:
        raise BadGrid(f"Pixel grid dimensions ({width}x{height}) must be positive.")
    return Grid(crs, Affine(*(float(affine.get(name, 0)) for name in _AFFINE_FIELDS)), width, height)
