"""What reducers do: to stacks of pixels, and to lists of weighted values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.ee_emulator.values import EmulatorError

Stack = NDArray[Any]
"""Values `(n, y, x)`."""
Mask = NDArray[np.bool_]
Over = Callable[[Stack, Mask], list[tuple[NDArray[Any], Mask]]]
Of = Callable[[list[Any], list[float]], list[Any]]

DOUBLE, INTEGER = np.dtype(np.float64), np.dtype(np.int32)


@dataclass(frozen=True)
class Reducer:
    """Several values become one, or a few with names."""

    name: str
    outputs: tuple[str, ...]
    of: Of
    """Takes valid values and their weights; one result an output, None for nothing."""
    over: Over | None = None
    """Takes a stack and its mask; None where it makes no numbers."""
    dtype: Callable[[np.dtype[Any]], np.dtype[Any]] = lambda dtype: dtype
    """Type of a result from that of the input."""
    weighted: bool = False
    """Whether weights count; else a pixel of a region counts where its centre is inside."""
    inputs: int = 1
    fold: tuple[Any, Callable[[np.dtype[Any]], Any]] | None = None
    """The function of two values and its neutral value, where the order of values does not matter."""

    def stacked(self, values: Sequence[NDArray[Any]], masks: Sequence[Mask]) -> list[tuple[Stack, Mask]]:
        """Values and mask of each output from those of several bands or images.

        Raises:
            EmulatorError: It makes no pixels.
        """
        if self.over is None or self.inputs != 1:
            raise EmulatorError(f"The emulator cannot make pixels with the reducer {self.name}.")
        return self.over(np.stack(values), np.stack(masks))

    def unweighted(self) -> Reducer:
        """The same, with all weights 1."""
        of = self.of
        return replace(self, of=lambda values, weights: of(values, [1.0] * len(values)), weighted=False)

    def renamed(self, outputs: Sequence[str]) -> Reducer:
        """The same with other names of its outputs."""
        if len(outputs) != len(self.outputs):
            raise EmulatorError(f"{self.name} has {len(self.outputs)} outputs, got names for {len(outputs)}.")
        return replace(self, outputs=tuple(outputs))


def combined(one: Reducer, other: Reducer, prefix: str) -> Reducer:
    """Two reducers on the same input."""
    names = (*one.outputs, *(prefix + name for name in other.outputs))
    if len(set(names)) != len(names):
        raise EmulatorError(f"Reducer.combine: Duplicate output names {list(names)}.")

    def over(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
        return [*one.stacked(stack, mask), *other.stacked(stack, mask)]

    return Reducer(
        f"{one.name}+{other.name}",
        names,
        lambda values, weights: [*one.of(values, weights), *other.of(values, weights)],
        over,
        lambda dtype: DOUBLE,
        one.weighted or other.weighted,
    )


def median(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
    """Mean of the middle two where the number is even."""
    count = mask.sum(axis=0)
    if len(stack) == 1:
        return [(stack[0].astype(np.float64), count > 0)]
    ordered = np.sort(np.where(mask, stack.astype(np.float64), np.inf), axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(stack) - 1)
    both = np.take_along_axis(ordered, np.stack([low, high]), axis=0)
    with np.errstate(invalid="ignore"):
        return [(both.mean(axis=0), count > 0)]


def _median_of(values: list[Any], weights: list[float]) -> list[Any]:
    return [float(np.median(values)) if values else None]


def _plain_of(function: Callable[[list[Any]], Any], empty: Any = None) -> Of:
    return lambda values, weights: [function(values) if values else empty]


def _sum(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
    return [(np.where(mask, stack, 0).sum(axis=0), mask.any(axis=0))]


def _count(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
    count = mask.sum(axis=0)
    return [(count, count > 0)]


def _mean(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
    ((total, valid),) = _sum(stack.astype(np.float64), mask)
    return [(total / np.maximum(mask.sum(axis=0), 1), valid)]


def _product(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
    return [(np.where(mask, stack.astype(np.float64), 1).prod(axis=0), mask.any(axis=0))]


def folded(
    reducer: Reducer, values: Sequence[NDArray[Any]], masks: Sequence[Mask]
) -> list[tuple[NDArray[Any], Mask]]:
    """`Reducer.stacked` without a stack: many neighbours of many pixels would not fit into memory."""
    if reducer.fold is None:
        return reducer.stacked(values, masks)
    function, neutral = reducer.fold
    result = np.full(values[0].shape, neutral(values[0].dtype), values[0].dtype)
    valid = np.zeros(values[0].shape, bool)
    for value, mask in zip(values, masks, strict=True):
        function(result, value, out=result, where=mask)
        valid |= mask
    return [(result, valid)]


def _extreme(function: Any, worst: Callable[[np.dtype[Any]], Any]) -> Over:
    def over(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
        return [(function.reduce(np.where(mask, stack, worst(stack.dtype)), axis=0), mask.any(axis=0))]

    return over


def _highest(dtype: np.dtype[Any]) -> Any:
    return dtype.type(np.inf) if dtype.kind == "f" else np.iinfo(dtype).max if dtype.kind in "iu" else True


def _lowest(dtype: np.dtype[Any]) -> Any:
    return dtype.type(-np.inf) if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind in "iu" else False


def _at(backwards: bool) -> Over:
    """The first valid value, or the last."""

    def over(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
        if backwards:
            stack, mask = stack[::-1], mask[::-1]
        place = mask.argmax(axis=0)[None]
        return [(np.take_along_axis(stack, place, axis=0)[0], mask.any(axis=0))]

    return over


def _nonzero(function: Any) -> Over:
    def over(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
        neutral = function is np.logical_and
        return [(function.reduce(np.where(mask, stack != 0, neutral), axis=0), mask.any(axis=0))]

    return over


def _variance(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
    ((mean, valid),) = _mean(stack, mask)
    squares = np.where(mask, (stack - mean) ** 2, 0).sum(axis=0)
    return [(squares / np.maximum(mask.sum(axis=0), 1), valid)]


def _deviation(stack: Stack, mask: Mask) -> list[tuple[NDArray[Any], Mask]]:
    ((variance, valid),) = _variance(stack, mask)
    return [(np.sqrt(variance), valid)]


def _mean_of(values: list[Any], weights: list[float]) -> list[Any]:
    return [float(np.average(values, weights=weights)) if sum(weights) > 0 else None]


def _sum_of(values: list[Any], weights: list[float]) -> list[Any]:
    return [_neat(sum(value * weight for value, weight in zip(values, weights, strict=True)))]


def _variance_of(values: list[Any], weights: list[float]) -> list[Any]:
    (mean,) = _mean_of(values, weights)
    return _mean_of([(value - mean) ** 2 for value in values], weights) if values else [None]


def _deviation_of(values: list[Any], weights: list[float]) -> list[Any]:
    (variance,) = _variance_of(values, weights)
    return [None if variance is None else float(np.sqrt(variance))]


def _histogram_of(values: list[Any], weights: list[float]) -> list[Any]:
    counts: dict[str, float] = {}
    for value, weight in zip(values, weights, strict=True):
        key = _key(value)
        counts[key] = counts.get(key, 0) + weight
    return [{key: _neat(count) for key, count in sorted(counts.items())}]


def _key(value: Any) -> str:
    """How a value is written as the key of a histogram: whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _neat(number: float) -> float:
    """Whole sums of whole numbers stay whole."""
    return number if isinstance(number, float) and not number.is_integer() else int(number)


