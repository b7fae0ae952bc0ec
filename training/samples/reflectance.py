"""Stored reflectance: the scale of a file's values, and whether they look like what they claim to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import BANDS, NODATA, REFLECTANCE_SCALE, VALID_MAX, VALID_MIN
from gee_pipeline.errors import InputError

LEAST_MAXIMUM: Final = 100
"""A whole file of crops whose largest value stays below reflectance 0.01 is not scaled by 10,000."""

BASELINE_OFFSET: Final = 1_000
"""What ESA's products since processing baseline 04.00 (January 2022) add to stored reflectance."""

_FEW: Final = 200
"""Observations from which the distribution of a band says something."""
_FEW_SAMPLES: Final = 20
"""Green samples from which the order of bands can be checked."""
_GREEN: Final = 0.5
"""NDVI of a canopy that covers most of the ground."""
_BARE: Final = (0.05, 0.25)
"""NDVI of bare soil."""

OTHER_ORDERS: Final[tuple[tuple[str, ...], ...]] = (
    ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
    ("B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A"),
    ("B4", "B3", "B2", "B8", "B5", "B6", "B7", "B8A", "B11", "B12"),
    ("B4", "B3", "B2", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
)
"""Orders that files of the ten bands have elsewhere: by wavelength number, alphabetical, red first."""


def to_stored(values: NDArray[Any], scale: float | None, offset: float | None) -> NDArray[Any]:
    """Values as reflectance x 10,000, unrounded; the values themselves where nothing changes.

    Args:
        values: As a file stores them, without gaps, or with NaN in gaps.
        scale: Value of reflectance 1; None is 10,000.
        offset: Value of reflectance 0; None is 0.

    Raises:
        InputError: The scale is not above the offset.
    """
    zero, one = offset or 0.0, REFLECTANCE_SCALE if scale is None else scale
    if not (np.isfinite(zero) and np.isfinite(one) and one > 0):
        raise InputError(f"A scale is above 0, got --scale {one:g} --offset {zero:g}. Try --scale 10000.")
    if not zero and one == REFLECTANCE_SCALE:
        return values
    return (values.astype(np.float64) - zero) * (REFLECTANCE_SCALE / one)


def outside_range(values: NDArray[Any]) -> NDArray[np.bool_]:
    """True where reflectance x 10,000 cannot be stored; NaN is not outside."""
    return (values < VALID_MIN) | (values > VALID_MAX)


def rounded(values: NDArray[Any]) -> NDArray[np.int16]:
    """Halves up; values must lie in the range."""
    whole = np.floor(values + 0.5) if values.dtype.kind == "f" else values
    return whole.astype(np.int16)


def require_scale(owner: str, largest: float, scale: float | None) -> None:
    """Refuse values that are too small for reflectance x 10,000.

    Args:
        owner: What holds the values, for the message.
        largest: The largest of all values, after scaling.
        scale: What the caller gave.

    Raises:
        InputError: The largest value is below reflectance 0.01.
    """
    if largest < LEAST_MAXIMUM:
        given = "" if scale is None else f" with --scale {scale:g}"
        raise InputError(
            f"{owner} must hold reflectance x {REFLECTANCE_SCALE:,}, but its largest value{given} is "
            f"{largest:g}, as if it held reflectance 0 to 1. Multiply it by {REFLECTANCE_SCALE:,}, or say "
            "what it stores for reflectance 1: --scale 1 (--scale 100 for percent)."
        )


def require_no_offset(owner: str, series: NDArray[np.int16], bands: Sequence[str]) -> None:
    """Refuse series that look as if the offset of ESA's newer products had not been subtracted.

    Blue and red reflectance of fields lies below 0.1 in many observations; where 99 of 100 lie above
    0.1 in both, the offset is still there, or all is cloud and snow. A file that was half corrected, or of
    bright desert soil alone, cannot be checked.

    Args:
        owner: What holds the series, for the message.
        series: `(sample, band, bin)`, gaps nodata.
        bands: Names of the rows.

    Raises:
        InputError: Blue and red are that bright.
    """
    dark = [_observed(series, bands, band) for band in ("B2", "B4") if band in bands]
    if len(dark) == 2 and len(dark[0]) >= _FEW and min(np.percentile(dark, 1, axis=1)) >= BASELINE_OFFSET:
        raise InputError(
            f"{owner} has blue and red reflectance above 0.1 in 99 of 100 observations, as if the offset of "
            f"{BASELINE_OFFSET:,} that products since 2022 carry were still in it. Take it off with "
            f"--offset {BASELINE_OFFSET}; if the values are right, say --offset 0."
        )


def require_band_order(path: Path, series: NDArray[np.int16], bands: Sequence[str]) -> None:
    """Refuse series whose rows fit fields in another known order of the ten bands, and not in ours.

    Seen are the orders of `OTHER_ORDERS`, in files with enough green samples. Two bands that look alike, such
    as B7 and B8, can change places unseen, and so can all bands of fields that were never green.

    Args:
        path: The file, for the message.
        series: `(sample, band, bin)`, gaps nodata.
        bands: The order that is expected.

    Raises:
        InputError: Naming the order that the series seem to have.
    """
    if set(bands) != set(BANDS) or _fits(series, bands):
        return
    for order in OTHER_ORDERS:
        if order != tuple(bands) and _fits(series, order):
            raise InputError(
                f"{path}: key fea must hold the bands in the order {', '.join(bands)}, but the fields in it "
                f"look as if the order were {', '.join(order)}. Put its rows in order."
            )


def _fits(series: NDArray[np.int16], order: Sequence[str]) -> bool:
    """Whether enough samples were green once, and canopies and soil look like it in an order of bands."""
    row = {band: place for place, band in enumerate(order)}
    ndvi = _ndvi(series[:, row["B8"]], series[:, row["B4"]])
    best = ndvi.argmax(axis=1)
    green = np.flatnonzero(ndvi.max(axis=1, initial=-1) >= _GREEN)
    if len(green) < _FEW_SAMPLES:
        return False
    canopy = dict(zip(order, np.median(series[green, :, best[green]], axis=0).tolist(), strict=True))
    return _is_canopy(canopy) and _is_soil(series, row)


def _ndvi(near: NDArray[np.int16], red: NDArray[np.int16]) -> NDArray[np.float32]:
    """`(sample, bin)`; -1 in gaps and in shadows."""
    n, r = near.astype(np.float32), red.astype(np.float32)
    known = (n > 0) & (r > 0)
    return np.where(known, (n - r) / np.where(known, n + r, 1), np.float32(-1))


def _is_canopy(band: Mapping[str, float]) -> bool:
    """A canopy reflects more green than blue and red, far more beyond the red edge (B6, B7) than on it (B5),
    about as much in B8A as in B8, and less at 1.6 and still less at 2.2 micrometres (B11, B12)."""
    return (
        band["B3"] > max(band["B2"], band["B4"])
        and band["B5"] > band["B4"]
        and band["B6"] > 1.3 * band["B5"]
        and band["B7"] > 0.95 * band["B6"]
        and 0.75 < band["B8A"] / band["B8"] < 1.33
        and band["B8A"] > 1.1 * band["B11"] > 1.2 * band["B12"]
    )


def _is_soil(series: NDArray[np.int16], row: Mapping[str, int]) -> bool:
    """Bare soil reflects more red than blue; True also where too little of it is seen."""
    near, red, blue = (series[:, row[band]] for band in ("B8", "B4", "B2"))
    ndvi = _ndvi(near, np.maximum(red, blue))  # the same soil, whichever of the two is red
    bare = (ndvi > _BARE[0]) & (ndvi < _BARE[1])
    return bool(bare.sum() < _FEW or np.median(red[bare]) > np.median(blue[bare]))


def _observed(series: NDArray[np.int16], bands: Sequence[str], band: str) -> NDArray[np.int16]:
    values = series[:, list(bands).index(band)]
    return values[values != NODATA]
