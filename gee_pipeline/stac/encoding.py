"""Stored numbers of an asset become reflectance x 10,000 or a score."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import REFLECTANCE_SCALE, VALID_MAX, VALID_MIN
from gee_pipeline.stac.assets import BandAsset

_INTEGER_SCALE = 0.0001
"""Reflectance of one step in ESA's products, for whole numbers without a declared scale."""

_ABSURD = 10.0
"""No surface reflects ten times the light; such numbers are undeclared nodata, often 1e20."""


@dataclass(frozen=True)
class Encoding:
    """How numbers become values: ``number * scale + offset``, except for nodata."""

    scale: float
    """Value of one step."""
    offset: float
    """Value of number 0."""
    nodata: float
    """Number without meaning besides NaN; NaN where there is no other."""


def needs_file(asset: BandAsset) -> bool:
    """Whether the file's own type of numbers decides, because the item leaves something out."""
    return asset.nodata is None or (asset.data_type is None and asset.scale is None and asset.offset is None)


def reflectance_encoding(asset: BandAsset, data_type: str, file_nodata: float | None) -> Encoding:
    """What is declared, else ESA's rule for whole numbers and plain reflectance 0 to 1 for fractions.

    Args:
        asset: Band of a scene.
        data_type: Type of its numbers.
        file_nodata: What the file itself declares; the reader has it masked already.
    """
    whole = np.dtype(data_type).kind in "iu"
    nodata = asset.nodata
    if nodata is None and file_nodata is None and whole:
        nodata = 0.0
    if asset.scale is None and asset.offset is None:
        scale, offset = (_INTEGER_SCALE, asset.default_offset) if whole else (1.0, 0.0)
    else:
        scale = 1.0 if asset.scale is None else asset.scale
        offset = asset.offset or 0.0
    return Encoding(scale, offset, float("nan") if nodata is None else nodata)


def plain_encoding(asset: BandAsset) -> Encoding:
    """What is declared, else the numbers as they are: for scores and classes."""
    nodata = float("nan") if asset.nodata is None else asset.nodata
    return Encoding(1.0 if asset.scale is None else asset.scale, asset.offset or 0.0, nodata)


def decode(numbers: NDArray[np.float32], encoding: Encoding) -> NDArray[np.float64]:
    """Values, NaN where there is none."""
    values = numbers * np.float64(encoding.scale) + encoding.offset
    values[numbers == encoding.nodata] = np.nan
    return values


def store_reflectance(
    numbers: NDArray[np.float32], encoding: Encoding, out: NDArray[np.int16], clear: NDArray[np.bool_]
) -> None:
    """Write reflectance x 10,000 into `out`, halves rounded up, and strike invalid pixels from `clear`.

    Args:
        numbers: `(y, x)` as stored, NaN where the file has nodata.
        encoding: How numbers become reflectance.
        out: `(y, x)`, written where valid, clipped to the range that can be stored.
        clear: `(y, x)`, set to False where the number is nodata, not finite or absurd.
    """
    # Rounded so that 0.0001 * 10000 is exactly 1 and no half is lost to binary fractions.
    gain, bias = round(encoding.scale * REFLECTANCE_SCALE, 9), round(encoding.offset * REFLECTANCE_SCALE, 9)
    _store(numbers, gain, bias, encoding.nodata, out, clear)


@numba.njit(nogil=True, cache=True)
def _store(numbers, gain, bias, nodata, out, clear):  # type: ignore[no-untyped-def]
    limit = _ABSURD * REFLECTANCE_SCALE
    for y in range(numbers.shape[0]):
        for x in range(numbers.shape[1]):
            number = np.float64(numbers[y, x])
            value = number * gain + bias
            if number == nodata or not abs(value) <= limit:
                clear[y, x] = False
            else:
                out[y, x] = max(VALID_MIN, min(VALID_MAX, int(np.floor(value + 0.5))))
