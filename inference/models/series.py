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
    from inference.models.networks.normalisation import Normalisation


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


def fill_gaps_whole(series: NDArray[np.int16]) -> NDArray[np.int16]:
    """The series of `fill_gaps` in whole numbers, `(pixel, band, bin)`; exact halves are rounded up.

    Args:
        series: `(pixel, band, bin)`; a bin with nodata in any band is a gap of all bands.

    Raises:
        AssertionError: A series has no observation; leave such pixels out before.
    """
    filled = np.empty(series.shape, np.int16)
    if not _fill_whole(np.ascontiguousarray(series), filled):
        raise AssertionError("a series without any observation cannot be filled")
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
    scale, offset = scaling(normalisation)
    if len(scale) != bands:
        raise MismatchError(f"The model takes {len(scale)} bands, the series have {bands}. Use its recipe.")
    filled = np.empty((pixels, 1, bands, bins), np.float32)
    _fill(np.ascontiguousarray(series), scale, offset, filled[:, 0])
    return filled


def scaling(normalisation: Normalisation) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factor and then offset of each band, `(band,)` each, from reflectance x 10,000 to the model's input."""
    mean, std = np.asarray(normalisation.mean), np.asarray(normalisation.std)
    return (1 / (REFLECTANCE_SCALE * std)).astype(np.float32), (-mean / std).astype(np.float32)


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
def _fill(series: Any, scale: Any, offset: Any, out: Any) -> None:
    """`out = scale * filled + offset`, band by band; the places of the gaps are found once a pixel."""
    pixels, bands, bins = series.shape
    seen = np.empty(bins, np.bool_)
    left, right = np.empty(bins, np.uint32), np.empty(bins, np.uint32)
    share = np.empty(bins, np.float32)
    for i in range(pixels):
        _observed(series[i], seen)
        if not _neighbours(seen, left, right, share):
            out[i] = math.nan
            continue
        for b in range(bands):
            values, result = series[i, b], out[i, b]
            for t in range(bins):
                before, after = np.float32(values[left[t]]), np.float32(values[right[t]])
                result[t] = (before + (after - before) * share[t]) * scale[b] + offset[b]


@_kernel
def _fill_whole(series: Any, out: Any) -> bool:
    """`out = floor(filled + 1/2)`, exact, as shares in 32 bits are not; False where nothing is observed."""
    pixels, bands, bins = series.shape
    seen = np.empty(bins, np.bool_)
    left, right = np.empty(bins, np.uint32), np.empty(bins, np.uint32)
    share = np.empty(bins, np.float32)
    for i in range(pixels):
        _observed(series[i], seen)
        if not _neighbours(seen, left, right, share):
            return False
        for b in range(bands):
            for t in range(bins):
                before, after = np.int64(series[i, b, left[t]]), np.int64(series[i, b, right[t]])
                gone, length = np.int64(t) - np.int64(left[t]), np.int64(right[t]) - np.int64(left[t])
                rise = (2 * gone * (after - before) + length) // (2 * length) if length else 0
                out[i, b, t] = before + rise
    return True


@_kernel
def _observed(one: Any, seen: Any) -> None:
    """Whether every band of a series `(band, bin)` is observed, bin by bin."""
    seen[:] = True
    for b in range(one.shape[0]):
        for t in range(one.shape[1]):
            seen[t] &= one[b, t] != NODATA


@_kernel
def _neighbours(seen: Any, left: Any, right: Any, share: Any) -> bool:
    """The observed bins about each bin and its share of the way between them; False where none is observed.

    An observed bin is its own neighbour on both sides, a bin before the first or after the last has the same
    neighbour twice.
    """
    done = 0  # bins that have their neighbours
    for t in range(len(seen)):
        if seen[t]:
            before = done - 1 if done else t
            for gap in range(done, t):
                left[gap], right[gap] = before, t
                share[gap] = np.float32(gap - before) / np.float32(t - before) if done else 0
            left[t], right[t], share[t] = t, t, 0
            done = t + 1
    for gap in range(done, len(seen)):
        left[gap], right[gap], share[gap] = done - 1, done - 1, 0
    return done > 0
