# ruff: noqa: N803 (arguments are named by Google)
"""Reducer.*"""

from __future__ import annotations

from typing import Any

from tests.support.ee_emulator.algorithms import reducing
from tests.support.ee_emulator.algorithms.reducing import Reducer, combined
from tests.support.ee_emulator.algorithms.registry import algorithm, register_as
from tests.support.ee_emulator.values import EmulatorError

_WITHOUT_ARGUMENTS = {
    "Reducer.count": reducing.COUNT,
    "Reducer.sum": reducing.SUM,
    "Reducer.mean": reducing.MEAN,
    "Reducer.product": reducing.PRODUCT,
    "Reducer.first": reducing.FIRST,
    "Reducer.firstNonNull": reducing.FIRST,
    "Reducer.last": reducing.LAST,
    "Reducer.lastNonNull": reducing.LAST,
    "Reducer.allNonZero": reducing.ALL,
    "Reducer.and": reducing.ALL.renamed(["and"]),
    "Reducer.anyNonZero": reducing.ANY,
    "Reducer.or": reducing.ANY.renamed(["or"]),
    "Reducer.variance": reducing.VARIANCE,
    "Reducer.stdDev": reducing.DEVIATION,
    "Reducer.frequencyHistogram": reducing.HISTOGRAM,
    "Reducer.countDistinct": reducing.DISTINCT,
    "Reducer.minMax": reducing.MIN_MAX,
}


def _register(name: str, reducer: Reducer) -> None:
    register_as(name, lambda request: reducer)


for _name, _reducer in _WITHOUT_ARGUMENTS.items():
    _register(_name, _reducer)


def _of_one_input(reducer: Reducer, inputs: int) -> Reducer:
    if inputs != 1:
        raise EmulatorError(f"The emulator knows Reducer.{reducer.name} of one input, not of {inputs}.")
    return reducer


@algorithm("Reducer.min")
def _min(request: Any, numInputs: int) -> Reducer:
    return _of_one_input(reducing.MIN, numInputs)


@algorithm("Reducer.max")
def _max(request: Any, numInputs: int) -> Reducer:
    return _of_one_input(reducing.MAX, numInputs)


@algorithm("Reducer.median")
def _median(request: Any, maxBuckets: Any, minBucketWidth: Any, maxRaw: Any) -> Reducer:
    if (maxBuckets, minBucketWidth, maxRaw) != (None, None, None):
        raise EmulatorError("The emulator computes medians directly and knows no buckets.")
    return reducing.MEDIAN


@algorithm("Reducer.toList")
def _to_list(request: Any, tupleSize: int | None, numOptional: int) -> Reducer:
    if tupleSize not in (None, 1) or numOptional:
        raise EmulatorError("The emulator knows Reducer.toList of one input only.")
    return reducing.TO_LIST


@algorithm("Reducer.unweighted")
def _unweighted(request: Any, reducer: Reducer) -> Reducer:
    return reducer.unweighted()


@algorithm("Reducer.setOutputs")
def _set_outputs(request: Any, reducer: Reducer, outputs: list[str]) -> Reducer:
    return reducer.renamed(outputs)


@algorithm("Reducer.getOutputs")
def _get_outputs(request: Any, reducer: Reducer) -> list[str]:
    return list(reducer.outputs)


@algorithm("Reducer.combine")
def _combine(
    request: Any, reducer1: Reducer, reducer2: Reducer, outputPrefix: str, sharedInputs: bool
) -> Reducer:
    if not sharedInputs:
        raise EmulatorError("The emulator combines reducers of shared inputs only.")
    return combined(reducer1, reducer2, outputPrefix)
