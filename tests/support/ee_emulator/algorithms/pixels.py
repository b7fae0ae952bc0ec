"""Bands computed from bands: the parts of which image algorithms are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import Reader, shape_of
from tests.support.ee_emulator.values import WGS84, Band, EmulatorError, Footprint, Image, Pixels

Unary = Callable[[NDArray[Any]], NDArray[Any]]
Binary = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]

UINT8, INT32, INT64 = np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.int64)
FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def constant_band(value: float, name: str = "constant") -> Band:
    """The same value everywhere, of the smallest type that holds it."""
    array = np.array(value, constant_type(value))
    full = np.array(True)

    def compute(reader: Reader, grid: Grid) -> Pixels:
        shape = shape_of(grid)
        return Pixels(np.broadcast_to(array, shape), np.broadcast_to(full, shape))

    return Band(name, array.dtype, compute)


def array_band(array: NDArray[Any], name: str = "constant") -> Band:
    """The same array everywhere."""
    full = np.array(True)

    def compute(reader: Reader, grid: Grid) -> Pixels:
        shape = shape_of(grid)
        return Pixels(np.broadcast_to(array, (*shape, *array.shape)), np.broadcast_to(full, shape))

    return Band(name, array.dtype, compute, dimensions=array.ndim)


def constant_type(value: float) -> np.dtype[Any]:
    """Doubles for numbers with a point, else an integer of 32 bits, or 64 where needed."""
    if isinstance(value, float):
        return DOUBLE
    return INT32 if -(2**31) <= int(value) < 2**31 else INT64


def mapped_band(band: Band, function: Unary, dtype: np.dtype[Any]) -> Band:
    """A function of the values; the mask stays."""

    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels = reader.read(band, grid)
        with np.errstate(all="ignore"):
            values = function(pixels.values)
        return Pixels(values.astype(dtype, copy=False), pixels.mask)

    return Band(band.name, dtype, compute, band.projection, dimensions=band.dimensions)


def combined_band(left: Band, right: Band, function: Binary, dtype: np.dtype[Any], name: str) -> Band:
    """A function of two bands, valid where both are; a number meets each element of an array."""
    if left.dimensions and right.dimensions and left.dimensions != right.dimensions:
        raise EmulatorError(
            f"Arrays of {left.dimensions} and {right.dimensions} dimensions cannot be combined."
        )
    dimensions = max(left.dimensions, right.dimensions)

    def compute(reader: Reader, grid: Grid) -> Pixels:
        one, two = reader.read(left, grid), reader.read(right, grid)
        ones, twos = _of_dimensions(one.values, dimensions), _of_dimensions(two.values, dimensions)
        if left.dimensions and right.dimensions and ones.shape != twos.shape:
            raise EmulatorError(
                f"Arrays of the lengths {list(ones.shape[2:])} and {list(twos.shape[2:])} cannot be combined."
            )
        with np.errstate(all="ignore"):
            values = function(ones, twos)
        return Pixels(values.astype(dtype, copy=False), one.mask & two.mask)

    return Band(name, dtype, compute, shared_projection(left, right), dimensions=dimensions)


def _of_dimensions(values: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """Values with axes of one element for arrays, where they are numbers."""
    missing = 2 + dimensions - values.ndim
    return values.reshape(*values.shape, *[1] * missing) if missing else values


def masked_band(band: Band, mask: Band) -> Band:
    """A band under the mask that another's values make: valid where they are and are not 0."""
    if mask.dimensions:
        raise EmulatorError("The emulator knows masks of numbers, this one has arrays.")

    def compute(reader: Reader, grid: Grid) -> Pixels:
        new = reader.read(mask, grid)
        valid = new.mask & as_mask(new.values)
        if not valid.any() and not band.dimensions:  # nothing below has to be computed
            return Pixels(np.broadcast_to(np.zeros((), band.dtype), shape_of(grid)), valid)
        pixels = reader.read(band, grid)
        return Pixels(pixels.values, pixels.mask & valid)

    return Band(band.name, band.dtype, compute, band.projection, band.shape, band.dimensions)


