"""Stored numbers of an asset become what a composite stores, such as reflectance x 10,000, or a score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import VALID_MAX, VALID_MIN
from gee_pipeline.composite import kernel
from gee_pipeline.errors import InputError
from gee_pipeline.sensors import Sensor
from gee_pipeline.stac.assets import BandAsset

_INTEGER_SCALE = 0.0001
"""Reflectance of one step in ESA's products, for whole numbers without a declared scale."""

_ABSURD = {"reflectance": 10.0}
"""By unit: no surface reflects ten times the light; such numbers are undeclared nodata, often 1e20."""

_FINITE = 1e18
"""A number beyond it is undeclared nodata of any sensor."""

_UNDECLARED: Final = (-9999.0, -32768.0)
"""Signed whole numbers that mean nodata where the item and the file declare none."""

_DECIBEL = ("db", "decibel", "decibels")
"""Units by which an item says that its numbers are decibels."""


@dataclass(frozen=True)
class Encoding:
    """How numbers become values: ``number * scale + offset``, except for nodata."""

    scale: float
    """Value of one step."""
    offset: float
    """Value of number 0."""
    nodata: float
    """Number without meaning besides NaN; NaN where there is no other."""
    power: bool = False
    """Whether the values are powers, of which decibels are made: ten times the decimal logarithm."""
    undeclared: bool = False
    """Whether numbers that are commonly nodata are so too, because nothing is declared."""


def needs_file(asset: BandAsset) -> bool:
    """Whether the file's own type of numbers decides, because the item leaves something out."""
    return asset.nodata is None or (asset.data_type is None and asset.scale is None and asset.offset is None)


def band_encoding(asset: BandAsset, sensor: Sensor, data_type: str, file_nodata: float | None) -> Encoding:
    """How the numbers of a sensor's band become values in its unit.

    What is declared counts. Reflectance follows ESA's rule for whole numbers without a scale, and is 0 to 1
    in fractions. Radar is power in fractions, unless its unit is declared as dB.

    Args:
        asset: Band of a scene.
        sensor: Whose band it is.
        data_type: Type of its numbers.
        file_nodata: What the file itself declares; the reader has it masked already.

    Raises:
        InputError: Whole numbers do not say what they mean, as the amplitudes of uncalibrated radar.
    """
    whole = np.dtype(data_type).kind in "iu"
    if sensor.unit == "reflectance":
        return _reflectance_encoding(asset, whole, file_nodata)
    decibels = (asset.unit or "").lower() in _DECIBEL
    if whole and asset.scale is None and asset.offset is None and not decibels:
        raise _meaningless(asset, sensor, data_type)
    nodata = float("nan") if asset.nodata is None else asset.nodata
    scale = 1.0 if asset.scale is None else asset.scale
    return Encoding(scale, asset.offset or 0.0, nodata, sensor.unit == "decibel" and not decibels)


def require_meaning(asset: BandAsset, sensor: Sensor) -> None:
    """Refuse a band of which its item says already that its numbers have no meaning.

    Raises:
        InputError: The scale is impossible, or as `band_encoding`.
    """
    for name, value in (("scale", asset.scale), ("offset", asset.offset)):
        if value is not None and (not math.isfinite(value) or (name == "scale" and value <= 0)):
            raise InputError(
                f"Scale and offset of a band are finite numbers, and the scale is above 0; asset {asset.key} "
                f"({asset.href}) declares the {name} {value:g}. Correct its item (STAC raster extension)."
            )
    if asset.data_type is not None:
        band_encoding(asset, sensor, asset.data_type, None)


def _reflectance_encoding(asset: BandAsset, whole: bool, file_nodata: float | None) -> Encoding:
    nodata = asset.nodata
    if nodata is None and file_nodata is None and whole:
        nodata = 0.0
    if asset.scale is None and asset.offset is None:
        scale, offset = (_INTEGER_SCALE, asset.default_offset) if whole else (1.0, 0.0)
    else:
        scale = 1.0 if asset.scale is None else asset.scale
        offset = asset.offset or 0.0
    undeclared = whole and asset.nodata is None and file_nodata is None
    return Encoding(scale, offset, float("nan") if nodata is None else nodata, undeclared=undeclared)


