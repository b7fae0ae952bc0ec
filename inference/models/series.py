"""From composites to the model's input: the one place, used in training and in mapping."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

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

_RED: Final = "B4"
_NEAR: Final = "B8"

_BLOCK: Final = 128
"""Pixels whose gaps are filled together: the season of ten bands stays in the cache."""


def pixel_series(values: NDArray[np.int16], keep: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Series `(pixel, band, bin)` of the kept pixels, in row order; gaps stay nodata.

    In memory a band of a bin stays in one piece, pixel after pixel, as the composite has it: filling gaps is
    fastest so, and where all pixels are kept nothing is copied.

    Args:
        values: Composite `(bin, band, y, x)`.
        keep: Mask `(y, x)`, True for the pixels wanted.

    Raises:
        InputError: The mask has another shape than the composite.
    """
    bins, bands, *shape = values.shape
    if keep.shape != tuple(shape):
        raise InputError(f"A mask must have the shape of its composite {tuple(shape)}, got {keep.shape}.")
    planes = values.reshape(bins, bands, -1)
    kept = planes if keep.all() else planes.take(np.flatnonzero(keep), axis=2)
    return kept.transpose(2, 1, 0)


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
    for part, values in _blocks(series):
        _fill(values, _ends(groups, bands), one, zero, filled[part])
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
    for part, values in _blocks(series):
        if not _fill_whole(values, _ends(groups, series.shape[1]), filled[part]):
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
    for part, values in _blocks(series):
        _fill(values, _ends(recipe.group_sizes, bands), scale, offset, filled[part, 0])
    return filled


def has_ndvi(recipe: Recipe) -> bool:
    """Whether series of a recipe have a red and a near-infrared band."""
    return {_RED, _NEAR} <= set(recipe.bands)


def greenness(series: NDArray[np.int16], recipe: Recipe) -> NDArray[np.float32]:
    """`(pixel, bin)`: NDVI = (B8 - B4) / (B8 + B4) of series whose gaps are filled as by `fill_gaps`.

    NaN as `ndvi_of` says.

    Args:
        series: `(pixel, band, bin)` as stored, nodata in the gaps.
        recipe: Of the series; it has both bands.
    """
    return ndvi_of(fill_gaps(series, recipe.group_sizes), recipe)


def ndvi_of(values: NDArray[np.float32] | NDArray[np.int16], recipe: Recipe) -> NDArray[np.float32]:
    """`(pixel, bin)`: NDVI of values without gaps, or where there are some to be left out.

    NaN where the sum of the two bands is not positive, as over dark water: there is no ratio then.

    Args:
        values: `(pixel, band, bin)`.
        recipe: Which bands these are; it has both.
    """
    near, red = (values[:, recipe.bands.index(band)].astype(np.float32, copy=False) for band in (_NEAR, _RED))
    total = near + red
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, (near - red) / total, np.float32(np.nan))


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


def _blocks(series: NDArray[np.int16]) -> Iterator[tuple[slice, NDArray[np.int16]]]:
    """Pixels that fit the cache together, and their series `(bin, band, pixel)`."""
    for start in range(0, len(series), _BLOCK):
        part = slice(start, start + _BLOCK)
        yield part, np.ascontiguousarray(series[part].transpose(2, 1, 0))


@kernel
def _fill(values: Any, ends: Any, scale: Any, offset: Any, out: Any) -> None:
    """`out = scale * filled + offset` of a block, `(pixel, band, bin)`; neighbours are found once a group."""
    bins, _, pixels = values.shape
    shape = bins, pixels
    seen, left, right = np.empty(shape, np.int16), np.empty(shape, np.int16), np.empty(shape, np.int16)
    before, after = np.empty_like(values), np.empty_like(values)
    share, filled = np.empty(shape, np.float32), np.empty(shape, np.float32)
    first = 0
    for end in ends:
        _mark_observed(values, first, end, seen)
        _neighbours(seen, left, right)
        for t in range(bins):
            _shares(t, left[t], right[t], share[t])
        _values_around(values, first, end, seen, before, after)
        for b in range(first, end):
            for t in range(bins):
                _interpolate(before[t, b], after[t, b], share[t], scale[b], offset[b], filled[t])
            for i in range(pixels):
                for t in range(bins):
                    out[i, b, t] = filled[t, i]
        first = end


