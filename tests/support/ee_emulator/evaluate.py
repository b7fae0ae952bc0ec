"""Expressions, as the client sends them, become values.

value = evaluate(expression, archive)
answer_of_value_compute = {"result": plain(value)}
bands = image_pixels(value, grid)             # where the value is an image
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.ee_emulator.algorithms.arguments import bound, type_name
from tests.support.ee_emulator.algorithms.registry import OF_ARRAYS, implementation_of, signature_of
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.assets import Assets
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import Reader
from tests.support.ee_emulator.rules import ClassifierRules
from tests.support.ee_emulator.values import EmulatorError, Function, Image

Node = Mapping[str, Any]

DEEPEST = 20_000
"""Calls within calls: a step of an expression takes about five of them, and one of its pixels two."""


def evaluate(
    expression: Node,
    archive: Archive,
    assets: Assets | None = None,
    rules: ClassifierRules | None = None,
    *,
    calls: Counter[str] | None = None,
) -> Any:
    """The value of a serialized expression; images stay uncomputed until their pixels are asked for.

    Args:
        expression: `{"result": ..., "values": {...}}`.
        archive: The data there is.
        assets: Tables and classifiers; None is none.
        rules: How classifiers behave where that is not known.
        calls: Counts the functions that are called, by name.

    Raises:
        EmulatorError: Earth Engine would refuse it, or the emulator does not know a part of it; named.
    """
    if set(expression) != {"result", "values"}:
        raise EmulatorError(f"An expression has a result and values, this one {sorted(expression)}.")
    sys.setrecursionlimit(max(sys.getrecursionlimit(), DEEPEST))
    request = Request(archive, expression["values"], assets or Assets(), rules or ClassifierRules())
    request.calls = Counter() if calls is None else calls
    return request.result(expression["result"])


def image_pixels(image: Any, grid: Grid) -> list[tuple[str, NDArray[Any], NDArray[np.bool_]]]:
    """Name, values `(y, x)` and mask (True where valid) of each band on a grid; masked values are 0.

    Args:
        image: What `evaluate` returned.
        grid: CRS, transform and size: anything with `crs`, `transform`, `width` and `height`.

    Raises:
        EmulatorError: It is no image, or has no pixels there.
    """
    if not isinstance(image, Image):
        raise EmulatorError(f"Pixels can be computed of an Image, the expression is a {type_name(image)}.")
    if not image.bands:
        raise EmulatorError("Image has no bands.")
    if arrays := [band.name for band in image.bands if band.dimensions]:
        raise EmulatorError(f"The emulator computes pixels of numbers; {arrays} are arrays.")
    reader, grid = Reader(), Grid(grid.crs, grid.transform, grid.width, grid.height)
    return [(band.name, *_finished(reader, band, grid)) for band in image.bands]


def _finished(reader: Reader, band: Any, grid: Grid) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    pixels = reader.read(band, grid)
    values = np.where(pixels.mask, pixels.values, 0).astype(band.dtype)
    return values, np.array(pixels.mask)


def _require_numbers(name: str, values: Mapping[str, Any]) -> None:
    """Refuse images whose pixels are arrays."""
    for value in values.values():
        for image in value if isinstance(value, list) else [value]:
            if isinstance(image, Image) and any(band.dimensions for band in image.bands):
                raise EmulatorError(f"The emulator does not know {name} of images whose pixels are arrays.")


@dataclass
class _Frame:
    """Arguments of a function call, and what was computed from them."""

    arguments: dict[str, Any] = field(default_factory=dict)
    outer: _Frame | None = None
    known: dict[str, Any] = field(default_factory=dict)

    def argument(self, name: str) -> Any:
        frame: _Frame | None = self
        while frame is not None:
            if name in frame.arguments:
                return frame.arguments[name]
            frame = frame.outer
        raise EmulatorError(f"Unknown argument reference '{name}'.")


class Request:
    """One expression under evaluation; algorithms get it as their first argument."""

    def __init__(
        self, archive: Archive, values: Mapping[str, Node], assets: Assets, rules: ClassifierRules
    ) -> None:
        self.archive = archive
        self.assets = assets
        self.rules = rules
        self.reader = Reader()
        self.calls: Counter[str] = Counter()
        self._values = values
        self._outermost = _Frame()
        self._free: dict[str, frozenset[str]] = {}
        self._kinds = {
            "constantValue": lambda content, frame: content,
            "integerValue": lambda content, frame: int(content),
            "valueReference": self._reference,
            "argumentReference": lambda content, frame: frame.argument(content),
            "arrayValue": self._array,
            "dictionaryValue": self._dictionary,
            "functionDefinitionValue": self._function,
            "functionInvocationValue": self._invocation,
        }

    def result(self, name: str) -> Any:
        """The value that a reference names."""
        return self._reference(name, self._outermost)

    def _reference(self, name: str, frame: _Frame) -> Any:
        """Each reference is computed once; within functions, once a call."""
        home = frame if self._free_arguments(name) else self._outermost
        if name not in home.known:
            home.known[name] = self._node(self._values[name], home)
        return home.known[name]

    def _node(self, node: Node, frame: _Frame) -> Any:
        if len(node) != 1:
            raise EmulatorError(f"A node has one field, this one has {sorted(node)}.")
        ((kind, content),) = node.items()
        if kind not in self._kinds:
            raise EmulatorError(f"The emulator does not know the node {kind}.")
        return self._kinds[kind](content, frame)

    def _array(self, content: Node, frame: _Frame) -> list[Any]:
        return [self._node(item, frame) for item in content.get("values", [])]

    def _dictionary(self, content: Node, frame: _Frame) -> dict[str, Any]:
        return {key: self._node(item, frame) for key, item in content.get("values", {}).items()}

    def _function(self, content: Node, frame: _Frame) -> Function:
        names = tuple(content["argumentNames"])

        def call(*values: Any) -> Any:
            if len(values) != len(names):
                raise EmulatorError(f"A function of {len(names)} arguments was called with {len(values)}.")
            return self._reference(content["body"], _Frame(dict(zip(names, values, strict=True)), frame))

        return Function(call, names)

    def _invocation(self, content: Node, frame: _Frame) -> Any:
        arguments = {key: self._node(node, frame) for key, node in content.get("arguments", {}).items()}
        if "functionReference" in content:
            return self._applied(self._reference(content["functionReference"], frame), arguments)
        signature = signature_of(content["functionName"])
        function = implementation_of(signature.name)
        self.calls[signature.name] += 1
        values = bound(signature, arguments)
        if signature.name not in OF_ARRAYS:
            _require_numbers(signature.name, values)
        return function(self, *values.values())

    def _applied(self, function: Any, arguments: dict[str, Any]) -> Any:
        if not isinstance(function, Function):
            raise EmulatorError(f"A function is needed, got a {type_name(function)}.")
        if set(arguments) != set(function.arguments):
            raise EmulatorError(
                f"A function takes {list(function.arguments)}, it was called with {sorted(arguments)}."
            )
        return function.call(*(arguments[name] for name in function.arguments))

    def _free_arguments(self, name: str) -> frozenset[str]:
        """Arguments of functions on which a reference depends."""
        if name not in self._values:
            raise EmulatorError(f"Unknown value reference '{name}'.")
        if name not in self._free:
            self._free[name] = self._free_in(self._values[name])
        return self._free[name]

    def _free_in(self, node: Any) -> frozenset[str]:
        if isinstance(node, list):
            return frozenset().union(*map(self._free_in, node))
        if not isinstance(node, Mapping):
            return frozenset()
        if "constantValue" in node:
            return frozenset()
        if "argumentReference" in node:
            return frozenset([node["argumentReference"]])
        if "valueReference" in node:
            return self._free_arguments(node["valueReference"])
        if "functionDefinitionValue" in node:
            inner = node["functionDefinitionValue"]
            return self._free_arguments(inner["body"]) - frozenset(inner["argumentNames"])
        free = frozenset().union(*map(self._free_in, node.values()))
        if "functionReference" in node:
            free |= self._free_arguments(node["functionReference"])
        return free
