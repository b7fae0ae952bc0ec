"""From composites to the model's input: the one place, used in training and in mapping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.composite import kernel
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.map_codes import MOST_CLEAR
from gee_pipeline.observations import observed_by_group
from gee_pipeline.recipe import Recipe

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


def clear_bins(values: NDArray[np.int16], groups: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """Number of observed bins of each pixel, `(y, x)`, up to 254; of several groups that of the one with the
    fewest.

    Args:
        values: Composite `(bin, band, y, x)`; a bin counts when every band of a group is observed.
        groups: Number of bands of each group (`Recipe.group_sizes`); None where all belong to one.
    """
    counts = observed_by_group(values, groups).sum(axis=1, dtype=np.uint16).min(axis=0)
    return np.minimum(counts, MOST_CLEAR).astype(np.uint8)


def fill_gaps(series: NDArray[np.int16], groups: Sequence[int] | None = None) -> NDArray[np.float32]:
    """Series without gaps, `(pixel, band, bin)`, in stored units such as reflectance x 10,000.

    A gap is filled linearly in time between its neighbours; before the first and after the last observation
    the nearest value holds. Each group is filled by itself; one without any observation is NaN throughout.

    Args:
        series: `(pixel, band, bin)`; a bin with nodata in any band is a gap of all bands of its group.
        groups: Number of bands of each group (`Recipe.group_sizes`); None where all belong to one.
    """
    bands = series.shape[1]
    filled = np.empty(series.shape, np.float32)
    one, zero = np.ones(bands, np.float32), np.zeros(bands, np.float32)
    _fill(np.ascontiguousarray(series), _ends(groups, bands), one, zero, filled)
    return filled


def fill_gaps_whole(series: NDArray[np.int16], groups: Sequence[int] | None = None) -> NDArray[np.int16]:
    """The series of `fill_gaps` in whole numbers, `(pixel, band, bin)`; exact halves are rounded up.

    Args:
        series: `(pixel, band, bin)`; a bin with nodata in any band is a gap of all bands of its group.
        groups: Number of bands of each group (`Recipe.group_sizes`); None where all belong to one.

    Raises:
        AssertionError: A group of a series has no observation; leave such pixels out before.
    """
    filled = np.empty(series.shape, np.int16)
    if not _fill_whole(np.ascontiguousarray(series), _ends(groups, series.shape[1]), filled):
        raise AssertionError("a series without any observation cannot be filled")
    return filled


def model_input(
    series: NDArray[np.int16], normalisation: Normalisation, recipe: Recipe
) -> NDArray[np.float32]:
    """What a network takes, `(pixel, 1, band, bin)`: gaps filled as by `fill_gaps`, values normalised.

    Args:
        series: `(pixel, band, bin)` as stored, nodata in the gaps. A group of bands without any observation
            becomes NaN: leave such pixels out before.
        normalisation: Mean and standard deviation of each band, in the unit of its sensor.
        recipe: Which bands are observed together, and how their values are stored.

    Raises:
        MismatchError: The series and the recipe have different numbers of bands.
    """
    pixels, bands, bins = series.shape
    if len(recipe.bands) != bands:
        raise MismatchError(
            f"The model takes {len(recipe.bands)} bands, the series have {bands}. Use its recipe."
        )
    scale, offset = scaling(normalisation, recipe)
    filled = np.empty((pixels, 1, bands, bins), np.float32)
    _fill(np.ascontiguousarray(series), _ends(recipe.group_sizes, bands), scale, offset, filled[:, 0])
    return filled


def scaling(normalisation: Normalisation, recipe: Recipe) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factor and then offset of each band, `(band,)` each, from stored values to the model's input.

    Raises:
        MismatchError: They have different numbers of bands.
    """
    mean, std, stored = (np.asarray(v) for v in (normalisation.mean, normalisation.std, recipe.scales))
    if len(std) != len(stored):
        raise MismatchError(
            f"The model normalises {len(std)} bands, its recipe has {len(stored)}: they are not of one file."
        )
    return (1 / (stored * std)).astype(np.float32), (-mean / std).astype(np.float32)


def _ends(groups: Sequence[int] | None, bands: int) -> NDArray[np.int64]:
    """Row after the last of each group."""
    sizes = groups or (bands,)
    if sum(sizes) != bands:
        raise MismatchError(
            f"The groups of bands have {' + '.join(map(str, sizes))} rows, the series {bands}. Use "
            "the recipe that they were made by."
        )
    return np.cumsum(sizes, dtype=np.int64)


@kernel
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


@kernel
def _fill(series: Any, ends: Any, scale: Any, offset: Any, out: Any) -> None:
    """`out = scale * filled + offset`, band by band; the places of the gaps are found once a group."""
    pixels, _, bins = series.shape
    seen = np.empty(bins, np.bool_)
    left, right = np.empty(bins, np.uint32), np.empty(bins, np.uint32)
    share = np.empty(bins, np.float32)
    for i in range(pixels):
        first = 0
        for end in ends:
            _observed(series[i, first:end], seen)
            if _neighbours(seen, left, right, share):
                for b in range(first, end):
                    values, result = series[i, b], out[i, b]
                    for t in range(bins):
                        before, after = np.float32(values[left[t]]), np.float32(values[right[t]])
                        result[t] = (before + (after - before) * share[t]) * scale[b] + offset[b]
            else:
                out[i, first:end] = math.nan
            first = end


@kernel
def _fill_whole(series: Any, ends: Any, out: Any) -> bool:
    """`out = floor(filled + 1/2)`, exact, as shares in 32 bits are not; False where nothing is observed."""
    pixels, _, bins = series.shape
    seen = np.empty(bins, np.bool_)
    left, right = np.empty(bins, np.uint32), np.empty(bins, np.uint32)
    share = np.empty(bins, np.float32)
    for i in range(pixels):
        first = 0
        for end in ends:
            _observed(series[i, first:end], seen)
            if not _neighbours(seen, left, right, share):
                return False
            for b in range(first, end):
                _fill_band(series[i, b], left, right, out[i, b])
            first = end
    return True


@kernel
def _fill_band(values: Any, left: Any, right: Any, out: Any) -> None:
    for t in range(len(values)):
        before, after = np.int64(values[left[t]]), np.int64(values[right[t]])
        gone, length = np.int64(t) - np.int64(left[t]), np.int64(right[t]) - np.int64(left[t])
        rise = (2 * gone * (after - before) + length) // (2 * length) if length else 0
        out[t] = before + rise


@kernel
def _observed(one: Any, seen: Any) -> None:
    """Whether every band of a series `(band, bin)` is observed, bin by bin."""
    seen[:] = True
    for b in range(one.shape[0]):
        for t in range(one.shape[1]):
            seen[t] &= one[b, t] != NODATA


@kernel
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
