# ruff: noqa: N803 (arguments are named by Google)
"""Collections: loading, filtering, ordering, mapping and what is aggregated over their elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cmp_to_key
from typing import Any

import numpy as np

from tests.support.ee_emulator.algorithms import reducing
from tests.support.ee_emulator.algorithms.comparing import compare
from tests.support.ee_emulator.algorithms.reducing import Reducer
from tests.support.ee_emulator.algorithms.registry import algorithm, register_as
from tests.support.ee_emulator.values import (
    INDEX,
    Collection,
    Element,
    EmulatorError,
    Feature,
    Filter,
    Function,
    Image,
)


@algorithm("ImageCollection.load")
def _load(request: Any, id: str, version: int | None) -> Collection:
    return request.archive.images(id)


@algorithm("Collection.loadTable")
def _load_table(request: Any, tableId: str, geometryColumn: str | None, version: int) -> Collection:
    return request.assets.table(tableId)


@algorithm("ImageCollection.fromImages")
def _from_images(request: Any, images: list[Image]) -> Collection:
    return Collection(tuple(_indexed(images)))


@algorithm("Collection")
def _collection(request: Any, features: list[Any]) -> Collection:
    for feature in features:
        if not isinstance(feature, Feature | Image | Collection):
            raise EmulatorError(f"Collection: a feature is needed, got {feature!r}.")
    return Collection(tuple(_indexed(features)))


@algorithm("Collection.filter")
def _filter(request: Any, collection: Collection, filter: Filter) -> Collection:
    return _with(collection, (element for element in collection.elements if filter.accepts(element, None)))


@algorithm("Collection.limit")
def _limit(
    request: Any, collection: Collection, limit: int | None, key: str | None, ascending: bool
) -> Collection:
    elements = collection.elements if key is None else ordered(collection.elements, key, ascending)
    return _with(collection, elements if limit is None else elements[:limit])


@algorithm("Collection.map")
def _map(request: Any, collection: Collection, baseAlgorithm: Function, dropNulls: bool) -> Collection:
    mapped = ((element, baseAlgorithm.call(element)) for element in collection.elements)
    return _with(
        collection, (_mapped(element, made) for element, made in mapped if made is not None or not dropNulls)
    )


def _mapped(element: Element, made: Any) -> Element:
    """What a mapped function returned, under the index of the element it was called with."""
    if not isinstance(made, Image | Feature):
        raise EmulatorError("Collection.map: A mapped algorithm must return a Feature or Image.")
    if INDEX not in element.properties:
        return made
    return made.with_properties({**made.properties, INDEX: element.properties[INDEX]})


@algorithm("ImageCollection.merge", "Collection.merge")
def _merge(request: Any, collection1: Collection, collection2: Collection) -> Collection:
    elements = [
        element.with_properties({**element.properties, INDEX: f"{number}_{element.properties[INDEX]}"})
        if INDEX in element.properties
        else element
        for number, part in ((1, collection1), (2, collection2))
        for element in part.elements
    ]
    return Collection(tuple(elements))


@algorithm("Collection.first")
def _first(request: Any, collection: Collection) -> Element | None:
    return collection.elements[0] if collection.elements else None


@algorithm("Collection.size")
def _size(request: Any, collection: Collection) -> int:
    return len(collection.elements)


@algorithm("Collection.toList")
def _to_list(request: Any, collection: Collection, count: int, offset: int) -> list[Element]:
    return list(collection.elements[offset : offset + count])


@algorithm("Collection.iterate")
def _iterate(request: Any, collection: Collection, function: Function, first: Any) -> Any:
    for element in collection.elements:
        first = function.call(element, first)
    return first


@algorithm("Collection.flatten")
def _flatten(request: Any, collection: Collection) -> Collection:
    parts = [part for part in collection.elements if isinstance(part, Collection)]
    if len(parts) != len(collection.elements):
        raise EmulatorError("Collection.flatten: the elements must be collections.")
    return Collection(tuple(element for part in parts for element in part.elements))


@algorithm("Collection.distinct")
def _distinct(request: Any, collection: Collection, properties: Any) -> Collection:
    names = [properties] if isinstance(properties, str) else properties
    found = {
        repr([element.properties.get(name) for name in names]): element
        for element in reversed(collection.elements)
    }
    return _with(collection, reversed(found.values()))


@algorithm("Collection.remap")
def _remap(
    request: Any, collection: Collection, lookupIn: list[Any], lookupOut: list[int], columnName: str
) -> Collection:
    if any(isinstance(value, float) for value in lookupIn):
        raise EmulatorError("Collection.remap: the input values are restricted to strings and integers.")
    new = dict(zip(lookupIn, lookupOut, strict=True))
    return _with(
        collection,
        (
            element.with_properties({**element.properties, columnName: new[value]})
            for element in collection.elements
            if (value := element.properties.get(columnName)) in new
        ),
    )


@algorithm("Collection.reduceColumns")
def _reduce_columns(
    request: Any, collection: Collection, reducer: Reducer, selectors: list[str], weightSelectors: Any
) -> Mapping[str, Any]:
    if weightSelectors is not None or len(selectors) != 1:
        raise EmulatorError("The emulator reduces one column, without weights.")
    return dict(zip(reducer.outputs, _reduced(collection, reducer, selectors[0]), strict=True))


@algorithm("AggregateFeatureCollection.array")
def _array(request: Any, collection: Collection, property: str) -> list[Any]:
    return _column(collection, property)


@algorithm("AggregateFeatureCollection.histogram")
def _histogram(request: Any, collection: Collection, property: str) -> Any:
    return _reduced(collection, reducing.HISTOGRAM, property)[0]


def _aggregation(name: str, reducer: Reducer) -> None:
    def aggregate(request: Any, collection: Collection, property: str) -> Any:
        return _reduced(collection, reducer, property)[0]

    register_as(f"AggregateFeatureCollection.{name}", aggregate)


for _name, _reducer in {
    "first": reducing.FIRST,
    "count": reducing.COUNT,
    "min": reducing.MIN,
    "max": reducing.MAX,
    "mean": reducing.MEAN,
    "product": reducing.PRODUCT,
    "sum": reducing.SUM,
    "total_sd": reducing.DEVIATION,
    "total_var": reducing.VARIANCE,
    "count_distinct": reducing.DISTINCT,
}.items():
    _aggregation(_name, _reducer)


def ordered(elements: Iterable[Element], key: str, ascending: bool) -> tuple[Element, ...]:
    """Elements by a property; equal ones stay in their order.

    Raises:
        EmulatorError: An element lacks the property: where the servers put it nobody has said.
    """
    elements = tuple(elements)
    for element in elements:
        if element.properties.get(key) is None:
            raise EmulatorError(
                f"The emulator sorts by properties that all elements have; one lacks {key!r}."
            )
    sign = 1 if ascending else -1

    def order(one: Element, other: Element) -> int:
        return sign * compare(one.properties[key], other.properties[key])

    return tuple(sorted(elements, key=cmp_to_key(order)))


def _with(collection: Collection, elements: Iterable[Element]) -> Collection:
    return replace(collection, elements=tuple(elements))


def _indexed(elements: Iterable[Any]) -> Iterable[Any]:
    """Elements of a list become a collection under their places in it."""
    for place, element in enumerate(elements):
        yield element.with_properties({**element.properties, INDEX: str(place)})


def _column(collection: Collection, name: str) -> list[Any]:
    """Values of a property; elements that lack it are left out."""
    values = (element.properties.get(name) for element in collection.elements)
    return [value for value in values if value is not None]


def _reduced(collection: Collection, reducer: Reducer, name: str) -> list[Any]:
    values = _column(collection, name)
    return [_plain(result) for result in reducer.of(values, [1.0] * len(values))]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
