"""From composites to the model's input: the one place, used in training and in mapping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA, REFLECTANCE_SCALE
from gee_pipeline.errors import InputError, MismatchError

if TYPE_CHECKING:
    from inference.checkpoint import Normalisation


def pixel_series(values: NDArray[np.int16], keep: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Series `(pixel, band, bin)` of the kept pixels, in row order; gaps stay nodata.

    Args:
        values: Composite `(bin, band, y, x)`.
        keep: Mask `(y, x)`, True for the pixels wanted.

    Raises:
        InputError: The mask has another shape than the composite.
    """
    bins, bands, *shape = values.shape
    if keep.shape != tuple(shape):
        raise InputError(f"A mask must have the shape of its composite {tuple(shape)}, got {keep.shape}.")
    planes = np.ascontiguousarray(values).reshape(bins, bands, -1)
    pixels = np.flatnonzero(keep)
    series = np.empty((len(pixels), bands, bins), np.int16)
    _gather(planes, pixels, series)
    return series


def clear_bins(values: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Number of observed bins of each pixel, `(y, x)`.

    Args:
        values: Composite `(bin, band, y, x)`; a bin counts when every band is observed.
    """
    return (values != NODATA).all(axis=1).sum(axis=0, dtype=np.uint8)


def fill_gaps(series: NDArray[np.int16]) -> NDArray[np.float32]:
    """Series without gaps, `(pixel, band, bin)`, reflectance x 10,000.

    A gap is filled linearly in time between its neighbours; before the first and after the last observation
    the nearest value holds. A series without any observation is NaN throughout.

    Args:
        series: `(pixel, band, bin)`; a bin with nodata in any band is a gap of all bands.
    """
    bands = series.shape[1]
    filled = np.empty(series.shape, np.float32)
    _fill(np.ascontiguousarray(series), np.ones(bands, np.float32), np.zeros(bands, np.float32), filled)
    return filled


def model_input(series: NDArray[np.int16], normalisation: Normalisation) -> NDArray[np.float32]:
    """What CropNet takes, `(pixel, 1, band, bin)`: gaps filled as by `fill_gaps`, reflectance normalised.

    Args:
        series: `(pixel, band, bin)`, reflectance x 10,000, nodata in the gaps. A series without any
            observation becomes NaN: leave such pixels out before.
        normalisation: Mean and standard deviation of the reflectance of each band.

    Raises:
        MismatchError: The series and the normalisation have different numbers of bands.
    """
    pixels, bands, bins = series.shape
    mean, std = np.asarray(normalisation.mean), np.asarray(normalisation.std)
    if len(mean) != bands:
        raise MismatchError(f"The model takes {len(mean)} bands, the series have {bands}. Use its recipe.")
    scale = (1 / (REFLECTANCE_SCALE * std)).astype(np.float32)
    filled = np.empty((pixels, 1, bands, bins), np.float32)
    _fill(np.ascontiguousarray(series), scale, (-mean / std).astype(np.float32), filled[:, 0])
    return filled


def _kernel(function: Any) -> Any:
    """Compiled once, kept on disk, without the interpreter's lock: threads of one worker run side by side."""
    return njit(nogil=True, cache=True)(function)


@_kernel
def _gather(planes: Any, pixels: Any, series: Any) -> None:
    """Transpose `(bin, band, pixel)` to `(pixel, band, bin)` in blocks that stay in the cache."""
    block = 64
    bins, bands, _ = planes.shape
    for start in range(0, len(pixels), block):
        stop = min(start + block, len(pixels))
        for t in range(bins):
            for b in range(bands):
                for i in range(start, stop):
                    series[i, b, t] = planes[t, b, pixels[i]]


@_kernel
def _observed(one: Any, found: Any) -> int:
    """Indices of the bins of a series `(band, bin)` in which every band is observed; their number."""
    count = 0
    for t in range(one.shape[1]):
        clear = True
        for b in range(one.shape[0]):
            clear &= one[b, t] != NODATA
        if clear:
            found[count] = t
            count += 1
    return count


@_kernel
def _fill(series: Any, scale: Any, offset: Any, out: Any) -> None:
    """`out = scale * filled + offset`, band by band; the places of the gaps are found once a pixel."""
    pixels, bands, bins = series.shape
    found = np.empty(bins, np.int64)
    for i in range(pixels):
        count = _observed(series[i], found)
        for b in range(bands):
            if count == 0:
                out[i, b, :] = math.nan
            else:
                _fill_band(series[i, b], found, count, out[i, b])
                for t in range(bins):
                    out[i, b, t] = out[i, b, t] * scale[b] + offset[b]


@_kernel
def _fill_band(values: Any, found: Any, count: int, out: Any) -> None:
    """Linear interpolation of one band between the observed bins, ends extended."""
    first, last = found[0], found[count - 1]
    for t in range(first):
        out[t] = values[first]
    for t in range(last, len(out)):
        out[t] = values[last]
    for k in range(count - 1):
        left, right = found[k], found[k + 1]
        start = np.float32(values[left])
        slope = (np.float32(values[right]) - start) / np.float32(right - left)
        for t in range(left, right):
            out[t] = start + slope * np.float32(t - left)
