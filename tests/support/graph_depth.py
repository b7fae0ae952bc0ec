"""How deep an expression is, as the servers would work it out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def depth(graph: dict[str, Any]) -> int:
    """Calls that stand one in the other on the longest way through an expression, as it is sent.

    A function that the expression defines is as deep as its body, wherever it is applied.
    """
    return _Depths(graph["values"]).of(graph["result"])


class _Depths:
    """Depths of the values of an expression, each worked out once."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._known: dict[str, int] = {}

    def of(self, key: str) -> int:
        if key not in self._known:
            self._known[key] = self._node(self._values[key])
        return self._known[key]

    def _node(self, value: dict[str, Any]) -> int:
        if "valueReference" in value:
            return self.of(value["valueReference"])
        if "functionDefinitionValue" in value:
            return self.of(value["functionDefinitionValue"]["body"])
        called = value.get("functionInvocationValue", {})
        own = self.of(called["functionReference"]) if "functionReference" in called else int(bool(called))
        return own + max(map(self._node, _parts(value)), default=0)


def _parts(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The expressions that a list, a dictionary or a call is made of."""
    yield from value.get("arrayValue", {}).get("values", ())
    yield from value.get("dictionaryValue", {}).get("values", {}).values()
    yield from value.get("functionInvocationValue", {}).get("arguments", {}).values()