@kernel
def _fill_whole(values: Any, ends: Any, out: Any) -> bool:
    """`out = floor(filled + 1/2)`, exact, as shares in 32 bits are not; False where nothing is observed."""
    bins, _, pixels = values.shape
    shape = bins, pixels
    seen, left, right = np.empty(shape, np.int16), np.empty(shape, np.int16), np.empty(shape, np.int16)
    before, after = np.empty_like(values), np.empty_like(values)
    first = 0
    for end in ends:
        _mark_observed(values, first, end, seen)
        _neighbours(seen, left, right)
        if (left[0] < 0).any() and (right[0][left[0] < 0] < 0).any():
            return False
        _values_around(values, first, end, seen, before, after)
        for b in range(first, end):
            for t in range(bins):
                for i in range(pixels):
                    gone, length = np.int64(t) - left[t, i], np.int64(right[t, i]) - left[t, i]
                    rise = np.int64(after[t, b, i]) - before[t, b, i]
                    between = left[t, i] >= 0 and length > 0
                    step = (2 * gone * rise + length) // (2 * length) if between else 0
                    out[i, b, t] = before[t, b, i] + step
        first = end
    return True


@kernel
def _mark_observed(values: Any, first: Any, end: Any, seen: Any) -> None:
    """-1, all bits set, where every band of a group is observed, else 0."""
    seen[:] = -1
    for t in range(len(values)):
        for b in range(first, end):
            _keep_observed(values[t, b], seen[t])


@kernel
def _keep_observed(values: Any, seen: Any) -> None:
    for i in range(len(values)):
        seen[i] &= -np.int16(values[i] != NODATA)


@kernel
def _neighbours(seen: Any, left: Any, right: Any) -> None:
    """The observed bins about each bin `(bin, pixel)`, itself where observed; -1 where there is none."""
    bins = len(seen)
    last = np.full(seen.shape[1], -1, np.int16)
    for t in range(bins):
        _carry_bin(t, seen[t], last, left[t])
    last[:] = -1
    for k in range(bins):
        _carry_bin(bins - 1 - k, seen[bins - 1 - k], last, right[bins - 1 - k])


@kernel
def _carry_bin(t: Any, seen: Any, last: Any, out: Any) -> None:
    for i in range(len(out)):
        last[i] = (np.int16(t) & seen[i]) | (last[i] & ~seen[i])
        out[i] = last[i]


@kernel
def _values_around(values: Any, first: Any, end: Any, seen: Any, before: Any, after: Any) -> None:
    """The values of the neighbours of each bin `(bin, band, pixel)`; at the ends both are the nearest.

    Bin by bin, not band by band: no row waits for the one that was just written.
    """
    bins = len(values)
    last = np.full(values.shape[1:], NODATA, np.int16)
    for t in range(bins):
        for b in range(first, end):
            _carry(values[t, b], seen[t], last[b], before[t, b])
    last[:] = NODATA
    for k in range(bins):
        t = bins - 1 - k
        for b in range(first, end):
            _carry(values[t, b], seen[t], last[b], after[t, b])
            _complete(before[t, b], after[t, b])


@kernel
def _carry(values: Any, seen: Any, last: Any, out: Any) -> None:
    for i in range(len(out)):
        last[i] = (values[i] & seen[i]) | (last[i] & ~seen[i])
        out[i] = last[i]


@kernel
def _complete(before: Any, after: Any) -> None:
    for i in range(len(before)):
        early, late = before[i], after[i]
        before[i] = late if early == NODATA else early
        after[i] = early if late == NODATA else late


@kernel
def _shares(t: Any, left: Any, right: Any, share: Any) -> None:
    """How far along a bin lies between its neighbours; 0 at the ends and where it is observed."""
    for i in range(len(share)):
        between = (left[i] >= 0) & (right[i] > left[i])
        gone, length = np.float32(t - left[i]), np.float32(right[i] - left[i])
        share[i] = gone / length if between else np.float32(0)


@kernel
def _interpolate(before: Any, after: Any, share: Any, scale: Any, offset: Any, out: Any) -> None:
    for i in range(len(out)):
        start = np.float32(before[i])
        value = (start + (np.float32(after[i]) - start) * share[i]) * scale + offset
        out[i] = np.float32(math.nan) if before[i] == NODATA else value
