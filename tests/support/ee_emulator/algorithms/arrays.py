# ruff: noqa: N803 (arguments are named by Google)
"""Images whose pixels are arrays: made, reduced, taken apart. All pixels of a band have the same lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.ee_emulator.algorithms import reducing
from tests.support.ee_emulator.algorithms.image_math import mapped_image
from tests.support.ee_emulator.algorithms.pixels import (
    DOUBLE,
    INT32,
    constant_type,
    paired,
    shared_projection,
    union_type,
)
from tests.support.ee_emulator.algorithms.reducing import Reducer
from tests.support.ee_emulator.algorithms.registry import algorithm, takes_arrays
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import Reader, shape_of
from tests.support.ee_emulator.values import Array, Band, EmulatorError, Image, Pixels, PixelType

takes_arrays(
    "Image.select",
    "Image.rename",
    "Image.addBands",
    "Image.slice",
    "Image.bandNames",
    "Image.mask",
    "Image.updateMask",
    "Image.clamp",
    "Element.set",
    "Element.setMulti",
    "Element.get",
    "Element.copyProperties",
    "Image.copyProperties",
)

PIXEL = 2
"""Axes of values before those of the arrays."""

Change = Callable[[NDArray[Any]], NDArray[Any]]


@algorithm("Array")
def _array(request: Any, values: Any, pixelType: PixelType | None) -> Array:
    if isinstance(values, Array):
        return values if pixelType is None else Array(values.values.astype(pixelType.dtype))
    try:
        found = np.array(values)
    except ValueError as error:
        raise EmulatorError("Array: all lists of one depth must have the same length.") from error
    if found.dtype.kind not in "iuf" or (found.size == 0 and pixelType is None):
        raise EmulatorError(f"Array: numbers or lists of numbers are needed, got {values!r:.60}.")
    kinds = [constant_type(number) for number in found.ravel().tolist()]
    return Array(found.astype(pixelType.dtype if pixelType else union_type(kinds)))


@algorithm("Array.repeat")
def _repeat_array(request: Any, array: Array, axis: int, copies: int) -> Array:
    if not 0 <= axis < array.values.ndim:
        raise EmulatorError(f"Array.repeat: axis {axis} is out of range for {array.values.ndim} dimensions.")
    return Array(np.concatenate([array.values] * copies, axis=axis))


def _changed(band: Band, change: Change, dimensions: int, dtype: np.dtype[Any] | None = None) -> Band:
    """A band whose arrays are changed, all in the same way; the mask stays."""
    made = band.dtype if dtype is None else dtype

    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels = reader.read(band, grid)
        return Pixels(np.asarray(change(pixels.values)).astype(made, copy=False), pixels.mask)

    return Band(band.name, made, compute, band.projection, dimensions=dimensions)


def _require_axis(band: Band, axis: int, name: str) -> None:
    if not 0 <= axis < band.dimensions:
        raise EmulatorError(
            f"{name}: axis {axis} is out of range for arrays of {band.dimensions} dimensions (band "
            f"'{band.name}')."
        )


def _lengths(values: NDArray[Any]) -> tuple[int, ...]:
    return values.shape[PIXEL:]


@algorithm("Image.toArray")
def _to_array(request: Any, image: Image, axis: int) -> Image:
    dimensions = {band.dimensions for band in image.bands}
    if len(dimensions) != 1:
        raise EmulatorError("Image.toArray: the bands must have the same number of dimensions.")
    (inner,) = dimensions
    if not 0 <= axis <= inner:
        raise EmulatorError(f"Image.toArray: axis {axis} must be at least 0 and at most {inner}.")
    dtype = union_type(band.dtype for band in image.bands)

    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels = [reader.read(band, grid) for band in image.bands]
        join = np.stack if axis == inner else np.concatenate
        values = join([one.values for one in pixels], axis=PIXEL + axis)
        return Pixels(values.astype(dtype, copy=False), np.logical_and.reduce([one.mask for one in pixels]))

    band = Band("array", dtype, compute, image.bands[0].projection, dimensions=max(inner, axis + 1))
    return Image((band,), {}, image.footprint)


@algorithm("Image.arrayCat")
def _cat(request: Any, image1: Image, image2: Image, axis: int) -> Image:
    bands = [_joined(one, two, axis, name) for one, two, name in paired(image1, image2, "Image.arrayCat")]
    return Image(tuple(bands), {}, image1.footprint or image2.footprint)


def _joined(one: Band, two: Band, axis: int, name: str) -> Band:
    if one.dimensions != two.dimensions:
        raise EmulatorError("Image.arrayCat: the arrays must have the same number of dimensions.")
    _require_axis(one, axis, "Image.arrayCat")
    dtype = union_type([one.dtype, two.dtype])

    def compute(reader: Reader, grid: Grid) -> Pixels:
        left, right = reader.read(one, grid), reader.read(two, grid)
        values = np.concatenate([left.values, right.values], axis=PIXEL + axis)
        return Pixels(values.astype(dtype, copy=False), left.mask & right.mask)

    return Band(name, dtype, compute, shared_projection(one, two), dimensions=one.dimensions)


@algorithm("Image.arrayReduce")
def _reduce(request: Any, input: Image, reducer: Reducer, axes: list[int], fieldAxis: int | None) -> Image:
    if len(reducer.outputs) != 1 or reducer.inputs != 1 or fieldAxis is not None:
        raise EmulatorError("The emulator reduces arrays with reducers of one input and one output.")

    def reduced(band: Band) -> Band:
        for axis in axes:
            _require_axis(band, axis, "Image.arrayReduce")
        return _changed(
            band, lambda values: _over(reducer, values, axes), band.dimensions, reducer.dtype(band.dtype)
        )

    return mapped_image(input, reduced)


def _over(reducer: Reducer, values: NDArray[Any], axes: Sequence[int]) -> NDArray[Any]:
    """A reducer over some axes, of which one element is left."""
    places = [PIXEL + axis for axis in axes]
    first = np.moveaxis(values, places, range(len(places)))
    stack = first.reshape(-1, *first.shape[len(places) :])
    return np.expand_dims(_all_of(reducer, stack), tuple(sorted(places)))


def _all_of(reducer: Reducer, stack: NDArray[Any]) -> NDArray[Any]:
    """A reducer over the first axis, all of whose values are valid."""
    valid = np.broadcast_to(np.array(True), stack.shape[1:])
    ((result, _),) = reducer.stacked(list(stack), [valid] * len(stack))
    return result


@algorithm("Image.arrayAccum")
def _accum(request: Any, input: Image, axis: int, reducer: Reducer | None) -> Image:
    chosen = reducer or reducing.SUM

    def accumulated(band: Band) -> Band:
        _require_axis(band, axis, "Image.arrayAccum")
        return _changed(
            band, lambda values: _prefixes(chosen, values, axis), band.dimensions, chosen.dtype(band.dtype)
        )

    return mapped_image(input, accumulated)


def _prefixes(reducer: Reducer, values: NDArray[Any], axis: int) -> NDArray[Any]:
    if reducer is reducing.SUM:
        return values.cumsum(axis=PIXEL + axis, dtype=np.float64)
    stack = np.moveaxis(values, PIXEL + axis, 0)
    reduced = [_all_of(reducer, stack[: end + 1]) for end in range(len(stack))]
    return np.stack(reduced, axis=PIXEL + axis)


@algorithm("Image.arrayGet")
def _get(request: Any, image: Image, position: Image) -> Image:
    bands = tuple(_element(band, position.bands) for band in image.bands)
    return Image(bands, {}, image.footprint)


def _element(band: Band, positions: Sequence[Band]) -> Band:
    """The element at a place that may differ from pixel to pixel."""
    if not band.dimensions or len(positions) != band.dimensions or any(one.dimensions for one in positions):
        raise EmulatorError(
            f"Image.arrayGet: arrays of {band.dimensions} dimensions need as many positions, which are "
            f"numbers; got {len(positions)}."
        )

    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels = reader.read(band, grid)
        where = [reader.read(one, grid) for one in positions]
        valid = np.logical_and.reduce([pixels.mask, *(one.mask for one in where)])
        places = [np.where(valid, one.values, 0).astype(np.int64) for one in where]
        for place, length in zip(places, _lengths(pixels.values), strict=True):
            if valid.any() and not (place[valid].min() >= 0 and place[valid].max() < length):
                raise EmulatorError(f"Image.arrayGet: a position is beyond an axis of the length {length}.")
        rows, columns = np.indices(shape_of(grid))
        return Pixels(pixels.values[(rows, columns, *places)], valid)

    return Band(band.name, band.dtype, compute, band.projection)


@algorithm("Image.arrayArgmax")
def _argmax(request: Any, image: Image) -> Image:
    def placed(band: Band) -> Band:
        if not band.dimensions:
            raise EmulatorError(f"Image.arrayArgmax: band '{band.name}' has no arrays.")
        return _changed(band, _first_of_the_greatest, 1, INT32)

    return mapped_image(image, placed)


def _first_of_the_greatest(values: NDArray[Any]) -> NDArray[Any]:
    flat = values.reshape(*values.shape[:PIXEL], -1).argmax(axis=-1)
    return np.stack(np.unravel_index(flat, _lengths(values)), axis=-1)


@algorithm("Image.arrayProject")
def _project(request: Any, input: Image, axes: list[int]) -> Image:
    def projected(band: Band) -> Band:
        for axis in axes:
            _require_axis(band, axis, "Image.arrayProject")
        return _changed(band, lambda values: _kept_axes(values, axes), len(axes))

    return mapped_image(input, projected)


def _kept_axes(values: NDArray[Any], axes: Sequence[int]) -> NDArray[Any]:
    dropped = [axis for axis in range(values.ndim - PIXEL) if axis not in axes]
    if any(_lengths(values)[axis] > 1 for axis in dropped):
        raise EmulatorError("Image.arrayProject: dropped axes must be at most length 1.")
    order = [*range(PIXEL), *(PIXEL + axis for axis in [*axes, *dropped])]
    moved = values.transpose(order)
    return moved.reshape(moved.shape[: PIXEL + len(axes)])


@algorithm("Image.arrayFlatten")
def _flatten(request: Any, image: Image, coordinateLabels: list[Any], separator: str) -> Image:
    if len(image.bands) != 1:
        raise EmulatorError(f"Image.arrayFlatten: one band is needed, got {len(image.bands)}.")
    (band,) = image.bands
    labels = [list(map(str, axis)) for axis in coordinateLabels]
    if len(labels) != band.dimensions:
        raise EmulatorError(
            f"Image.arrayFlatten: arrays of {band.dimensions} dimensions, labels of {len(labels)}."
        )
    wanted = tuple(map(len, labels))
    bands = [
        replace(_changed(band, _at(place, wanted), 0), name=separator.join(names))
        for place, names in zip(np.ndindex(*wanted), product(*labels), strict=True)
    ]
    return Image(tuple(bands), {}, image.footprint)


def _at(place: tuple[int, ...], wanted: tuple[int, ...]) -> Change:
    def element(values: NDArray[Any]) -> NDArray[Any]:
        if (found := _lengths(values)) != wanted:
            raise EmulatorError(
                f"Image.arrayFlatten: arrays of the lengths {list(found)}, labels of {list(wanted)}."
            )
        return values[(slice(None), slice(None), *place)]

    return element


@algorithm("Image.arrayLength")
def _length(request: Any, input: Image, axis: int) -> Image:
    def measured(band: Band) -> Band:
        _require_axis(band, axis, "Image.arrayLength")
        return _changed(band, lambda v: np.full(v.shape[:PIXEL], _lengths(v)[axis]), 0, INT32)

    return mapped_image(input, measured)


@algorithm("Image.arrayLengths")
def _all_lengths(request: Any, input: Image) -> Image:
    def measured(band: Band) -> Band:
        return _changed(
            band, lambda v: np.broadcast_to(_lengths(v), (*v.shape[:PIXEL], v.ndim - PIXEL)), 1, INT32
        )

    return mapped_image(input, measured)


@algorithm("Image.arrayDimensions")
def _dimensions(request: Any, input: Image) -> Image:
    def counted(band: Band) -> Band:
        return _changed(band, lambda v: np.full(v.shape[:PIXEL], band.dimensions), 0, INT32)

    return mapped_image(input, counted)


@algorithm("Image.arrayRepeat")
def _repeat(request: Any, input: Image, axis: int, copies: Image) -> Image:
    def repeated(band: Band) -> Band:
        if axis != band.dimensions:
            _require_axis(band, axis, "Image.arrayRepeat")
        return _with_numbers(
            band, [copies], lambda v, n: _tiled(v, axis, n[0]), max(band.dimensions, axis + 1)
        )

    return mapped_image(input, repeated)


def _tiled(values: NDArray[Any], axis: int, copies: int | None) -> NDArray[Any]:
    wide = np.expand_dims(values, -1) if values.ndim == PIXEL + axis else values
    return np.concatenate([wide] * int(copies or 0), axis=PIXEL + axis)


@algorithm("Image.arraySlice")
def _slice(request: Any, input: Image, axis: int, start: Image | None, end: Image | None, step: int) -> Image:
    def sliced(band: Band) -> Band:
        _require_axis(band, axis, "Image.arraySlice")
        where = (slice(None),) * (PIXEL + axis)
        return _with_numbers(
            band, [start, end], lambda v, n: v[(*where, slice(n[0], n[1], step))], band.dimensions
        )

    return mapped_image(input, sliced)


def _with_numbers(
    band: Band, images: Sequence[Image | None], change: Callable[..., NDArray[Any]], dimensions: int
) -> Band:
    """A band whose arrays are changed by numbers that other images hold, each the same at all pixels."""

    def compute(reader: Reader, grid: Grid) -> Pixels:
        numbers = [None if image is None else _only_number(image, reader, grid) for image in images]
        pixels = reader.read(band, grid)
        return Pixels(change(pixels.values, numbers), pixels.mask)

    return Band(band.name, band.dtype, compute, band.projection, dimensions=dimensions)


def _only_number(image: Image, reader: Reader, grid: Grid) -> int:
    pixels = reader.read(image.bands[0], grid)
    found = np.unique(pixels.values)
    if len(image.bands) != 1 or len(found) != 1 or not pixels.mask.all():
        raise EmulatorError("The emulator knows arrays of the same lengths at all pixels.")
    return int(found[0])


@algorithm("Image.arraySort")
def _sort(request: Any, image: Image, keys: Image | None) -> Image:
    if keys is None:
        return mapped_image(image, lambda band: _changed(band, _sorted, band.dimensions))
    bands = [_sorted_by(one, key, name) for one, key, name in paired(image, keys, "Image.arraySort")]
    return Image(tuple(bands), {}, image.footprint)


def _sorted(values: NDArray[Any]) -> NDArray[Any]:
    return np.sort(values, axis=_long_axis(values), kind="stable")


def _sorted_by(band: Band, key: Band, name: str) -> Band:
    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels, order = reader.read(band, grid), reader.read(key, grid)
        axis = _long_axis(order.values)
        places = np.broadcast_to(np.argsort(order.values, axis=axis, kind="stable"), pixels.values.shape)
        return Pixels(np.take_along_axis(pixels.values, places, axis=axis), pixels.mask & order.mask)

    return Band(name, band.dtype, compute, band.projection, dimensions=band.dimensions)


def _long_axis(values: NDArray[Any]) -> int:
    found = [PIXEL + axis for axis, length in enumerate(_lengths(values)) if length > 1]
    if len(found) > 1:
        raise EmulatorError("Image.arraySort: keys have multiple elements along one axis only.")
    return found[0] if found else PIXEL


@algorithm("Image.arrayTranspose")
def _transpose(request: Any, input: Image, axis1: int, axis2: int) -> Image:
    def transposed(band: Band) -> Band:
        for axis in (axis1, axis2):
            _require_axis(band, axis, "Image.arrayTranspose")
        return _changed(band, lambda values: values.swapaxes(PIXEL + axis1, PIXEL + axis2), band.dimensions)

    return mapped_image(input, transposed)


@algorithm("Image.arrayReshape")
def _reshape(request: Any, image: Image, lengths: Image, dimensions: int) -> Image:
    """Positions keep their order: the last axis runs fastest."""
    (shape,) = lengths.bands
    if shape.dimensions != 1:
        raise EmulatorError("Image.arrayReshape: the lengths are an array of one dimension.")

    def reshaped(band: Band) -> Band:
        def compute(reader: Reader, grid: Grid) -> Pixels:
            pixels, wanted = reader.read(band, grid), reader.read(shape, grid)
            found = np.unique(wanted.values.reshape(-1, wanted.values.shape[-1]), axis=0)
            if len(found) != 1 or found.shape[1] != dimensions or not wanted.mask.all():
                raise EmulatorError(f"Image.arrayReshape: one shape of {dimensions} lengths is needed.")
            try:
                values = pixels.values.reshape(*pixels.values.shape[:PIXEL], *found[0].tolist())
            except ValueError as error:
                was = list(_lengths(pixels.values))
                raise EmulatorError(
                    f"Image.arrayReshape: {was} does not become {found[0].tolist()}."
                ) from error
            return Pixels(values, pixels.mask)

        return Band(band.name, band.dtype, compute, band.projection, dimensions=dimensions)

    return mapped_image(image, reshaped)


@algorithm("Image.matrixMultiply")
def _matrix_multiply(request: Any, image1: Image, image2: Image) -> Image:
    pairs = paired(image1, image2, "Image.matrixMultiply")
    bands = tuple(_product(one, two, name) for one, two, name in pairs)
    return Image(bands, {}, image1.footprint or image2.footprint)


def _product(one: Band, two: Band, name: str) -> Band:
    if (one.dimensions, two.dimensions) != (2, 2):
        raise EmulatorError(
            f"Image.matrixMultiply: arrays of two dimensions are needed, got {one.dimensions} and "
            f"{two.dimensions}."
        )
    dtype = union_type([one.dtype, two.dtype])

    def compute(reader: Reader, grid: Grid) -> Pixels:
        left, right = reader.read(one, grid), reader.read(two, grid)
        (_, inner), (rows, _) = _lengths(left.values), _lengths(right.values)
        if inner != rows:
            raise EmulatorError(f"Image.matrixMultiply: {inner} columns do not meet {rows} rows.")
        return Pixels(np.matmul(left.values, right.values).astype(dtype, copy=False), left.mask & right.mask)

    return Band(name, dtype, compute, shared_projection(one, two), dimensions=2)


@algorithm("Image.arrayDotProduct")
def _dot(request: Any, image1: Image, image2: Image) -> Image:
    from tests.support.ee_emulator.algorithms.pixels import combined_band

    bands = []
    for one, two, name in paired(image1, image2, "Image.arrayDotProduct"):
        if (one.dimensions, two.dimensions) != (1, 1):
            raise EmulatorError("Image.arrayDotProduct: both arrays must have one dimension.")
        both = combined_band(one, two, np.multiply, DOUBLE, name)
        bands.append(_changed(both, lambda values: values.sum(axis=-1), 0))
    return Image(tuple(bands), {}, image1.footprint or image2.footprint)


takes_arrays(
    "Image.toArray",
    "Image.arrayCat",
    "Image.arrayReduce",
    "Image.arrayAccum",
    "Image.arrayGet",
    "Image.arrayArgmax",
    "Image.arrayProject",
    "Image.arrayFlatten",
    "Image.arrayLength",
    "Image.arrayLengths",
    "Image.arrayDimensions",
    "Image.arrayRepeat",
    "Image.arraySlice",
    "Image.arraySort",
    "Image.arrayTranspose",
    "Image.arrayReshape",
    "Image.matrixMultiply",
    "Image.arrayDotProduct",
)
