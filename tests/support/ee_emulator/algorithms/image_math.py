# ruff: noqa: N803 (arguments are named by Google)
"""Arithmetic, comparisons and casts of images, and of numbers by the same rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from tests.support.ee_emulator.algorithms.pixels import (
    DOUBLE,
    UINT8,
    Binary,
    Unary,
    arithmetic_type,
    combined_band,
    mapped_band,
    paired,
    union_type,
)
from tests.support.ee_emulator.algorithms.registry import algorithm, register_as, takes_arrays
from tests.support.ee_emulator.values import Band, EmulatorError, Image

Rule = Callable[[np.dtype[Any], np.dtype[Any]], np.dtype[Any]]


def _truth(left: np.dtype[Any], right: np.dtype[Any]) -> np.dtype[Any]:
    return UINT8


def _double(left: np.dtype[Any], right: np.dtype[Any]) -> np.dtype[Any]:
    return DOUBLE


def _union(left: np.dtype[Any], right: np.dtype[Any]) -> np.dtype[Any]:
    return union_type([left, right])


def _product_type(left: np.dtype[Any], right: np.dtype[Any]) -> np.dtype[Any]:
    return union_type([left, right, np.dtype(np.int64)])


def _divided(one: NDArray[Any], two: NDArray[Any]) -> NDArray[Any]:
    """Division by 0 gives 0."""
    return np.where(two == 0, 0.0, np.asarray(one, np.float64) / np.where(two == 0, 1, two))


def _remainder(one: NDArray[Any], two: NDArray[Any]) -> NDArray[Any]:
    """The sign is that of the dividend; 0 for a divisor of 0."""
    return np.where(two == 0, 0, np.fmod(one, np.where(two == 0, 1, two)))


def halves_up(values: NDArray[Any]) -> NDArray[Any]:
    """Nearest integers, halves towards plus infinity."""
    return np.floor(values + 0.5) if values.dtype.kind == "f" else values


_BINARY: dict[str, tuple[Binary, Rule]] = {
    "add": (np.add, arithmetic_type),
    "subtract": (np.subtract, arithmetic_type),
    "multiply": (np.multiply, _product_type),
    "divide": (_divided, _double),
    "mod": (_remainder, _union),
    "pow": (lambda one, two: np.power(np.asarray(one, np.float64), two), _double),
    "max": (np.maximum, _union),
    "min": (np.minimum, _union),
    "and": (lambda one, two: (one != 0) & (two != 0), _truth),
    "or": (lambda one, two: (one != 0) | (two != 0), _truth),
    "lt": (np.less, _truth),
    "lte": (np.less_equal, _truth),
    "gt": (np.greater, _truth),
    "gte": (np.greater_equal, _truth),
    "eq": (np.equal, _truth),
    "neq": (np.not_equal, _truth),
    "bitwiseAnd": (np.bitwise_and, _union),
    "bitwiseOr": (np.bitwise_or, _union),
    "rightShift": (np.right_shift, _union),
    "leftShift": (np.left_shift, arithmetic_type),
}

_ARITHMETIC = {"add", "subtract", "multiply", "leftShift"}

_UNARY: dict[str, tuple[Unary, np.dtype[Any] | None]] = {
    "abs": (np.abs, None),
    "floor": (np.floor, None),
    "ceil": (np.ceil, None),
    "round": (halves_up, None),
    "not": (lambda values: values == 0, UINT8),
    "sqrt": (np.sqrt, DOUBLE),
    "log": (np.log, DOUBLE),
    "log10": (np.log10, DOUBLE),
    "exp": (np.exp, DOUBLE),
    "erf": (scipy.special.erf, DOUBLE),
    "sin": (np.sin, DOUBLE),
    "cos": (np.cos, DOUBLE),
    "tan": (np.tan, DOUBLE),
    "signum": (np.sign, None),
}

_CASTS = {
    "Uint8": "u1", "Int8": "i1", "Uint16": "u2", "Int16": "i2", "Uint32": "u4", "Int32": "i4", "Int64": "i8",
    "Byte": "u1", "Short": "i2", "Int": "i4", "Long": "i8", "Float": "f4", "Double": "f8",
}  # fmt: skip


def cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in another type: clamped to its range, then without their fraction; NaN becomes 0."""
    if dtype.kind == "f" or values.dtype == dtype:
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    if values.dtype.kind == "f":
        return _whole(values.astype(np.float64), limits).astype(dtype)
    source = np.iinfo(values.dtype)
    return values.clip(max(limits.min, source.min), min(limits.max, source.max)).astype(dtype)


def _whole(values: NDArray[np.float64], limits: Any) -> NDArray[Any]:
    """Decimals cut off, within limits; those of 64 bits are no doubles, so they are set as integers."""
    whole = np.trunc(np.nan_to_num(values, nan=0.0, posinf=math.inf, neginf=-math.inf))
    too_high, too_low = whole >= float(limits.max), whole <= float(limits.min)
    kept = np.where(too_high | too_low, 0, whole).astype(np.int64)
    return np.where(too_high, limits.max, np.where(too_low, limits.min, kept))


