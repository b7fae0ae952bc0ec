"""Options as people give them in Python, brought to the fields of a request, or refused before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields as fields_of
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gee_pipeline.errors import InputError


def known_options(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a request as its fields take them: of a path given as text, or a number of numpy.

    Args:
        kind: A dataclass whose fields are the options.
        options: By name.

    Raises:
        InputError: There are options that the request does not have, or a value is of another kind.
    """
    types = get_type_hints(kind)
    names = [field.name for field in fields_of(kind)]
    if unknown := sorted(set(options) - set(names)):
        raise InputError(
            f"{', '.join(unknown)} is no option here. There are {', '.join(sorted(names))} "
            f"({kind.__module__}.{kind.__name__})."
        )
    return {name: _taken(name, types[name], value) for name, value in options.items()}


def _taken(name: str, wanted: Any, value: Any) -> Any:
    """A value as a field takes it.

    Raises:
        InputError: The field does not take it.
    """
    if name == "colors" and isinstance(value, str | Path):
        from inference.drawing.color_file import colors_of

        return colors_of(str(value))
    if hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()
    found = _as_any(wanted, value)
    if found is _OTHER:
        raise InputError(f"{name} takes {' or '.join(map(_in_words, _kinds(wanted)))}, got {value!r}.")
    return found


def _kinds(wanted: Any) -> tuple[Any, ...]:
    """The kinds of a union, or the only one."""
    return get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)


_OTHER = object()
"""A value is not of a kind."""


def _as_kind(kind: Any, value: Any) -> Any:
    """A value as one of a kind, or `_OTHER`."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any or (kind is NoneType and value is None):
        return value
    if origin is Literal:
        return value if value in inner else _OTHER
    if origin is tuple:
        return _as_tuple(inner, value)
    if kind is Path:
        return Path(value) if isinstance(value, str | Path) else _OTHER
    if kind is str:
        return str(value) if isinstance(value, str | Path) else _OTHER
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in (int, float) and isinstance(value, bool):
        return _OTHER
    return value if isinstance(value, origin or kind) else _OTHER


def _as_tuple(inner: tuple[Any, ...], value: Any) -> Any:
    """A tuple of values of a kind; one text is one of them."""
    if isinstance(value, str | Path):
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        return _OTHER
    given = tuple(value)
    kinds = [inner[0]] * len(given) if inner[1:] == (...,) else list(inner)
    if len(kinds) != len(given):
        return _OTHER
    found = tuple(_as_any(kind, one) for kind, one in zip(kinds, given, strict=True))
    return _OTHER if any(one is _OTHER for one in found) else found


def _as_any(kind: Any, value: Any) -> Any:
    """A value as one of the kinds of a union, the one that it is first, or `_OTHER`."""
    if type(value) in _kinds(kind):
        return value
    return next((found for one in _kinds(kind) if (found := _as_kind(one, value)) is not _OTHER), _OTHER)


def _in_words(kind: Any) -> str:
    """A kind for a message."""
    if get_origin(kind) is Literal:
        return ", ".join(map(repr, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"some of {' or '.join(dict.fromkeys(map(_in_words, get_args(kind)[:1])))}"
    words = {
        int: "a whole number", float: "a number", str: "a text", bool: "True or False", Path: "a path",
        NoneType: "None",
    }  # fmt: skip
    return words.get(kind, getattr(kind, "__name__", str(kind)))
