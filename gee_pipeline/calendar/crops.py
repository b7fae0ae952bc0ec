"""Which season a crop belongs to; light to import, for options."""

from __future__ import annotations

from typing import Final, Literal

CropSeason = Literal["winter", "summer"]
"""Crops that are sown before the cold or the dry and harvested after it, and crops of one warm season."""

CROPS: Final[dict[str, CropSeason]] = {
    "winter": "winter",
    "wheat": "winter",
    "barley": "winter",
    "rye": "winter",
    "rapeseed": "winter",
    "summer": "summer",
    "maize": "summer",
    "corn": "summer",
    "soybeans": "summer",
    "rice": "summer",
    "cotton": "summer",
    "sunflower": "summer",
    "sorghum": "summer",
    "millet": "summer",
}
"""Seasons and crops that can be asked for; spring cereals are crops of the summer."""
