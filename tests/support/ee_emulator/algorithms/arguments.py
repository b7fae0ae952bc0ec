"""Values are checked against the types of a signature, and promoted where Earth Engine does so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from affine import Affine

from tests.support.ee_emulator.algorithms.reducing import Reducer
from tests.support.ee_emulator.algorithms.registry import Argument, Signature
from tests.support.ee_emulator.values import (
    Array,
    Classifier,
    Collection,
    Date,
    DateRange,
    EmulatorError,
    ErrorMargin,
    Feature,
    Filter,
    Function,
    Geometry,
    Image,
    Join,
    Kernel,
    PixelType,
    Projection,
)


def bound(signature: Signature, given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call: those given, else the defaults, in their types.

    Raises:
        EmulatorError: One is unknown, missing or of the wrong type.
    """
    known = {argument.name for argument in signature.arguments}
    if unknown := set(given) - known:
        raise EmulatorError(f"{signature.name}: Unrecognized argument: '{min(unknown)}'.")
    return {
        argument.name: _value(signature, argument, given.get(argument.name))
        for argument in signature.arguments
    }


def _value(signature: Signature, argument: Argument, value: Any) -> Any:
    if value is None:
        if not argument.optional:
            raise EmulatorError(
                f"{signature.name}: Parameter '{argument.name}' is required and may not be null."
            )
        value = argument.default
    if value is None:
        return None
    try:
        return converted(value, argument.type)
    except EmulatorError as error:
        raise EmulatorError(f"{signature.name}, argument '{argument.name}': {error}") from error


def converted(value: Any, kind: str) -> Any:
    """A value as a type of a signature.

    Raises:
        EmulatorError: It has another type.
    """
    base, inner = _parsed(kind)
    if base == "List":
        _require(isinstance(value, list), value, kind)
        return value if inner in (None, "Object") else [converted(item, inner) for item in value]
    if base == "Dictionary":
        _require(isinstance(value, Mapping), value, kind)
        return value
    if base not in _CONVERSIONS:
        raise EmulatorError(f"The emulator does not know the type {kind}.")
    return _CONVERSIONS[base](value, kind)


def to_date(value: Any, time_zone: str | None = None) -> Date:
    """A moment from milliseconds, ISO text or a date."""
    if time_zone not in (None, "UTC", "Etc/UTC", "GMT"):
        raise EmulatorError(f"The emulator knows the time zone UTC only, not {time_zone!r}.")
    if isinstance(value, Date):
        return value
    if _is_number(value):
        return Date(int(value))
    if isinstance(value, str):
        return Date(_parsed_millis(value))
    raise EmulatorError(f"Cannot make a date of a {type_name(value)}.")


def type_name(value: Any) -> str:
    """What Earth Engine calls the type of a value."""
    if value is None:
        return "Null"
    names = {bool: "Boolean", int: "Integer", float: "Float", str: "String", list: "List", dict: "Dictionary"}
    return names.get(type(value), type(value).__name__)


def _parsed_millis(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise EmulatorError(f"Invalid date string {text!r}; ISO 8601 is understood.") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000)


def _parsed(kind: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"(\w+)(?:<(.*)>)?", kind)
    assert match is not None
    return match[1], match[2]


def _require(condition: bool, value: Any, kind: str) -> None:
    if not condition:
        raise EmulatorError(f"Invalid type. Expected type: {kind}. Actual type: {type_name(value)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, kind: str) -> float:
    _require(isinstance(value, int | float), value, kind)
    return value


def _integer(value: Any, kind: str) -> int:
    _require(_is_number(value) and float(value).is_integer(), value, kind)
    return int(value)


def _boolean(value: Any, kind: str) -> bool:
    _require(isinstance(value, bool | int | float), value, kind)
    return bool(value)


def _margin(value: Any, kind: str) -> ErrorMargin:
    if isinstance(value, Mapping) and value.get("type") == "ErrorMargin":  # defaults are written so
        return ErrorMargin(value["value"], value["unit"])
    if _is_number(value):
        return ErrorMargin(value)
    _require(isinstance(value, ErrorMargin), value, kind)
    return value


def _projection(value: Any, kind: str) -> Projection:
    if isinstance(value, Mapping) and value.get("type") == "Projection":  # defaults are written so
        return Projection(value["crs"], Affine(*value["transform"]))
    if isinstance(value, str):
        return Projection(value)
    _require(isinstance(value, Projection), value, kind)
    return value


def _geometry(value: Any, kind: str) -> Geometry:
    if isinstance(value, Feature) and value.geometry is not None:
        return value.geometry
    _require(isinstance(value, Geometry), value, kind)
    return value


def _collection(value: Any, kind: str) -> Collection:
    _require(isinstance(value, Collection), value, kind)
    return value


def _image_collection(value: Any, kind: str) -> Collection:
    _collection(value, kind)
    _ = value.images
    return value


def _is(*types: type) -> Callable[[Any, str], Any]:
    def check(value: Any, kind: str) -> Any:
        _require(isinstance(value, types), value, kind)
        return value

    return check


_CONVERSIONS: dict[str, Callable[[Any, str], Any]] = {
    "Object": lambda value, kind: value,
    "Float": _number,
    "Number": _number,
    "Integer": _integer,
    "Long": _integer,
    "Boolean": _boolean,
    "String": _is(str),
    "Image": _is(Image),
    "ImageCollection": _image_collection,
    "FeatureCollection": _collection,
    "Feature": _is(Feature),
    "Element": _is(Image, Feature, Collection),
    "Geometry": _geometry,
    "Projection": _projection,
    "ErrorMargin": _margin,
    "Date": lambda value, kind: to_date(value),
    "DateRange": _is(DateRange),
    "Filter": _is(Filter),
    "Join": _is(Join),
    "Reducer": _is(Reducer),
    "Kernel": _is(Kernel),
    "Algorithm": _is(Function),
    "PixelType": _is(PixelType),
    "Array": _is(Array),
    "Classifier": _is(Classifier),
}
