"""Order and equality of property values."""

from __future__ import annotations

from typing import Any

from tests.support.ee_emulator.values import Date, EmulatorError


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1.

    Raises:
        EmulatorError: The two have no common order.
    """
    one, other = comparable(one), comparable(other)
    for kind in (str, (int, float)):
        if isinstance(one, kind) and isinstance(other, kind):
            return (one > other) - (one < other)
    raise EmulatorError(f"Values cannot be compared: {one!r} and {other!r}.")


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same."""
    return bool(comparable(one) == comparable(other))


def comparable(value: Any) -> Any:
    """A date compares as its milliseconds."""
    return value.millis if isinstance(value, Date) else value
