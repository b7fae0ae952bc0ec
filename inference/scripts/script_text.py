"""The text of scripts: templates without the parts that are not wanted, constants with their meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal

Language = Literal["javascript", "python"]

Settings = tuple[str, dict[str, Any]]
"""What some constants mean, and their values by name."""


@dataclass(frozen=True)
class Dialect:
    """What a language has of its own."""

    mark: str
    """Begins a comment."""
    constant: str
    """Declares a name and its value."""
    file: str
    """Its template."""

    def template(self) -> list[str]:
        """The lines of its template."""
        path = resources.files("inference.scripts") / "templates" / self.file
        return path.read_text(encoding="utf-8").splitlines()


DIALECTS: Final[dict[Language, Dialect]] = {
    "javascript": Dialect("//", "var {} = {};", "map.js"),
    "python": Dialect("#", "{} = {}", "map.py.txt"),
}


def about(text: str, **values: Any) -> Settings:
    """Constants, and what they mean in a sentence or two."""
    return text, values


def wanted_lines(dialect: Dialect, parts: Set[str]) -> Iterator[str]:
    """The lines of a template that belong to some parts.

    `//: when a b` begins lines that are wanted where a or b is among the parts; `//: always` ends them.
    """
    mark, wanted = f"{dialect.mark}: ", True
    for line in dialect.template():
        kind, _, names = line.removeprefix(mark).partition(" ")
        if line.startswith(mark) and kind in ("when", "always"):
            wanted = kind == "always" or not parts.isdisjoint(names.split())
        elif wanted:
            yield line


def with_settings(body: str, settings: Iterable[Settings], dialect: Dialect) -> str:
    """A script with its constants, each with what it means, without those that it does not use.

    Args:
        body: Its lines, with `//: settings` where the constants stand.
        settings: The constants in order.
        dialect: Its language.
    """
    used = set(re.findall(r"\w+", body))
    return body.replace(f"{dialect.mark}: settings", "\n".join(_declared(settings, dialect, used)))


def _declared(settings: Iterable[Settings], dialect: Dialect, used: Set[str]) -> Iterator[str]:
    for text, values in settings:
        wanted = [
            dialect.constant.format(name, _literal(value)) for name, value in values.items() if name in used
        ]
        if wanted:
            yield from (f"{dialect.mark} {text}", *wanted, "")


def _literal(value: Any) -> str:
    """A value in the words that both languages share; a list of lists or objects takes a line an item."""
    if isinstance(value, list) and value and isinstance(value[0], (list, dict)):
        items = ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value)
        return f"[\n{items}\n]"
    return json.dumps(value, ensure_ascii=False)
