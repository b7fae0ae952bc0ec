# ruff: noqa: N803 (arguments are named by Google)
"""Properties of elements: get, set, copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.ee_emulator.algorithms.registry import algorithm
from tests.support.ee_emulator.values import Collection, EmulatorError, Feature, Image


@algorithm("Element.get")
def _get(request: Any, object: Any, property: str) -> Any:
    return object.properties.get(property)


@algorithm("Element.getNumber")
def _get_number(request: Any, object: Any, property: str) -> Any:
    return _typed(object.properties.get(property), int | float, property)


@algorithm("Element.getString")
def _get_string(request: Any, object: Any, property: str) -> Any:
    return _typed(object.properties.get(property), str, property)


def _typed(value: Any, kind: Any, name: str) -> Any:
    if value is not None and not isinstance(value, kind):
        raise EmulatorError(f"Property '{name}' has another type: {value!r}.")
    return value


@algorithm("Element.set")
def _set(request: Any, object: Any, key: str, value: Any) -> Any:
    return object.with_properties({**object.properties, key: value})


@algorithm("Element.setMulti")
def _set_multi(request: Any, object: Any, properties: Mapping[str, Any]) -> Any:
    return object.with_properties({**object.properties, **properties})


@algorithm("Element.propertyNames")
def _property_names(request: Any, element: Any) -> list[str]:
    return list(element.properties)


@algorithm("Element.toDictionary")
def _to_dictionary(request: Any, element: Any, properties: list[str] | None) -> dict[str, Any]:
    names = [name for name in element.properties if not name.startswith("system:")]
    return {name: element.properties.get(name) for name in (names if properties is None else properties)}


@algorithm("Element.copyProperties", "Image.copyProperties")
def _copy_properties(
    request: Any, destination: Any, source: Any, properties: list[str] | None, exclude: list[str] | None
) -> Any:
    if destination is None:
        raise EmulatorError(
            "Element.copyProperties: Parameter 'destination' is required and may not be null."
        )
    if source is None:
        return destination
    if properties is None:
        left_out = set(exclude or ())
        properties = [n for n in source.properties if not n.startswith("system:") and n not in left_out]
    copied = {name: source.properties[name] for name in properties if name in source.properties}
    return destination.with_properties({**destination.properties, **copied})


@algorithm("Feature.select")
def _select(
    request: Any,
    input: Any,
    propertySelectors: list[str],
    newProperties: list[str] | None,
    retainGeometry: bool,
) -> Feature:
    if not isinstance(input, Feature):
        raise EmulatorError("Feature.select: a feature is needed.")
    names = newProperties or propertySelectors
    kept = {
        new: input.properties[old]
        for old, new in zip(propertySelectors, names, strict=True)
        if old in input.properties
    }
    return Feature(input.geometry if retainGeometry else None, kept)


@algorithm("Feature.setGeometry")
def _set_geometry(request: Any, feature: Any, geometry: Any) -> Feature:
    return Feature(geometry, feature.properties)


@algorithm("ObjectType")
def _object_type(request: Any, value: Any) -> str:
    from tests.support.ee_emulator.algorithms.arguments import type_name

    if isinstance(value, Collection):
        whole = bool(value.elements) and all(isinstance(one, Image) for one in value.elements)
        return "ImageCollection" if whole else "FeatureCollection"
    return type_name(value)


@algorithm("If")
def _if(request: Any, condition: Any, trueCase: Any, falseCase: Any) -> Any:
    return trueCase if condition else falseCase


@algorithm("IsEqual")
def _is_equal(request: Any, left: Any, right: Any) -> bool:
    return bool(left == right)