def _register_binary(name: str, function: Binary, rule: Rule) -> None:
    def of_images(request: Any, image1: Image, image2: Image) -> Image:
        bands = [_binary_band(one, two, band) for one, two, band in paired(image1, image2, f"Image.{name}")]
        return Image(tuple(bands), {}, _footprint(image1, image2))

    def _binary_band(one: Band, two: Band, band: str) -> Band:
        dtype = rule(one.dtype, two.dtype)
        wide = dtype if name in _ARITHMETIC else None
        return combined_band(one, two, _widened(function, wide), dtype, band)

    def of_numbers(request: Any, left: float, right: float) -> float:
        with np.errstate(all="ignore"):
            return _number(np.asarray(function(np.asarray(left), np.asarray(right))))

    register_as(f"Image.{name}", of_images)
    takes_arrays(f"Image.{name}")
    register_as(f"Number.{name}", of_numbers)


def _widened(function: Binary, dtype: np.dtype[Any] | None) -> Binary:
    """The function on operands that are wide enough for its result."""
    if dtype is None:
        return function
    return lambda one, two: function(one.astype(dtype, copy=False), two.astype(dtype, copy=False))


def _footprint(left: Image, right: Image) -> Any:
    return left.footprint if left.footprint is not None else right.footprint


def _number(value: NDArray[Any]) -> float:
    """A result as a JSON number; truth is 1 or 0."""
    plain = value.item()
    return int(plain) if isinstance(plain, bool) else plain


def _register_unary(name: str, function: Unary, dtype: np.dtype[Any] | None) -> None:
    def of_images(request: Any, value: Image) -> Image:
        return mapped_image(value, lambda band: mapped_band(band, function, dtype or band.dtype))

    def of_numbers(request: Any, input: float) -> float:
        with np.errstate(all="ignore"):
            return _number(np.asarray(function(np.asarray(input))))

    register_as(f"Image.{name}", of_images)
    takes_arrays(f"Image.{name}")
    register_as(f"Number.{name}", of_numbers)


def mapped_image(image: Image, function: Callable[[Band], Band]) -> Image:
    """An image of other bands; its properties are lost, its place is not."""
    return Image(tuple(map(function, image.bands)), {}, image.footprint)


def _register_cast(name: str, dtype: np.dtype[Any]) -> None:
    def of_images(request: Any, value: Image) -> Image:
        return mapped_image(value, lambda band: cast_band(band, dtype))

    def of_numbers(request: Any, input: float) -> float:
        return _number(cast(np.asarray(input), dtype))

    for written in (f"to{name}", name[0].lower() + name[1:]):
        register_as(f"Image.{written}", of_images)
        takes_arrays(f"Image.{written}")
        register_as(f"Number.{written}", of_numbers)


def cast_band(band: Band, dtype: np.dtype[Any]) -> Band:
    """A band in another type."""
    return mapped_band(band, lambda values: cast(values, dtype), dtype)


for _name, (_function, _rule) in _BINARY.items():
    _register_binary(_name, _function, _rule)
for _name, (_one, _dtype) in _UNARY.items():
    _register_unary(_name, _one, _dtype)
for _name, _code in _CASTS.items():
    _register_cast(_name, np.dtype(_code))


@algorithm("Image.clamp")
def _clamp(request: Any, input: Image, low: float, high: float) -> Image:
    def clamped(band: Band) -> Band:
        return mapped_band(
            band, lambda values: _clipped(values, low, high), _clamped_type(band.dtype, low, high)
        )

    return mapped_image(input, clamped)


def _clamped_type(dtype: np.dtype[Any], low: float, high: float) -> np.dtype[Any]:
    """That of the values, which stay within it, unless a limit has a fraction or lies beyond."""
    if dtype.kind == "f":
        return dtype
    if not (float(low).is_integer() and float(high).is_integer()):
        return DOUBLE
    limits = np.iinfo(dtype)
    return dtype if low <= limits.max and high >= limits.min else np.dtype(np.int64)


def _clipped(values: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    if values.dtype.kind == "f":
        return values.clip(low, high)
    if not (float(low).is_integer() and float(high).is_integer()):
        return values.astype(np.float64).clip(low, high)
    limits = np.iinfo(values.dtype)
    if low > limits.max or high < limits.min:
        return values.astype(np.int64).clip(int(low), int(high))
    return values.clip(max(int(low), limits.min), min(int(high), limits.max))


@algorithm("Number.clamp")
def _clamp_number(request: Any, number: float, min: float, max: float) -> float:
    return _number(np.clip(np.asarray(number), min, max))


@algorithm("Image.normalizedDifference")
def _normalized_difference(request: Any, input: Image, bandNames: list[str] | None) -> Image:
    """(first - second) / (first + second); masked where one is negative."""
    names = input.names[:2] if bandNames is None else bandNames
    if len(names) != 2:
        raise EmulatorError("Image.normalizedDifference: two bands are needed.")
    one, two = (next((band for band in input.bands if band.name == name), None) for name in names)
    if one is None or two is None:
        raise EmulatorError(f"Image.normalizedDifference: No band named {names}; there are {input.names}.")
    band = combined_band(
        one,
        two,
        lambda a, b: _divided(np.subtract(a, b, dtype=float), np.add(a, b, dtype=float)),
        np.dtype(np.float32),
        "nd",
    )
    inner = band.compute

    def compute(reader: Any, grid: Any) -> Any:
        pixels = inner(reader, grid)
        positive = (reader.read(one, grid).values >= 0) & (reader.read(two, grid).values >= 0)
        return replace(pixels, mask=pixels.mask & positive)

    return Image((replace(band, compute=compute),), {}, input.footprint)


@algorithm("Number.parse")
def _parse(request: Any, input: str, radix: int) -> float:
    if radix != 10:
        return int(input, radix)
    value = float(input)
    return int(value) if value.is_integer() and "." not in input else value
