# ruff: noqa: N803 (arguments are named by Google)
"""Filter.*: conditions on the properties and places of elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.ee_emulator.algorithms.comparing import comparable, compare, equal
from tests.support.ee_emulator.algorithms.registry import algorithm, register_as
from tests.support.ee_emulator.algorithms.shapes import lonlat, meets
from tests.support.ee_emulator.values import (
    DateRange,
    Element,
    EmulatorError,
    Feature,
    Filter,
    Geometry,
    Image,
)

Test = Callable[[Any, Any], bool]

_WHOLE = (".all", ".geo")
"""Fields that mean the geometry of an element."""


def _sides(leftField: str | None, rightValue: Any, rightField: str | None, leftValue: Any, name: str) -> None:
    if (leftField is None) == (leftValue is None) or (rightField is None) == (rightValue is None):
        raise EmulatorError(f"{name}: one of field and value must be given on each side.")


def _binary(name: str, test: Test, *, margin: bool = False) -> None:
    """Register a filter of a left and a right operand, each a field or a value."""

    def build(leftField: Any, rightValue: Any, rightField: Any, leftValue: Any) -> Filter:
        _sides(leftField, rightValue, rightField, leftValue, name)

        def accepts(left: Element, right: Element | None) -> bool:
            # A value on the left leaves the only element of a plain filter to the right field.
            other = left if right is None else right
            one = leftValue if leftField is None else field(left, leftField)
            two = rightValue if rightField is None else field(other, rightField)
            return one is not None and two is not None and test(one, two)

        return Filter(accepts)

    def plain(request: Any, leftField: Any, rightValue: Any, rightField: Any, leftValue: Any) -> Filter:
        return build(leftField, rightValue, rightField, leftValue)

    def spatial(
        request: Any, leftField: Any, rightValue: Any, rightField: Any, leftValue: Any, maxError: Any
    ) -> Filter:
        return build(leftField, rightValue, rightField, leftValue)

    register_as(name, spatial if margin else plain)


def field(element: Element, name: str) -> Any:
    """A property of an element, or itself for the fields that mean its geometry."""
    return element if name in _WHOLE else element.properties.get(name)


def _in_range(range_: Any, time: Any) -> bool:
    if not isinstance(range_, DateRange):
        raise EmulatorError("Filter.dateRangeContains: the left operand must be a DateRange.")
    return range_.contains(comparable(time))


def _intersects(one: Any, other: Any) -> bool:
    return meets(_place(one), _place(other))


def _place(value: Any) -> Any:
    """Outline in EPSG:4326; None is everywhere."""
    if isinstance(value, Image):
        return None if value.footprint is None else value.footprint.shape
    if isinstance(value, Feature):
        return lonlat(value.geometry) if value.geometry is not None else lonlat_nowhere()
    if isinstance(value, Geometry):
        return lonlat(value)
    raise EmulatorError(f"Filter.intersects: a geometry is needed, got {value!r}.")


def lonlat_nowhere() -> Any:
    """The empty geometry."""
    from shapely import Polygon

    return Polygon()


_ORDERS: dict[str, Test] = {
    "eq equals": equal,
    "neq notEquals": lambda one, two: not equal(one, two),
    "lt lessThan": lambda one, two: compare(one, two) < 0,
    "lte lessThanOrEquals": lambda one, two: compare(one, two) <= 0,
    "gt greaterThan": lambda one, two: compare(one, two) > 0,
    "gte greaterThanOrEquals": lambda one, two: compare(one, two) >= 0,
    "stringStartsWith": lambda one, two: str(one).startswith(two),
    "stringEndsWith": lambda one, two: str(one).endswith(two),
    "stringContains": lambda one, two: two in str(one),
    "inList": lambda one, two: any(equal(one, item) for item in two),
    "listContains": lambda one, two: any(equal(item, two) for item in one),
    "dateRangeContains": _in_range,
}

for _names, _test in _ORDERS.items():
    for _name in _names.split():
        _binary(f"Filter.{_name}", _test)

_binary("Filter.intersects", _intersects, margin=True)
_binary("Filter.disjoint", lambda one, two: not _intersects(one, two), margin=True)


@algorithm("Filter.and")
def _and(request: Any, filters: list[Filter]) -> Filter:
    return Filter(lambda left, right: all(one.accepts(left, right) for one in filters))


@algorithm("Filter.or")
def _or(request: Any, filters: list[Filter]) -> Filter:
    return Filter(lambda left, right: any(one.accepts(left, right) for one in filters))


@algorithm("Filter.not")
def _not(request: Any, filter: Filter) -> Filter:
    return Filter(lambda left, right: not filter.accepts(left, right))


@algorithm("Filter.notNull")
def _not_null(request: Any, properties: list[str]) -> Filter:
    return Filter(lambda left, right: all(left.properties.get(name) is not None for name in properties))


@algorithm("Filter.rangeContains")
def _range_contains(request: Any, field: str, minValue: Any, maxValue: Any) -> Filter:
    def accepts(left: Element, right: Element | None) -> bool:
        value = left.properties.get(field)
        return value is not None and compare(minValue, value) <= 0 <= compare(maxValue, value)

    return Filter(accepts)
