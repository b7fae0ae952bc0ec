"""How deep a request of Earth Engine is, in two ways."""

from collections.abc import Iterator
from typing import Any

NESTING_LIMIT = 100
"""Values within values that a request may have, as a message of protocol buffers."""


def nesting(node: Any) -> int:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return 1 + max((nesting(value) for value in inner), default=0)


def steps(expression: dict[str, Any]) -> int:
    """How many calls stand on one another, through references too; those of functions on their arguments'."""
    return _Steps(expression["values"]).of(expression["result"])


class _Steps:
    """Steps of the values of an expression, each counted once."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._known: dict[str, int] = {}

    def of(self, name: str) -> int:
        if name not in self._known:
            self._known[name] = self._node(self._values[name])
        return self._known[name]

    def _node(self, node: dict[str, Any]) -> int:
        if "valueReference" in node:
            return self.of(node["valueReference"])
        if "functionDefinitionValue" in node:
            return self.of(node["functionDefinitionValue"]["body"])
        call = node.get("functionInvocationValue", {})
        own = self.of(call["functionReference"]) if "functionReference" in call else int(bool(call))
        return own + max(map(self._node, _parts(node)), default=0)


def _parts(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The values that a list, a dictionary or a call is made of."""
    yield from node.get("arrayValue", {}).get("values", ())
    yield from node.get("dictionaryValue", {}).get("values", {}).values()
    yield from node.get("functionInvocationValue", {}).get("arguments", {}).values()
