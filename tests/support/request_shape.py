"""How deep a request of Earth Engine is, in two ways."""

from typing import Any

NESTING_LIMIT = 100
"""Values within values that a request may have, as a message of protocol buffers."""


def nesting(node: Any) -> int:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return 1 + max((nesting(value) for value in inner), default=0)


def steps(expression: dict[str, Any]) -> int:
    """How many calls stand on one another, through references too; those of functions on their arguments'."""
    known: dict[str, int] = {}

    def of(node: Any) -> int:
        if isinstance(node, list):
            return max(map(of, node), default=0)
        return of_fields(node) if isinstance(node, dict) else 0

    def of_fields(node: dict[str, Any]) -> int:
        if "valueReference" in node:
            return of_value(node["valueReference"])
        if "functionDefinitionValue" in node:
            return of_value(node["functionDefinitionValue"]["body"])
        inner = max((of(value) for key, value in node.items() if key != "constantValue"), default=0)
        own = of_value(node["functionReference"]) if "functionReference" in node else "functionName" in node
        return inner + own

    def of_value(name: str) -> int:
        if name not in known:
            known[name] = of(expression["values"][name])
        return known[name]

    return of_value(expression["result"])
