"""Codes that a map has besides those of its classes."""

from __future__ import annotations

from typing import Final

OUTSIDE: Final = 0
"""Code of pixels outside the area: the map's nodata."""

NOT_CROPLAND: Final = 254
"""Code of pixels that a cropland mask leaves out."""

NOT_ENOUGH: Final = 255
"""Code of pixels with too few observed bins to classify."""

NONE: Final = 255
"""Confidence and clear observations of pixels that have none."""

MOST_CLEAR: Final = 254
"""Most observed bins that a map can say: 255 is no value."""