def as_mask(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Values as a mask.

    Raises:
        EmulatorError: One lies between 0 and 1; the emulator knows no pixels that are partly valid.
    """
    if values.dtype.kind == "f" and ((values > 0) & (values < 1)).any():
        raise EmulatorError("The emulator knows masks of 0 and 1 only; this one has values between.")
    return values > 0


def mask_of(band: Band) -> Band:
    """The mask of a band as values 0 and 1, valid everywhere."""

    def compute(reader: Reader, grid: Grid) -> Pixels:
        mask = reader.read(band, grid).mask
        return Pixels(mask.view(np.uint8) if mask.flags.c_contiguous else mask.astype(np.uint8), _full(grid))

    return Band(band.name, UINT8, compute, band.projection)


def _full(grid: Grid) -> NDArray[np.bool_]:
    return np.broadcast_to(np.array(True), shape_of(grid))


def mosaic_band(bands: Sequence[Band], dtype: np.dtype[Any]) -> Band:
    """The last valid pixel of several bands."""

    def compute(reader: Reader, grid: Grid) -> Pixels:
        values = np.zeros(shape_of(grid), dtype)
        valid = np.zeros(shape_of(grid), bool)
        for band in reversed(bands):
            pixels = reader.read(band, grid)
            new = pixels.mask & ~valid
            np.copyto(values, pixels.values, where=new, casting="unsafe")
            valid |= new
            if valid.all():
                break
        return Pixels(values, valid)

    return Band(bands[0].name, dtype, compute)


def stacked_bands(bands: Sequence[Band], reducer: Any, names: Sequence[str]) -> list[Band]:
    """What a reducer makes of several bands: one band an output, computed together."""
    source = union_type(band.dtype for band in bands)
    made = [reducer.dtype(source)] * len(names)

    def stack(reader: Reader, grid: Grid) -> list[Pixels]:
        pixels = [reader.read(band, grid) for band in bands]
        results = reducer.stacked([one.values for one in pixels], [one.mask for one in pixels])
        return [Pixels(values.astype(made[0], copy=False), mask) for values, mask in results]

    return [
        Band(name, made[place], lambda reader, grid, place=place: stack(reader, grid)[place])
        for place, name in enumerate(names)
    ]


def union_type(dtypes: Iterable[np.dtype[Any]]) -> np.dtype[Any]:
    """The type that holds the values of all; integers and floats make floats."""
    found = list(dtypes)
    kinds = {dtype.kind for dtype in found}
    if "f" in kinds and DOUBLE not in found:
        return FLOAT
    return np.result_type(*found)


def arithmetic_type(left: np.dtype[Any], right: np.dtype[Any]) -> np.dtype[Any]:
    """A type in which integers do not overflow."""
    union = union_type([left, right])
    if union.kind == "f":
        return union
    return INT32 if union.itemsize <= 2 else INT64


def shared_projection(left: Band, right: Band) -> Any:
    """Default projection of a band computed from two: that of the left, unless it has none of its own."""
    return left.projection if left.projection != WGS84 else right.projection


def paired(left: Image, right: Image, name: str) -> list[tuple[Band, Band, str]]:
    """Bands of two images that belong together, and the name of what they make.

    Raises:
        EmulatorError: Their numbers differ and neither has one band.
    """
    ones, twos = left.bands, right.bands
    if not ones or not twos:
        raise EmulatorError(
            f"{name}: If one image has no bands, the other must also have no bands. Got "
            f"{len(ones)} and {len(twos)}."
        )
    if len(twos) == 1:
        return [(band, twos[0], band.name) for band in ones]
    if len(ones) == 1:
        return [(ones[0], band, band.name) for band in twos]
    if len(ones) != len(twos):
        raise EmulatorError(
            f"{name}: the images must have the same number of bands, or one of them one band. "
            f"Got {len(ones)} and {len(twos)}."
        )
    if set(left.names) == set(right.names):
        by_name = {band.name: band for band in twos}
        return [(band, by_name[band.name], band.name) for band in ones]
    return [(one, two, one.name) for one, two in zip(ones, twos, strict=True)]


def renamed(band: Band, name: str) -> Band:
    """The same band under another name."""
    return band if band.name == name else replace(band, name=name)


def union_footprint(footprints: Sequence[Footprint | None]) -> Footprint | None:
    """Where any of several images reaches; everywhere if one does."""
    import shapely

    if any(one is None for one in footprints):
        return None
    known = [one for one in footprints if one is not None]
    if len(known) <= 1:
        return known[0] if known else nowhere()

    def inside(grid: Grid) -> NDArray[np.bool_]:
        return np.logical_or.reduce([one.inside(grid) for one in known])

    return Footprint(shapely.union_all([one.shape for one in known]), inside)


def nowhere() -> Footprint:
    """The footprint of nothing."""
    import shapely

    return Footprint(shapely.Polygon(), lambda grid: np.zeros(shape_of(grid), bool))