def _meaningless(asset: BandAsset, sensor: Sensor, data_type: str) -> InputError:
    if sensor.unit == "decibel":
        return InputError(
            f"Radar is read as calibrated power in fractions, or as decibels (unit dB); asset {asset.key} "
            f"({asset.href}) holds whole numbers ({data_type}) without calibration, like the amplitudes of "
            "plain GRD products. Take a calibrated collection such as sentinel-1-rtc, or declare scale and "
            "unit."
        )
    return InputError(
        f"Whole numbers of {sensor.title} must say what they mean; asset {asset.key} ({asset.href}) holds "
        f"{data_type} without a scale. Declare it in the item (STAC raster extension)."
    )


def plain_encoding(asset: BandAsset) -> Encoding:
    """What is declared, else the numbers as they are: for scores and classes."""
    nodata = float("nan") if asset.nodata is None else asset.nodata
    return Encoding(1.0 if asset.scale is None else asset.scale, asset.offset or 0.0, nodata)


def decode(numbers: NDArray[np.float32], encoding: Encoding) -> NDArray[np.float64]:
    """Values, NaN where there is none."""
    values = numbers * np.float64(encoding.scale) + encoding.offset
    values[numbers == encoding.nodata] = np.nan
    return values


def store_values(
    numbers: NDArray[np.float32],
    encoding: Encoding,
    sensor: Sensor,
    out: NDArray[np.int16],
    clear: NDArray[np.bool_],
) -> None:
    """Write values as stored into `out`, halves rounded up, and strike invalid pixels from `clear`.

    Args:
        numbers: `(y, x)` as in the file, NaN where it has nodata.
        encoding: How numbers become values.
        sensor: How values are stored, and which are valid.
        out: `(y, x)`, clipped to the range that can be stored; any number where invalid.
        clear: `(y, x)`, set to False where the number is nodata, not finite or outside the valid range.
    """
    if encoding.undeclared:
        numbers = np.where(np.isin(numbers, _UNDECLARED), np.nan, numbers)
    limit = _ABSURD.get(sensor.unit, _FINITE) * sensor.scale
    low, high = map(float, (-limit, limit) if sensor.valid is None else sensor.stored_range)
    if encoding.power:
        _store(_decibels(numbers, encoding), float(sensor.scale), 0.0, np.nan, low, high, out, clear)
        return
    # Rounded so that 0.0001 * 10000 is exactly 1 and no half is lost to binary fractions.
    gain, bias = (round(value * sensor.scale, 9) for value in (encoding.scale, encoding.offset))
    _store(numbers, gain, bias, encoding.nodata, low, high, out, clear)


def _decibels(numbers: NDArray[np.float32], encoding: Encoding) -> NDArray[np.float64]:
    """Ten times the decimal logarithm of powers; NaN where there is none."""
    power = decode(numbers, encoding)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(power > 0, 10 * np.log10(power), np.nan)


@kernel
def _store(numbers, gain, bias, nodata, low, high, out, clear):  # type: ignore[no-untyped-def]
    """Without a branch, so that several pixels are computed at a time."""
    for y in range(numbers.shape[0]):
        row, target, mask = numbers[y], out[y], clear[y]
        for x in range(numbers.shape[1]):
            number = np.float64(row[x])
            value = number * gain + bias
            valid = (number != nodata) & (low <= value) & (value <= high)
            rounded = np.floor((value if valid else 0.0) + 0.5)
            target[x] = np.int16(np.int32(min(max(rounded, float(VALID_MIN)), float(VALID_MAX))))
            mask[x] = mask[x] & valid