def _simple(name: str, of: Of, over: Over | None, **more: Any) -> Reducer:
    return Reducer(name, (more.pop("output", name),), of, over, **more)


def _as(dtype: np.dtype[Any]) -> Callable[[np.dtype[Any]], np.dtype[Any]]:
    return lambda given: dtype


MEDIAN = _simple("median", _median_of, median, dtype=_as(DOUBLE))
COUNT = _simple("count", lambda values, weights: [len(values)], _count, dtype=_as(INTEGER))
SUM = _simple("sum", _sum_of, _sum, dtype=_as(DOUBLE), weighted=True)
MEAN = _simple("mean", _mean_of, _mean, dtype=_as(DOUBLE), weighted=True)
MIN = _simple("min", _plain_of(min), _extreme(np.minimum, _highest), fold=(np.minimum, _highest))
MAX = _simple("max", _plain_of(max), _extreme(np.maximum, _lowest), fold=(np.maximum, _lowest))
FIRST = _simple("first", _plain_of(lambda values: values[0]), _at(False))
LAST = _simple("last", _plain_of(lambda values: values[-1]), _at(True))
ALL = _simple(
    "allNonZero",
    _plain_of(lambda v: int(all(v))),
    _nonzero(np.logical_and),
    output="all",
    dtype=_as(np.dtype("u1")),
)
ANY = _simple(
    "anyNonZero",
    _plain_of(lambda v: int(any(v))),
    _nonzero(np.logical_or),
    output="any",
    dtype=_as(np.dtype("u1")),
)
PRODUCT = _simple("product", _plain_of(lambda v: float(np.prod(v))), _product, dtype=_as(DOUBLE))
VARIANCE = _simple("variance", _variance_of, _variance, dtype=_as(DOUBLE), weighted=True)
DEVIATION = _simple("stdDev", _deviation_of, _deviation, dtype=_as(DOUBLE), weighted=True)
HISTOGRAM = _simple("frequencyHistogram", _histogram_of, None, output="histogram", weighted=True)
TO_LIST = _simple("toList", lambda values, weights: [list(values)], None, output="list")
DISTINCT = _simple("countDistinct", lambda values, weights: [len(set(values))], None, output="count")
MIN_MAX = combined(MIN, MAX, "")
