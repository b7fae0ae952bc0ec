"""Earth Engine's own list of algorithms, and which of them the emulator can do."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from tests.support.ee_emulator.values import EmulatorError

Implementation = Callable[..., Any]

IMPLEMENTED: dict[str, Implementation] = {}
"""By name; each takes the request first, then the arguments of the signature by name."""

OF_ARRAYS: set[str] = set()
"""Names of those that take images whose pixels are arrays; the others are not asked to."""


@dataclass(frozen=True)
class Argument:
    """One argument of a signature."""

    name: str
    type: str
    """As Google writes it: `Image<unknown bands>`, `List<String>`."""
    optional: bool
    default: Any


@dataclass(frozen=True)
class Signature:
    """What an algorithm takes and returns."""

    name: str
    arguments: tuple[Argument, ...]
    returns: str


@cache
def signatures() -> dict[str, Signature]:
    """The signatures that come with the client, refreshed by Google with each of its releases."""
    text = (resources.files("ee") / "tests" / "algorithms.json").read_text(encoding="utf-8")
    return {signature.name: signature for signature in map(_signature, json.loads(text)["algorithms"])}


def signature_of(name: str) -> Signature:
    """Signature of an algorithm.

    Raises:
        EmulatorError: Earth Engine has no such algorithm.
    """
    if name not in signatures():
        raise EmulatorError(f"Unknown function '{name}'.")
    return signatures()[name]


def implementation_of(name: str) -> Implementation:
    """What the emulator does for an algorithm.

    Raises:
        EmulatorError: It does not know it.
    """
    if name not in IMPLEMENTED:
        raise EmulatorError(
            f"The emulator does not know the algorithm {name}; add it to ee_emulator/algorithms."
        )
    return IMPLEMENTED[name]


def algorithm(*names: str) -> Callable[[Implementation], Implementation]:
    """Declares what the emulator does for some algorithms.

    The function takes the request, then the arguments of the signature by their names. An underscore at the
    end of a name keeps it apart from Python's own words.
    """

    def register(function: Implementation) -> Implementation:
        for name in names:
            register_as(name, function)
        return function

    return register


def takes_arrays(*names: str) -> None:
    """Declare that some algorithms take images whose pixels are arrays."""
    for name in names:
        OF_ARRAYS.add(signature_of(name).name)


def register_as(name: str, function: Implementation) -> None:
    """Declare what the emulator does for one algorithm; its parameters must be those of the signature."""
    taken = [parameter.rstrip("_") for parameter in inspect.signature(function).parameters][1:]
    wanted = [argument.name for argument in signature_of(name).arguments]
    if taken != wanted and taken != ["arguments"]:
        raise TypeError(f"{name} takes {wanted}, its implementation {taken}.")
    if name in IMPLEMENTED:
        raise TypeError(f"{name} is implemented twice.")
    IMPLEMENTED[name] = function


def _signature(entry: dict[str, Any]) -> Signature:
    arguments = tuple(
        Argument(one["argumentName"], one["type"], one.get("optional", False), one.get("defaultValue"))
        for one in entry.get("arguments", [])
    )
    return Signature(entry["name"].removeprefix("algorithms/"), arguments, entry["returnType"])
