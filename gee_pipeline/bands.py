"""The ten Sentinel-2 bands in the order of the matrix rows, their scale and the nodata value."""

from typing import Final

BANDS: Final = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")
"""Order of the matrix rows, everywhere (Tong et al. 2025, CropNet, section 3.1)."""

TRUE_COLOR: Final = ("B4", "B3", "B2")
"""Red, green and blue."""

BRIGHTEST: Final = 0.3
"""Reflectance that is shown white."""

REFLECTANCE_SCALE: Final = 10_000
"""Stored value of reflectance 1.0."""

NODATA: Final = -9999
"""No observation. 0 is a real dark pixel in the harmonised collection, so it cannot mean nodata."""

VALID_MIN: Final = NODATA + 1
VALID_MAX: Final = 32_766
"""Stored reflectance is clipped to VALID_MIN..VALID_MAX; 32767 stays free as a sorting sentinel."""

CLOUD_BANDS: Final = ("score", "flag")
"""What an acquisition says of clouds, after its bands: Cloud Score+, and scene class or flag."""

SCORE_SCALE: Final = 10_000
"""Stored value of a Cloud Score+ of 1."""

PIXEL_SIZE: Final = 10
"""Metres. The 20 m bands are taken at their nearest pixel, without smoothing."""
