"""Colours of classes from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json, read_toml


def read_colors(path: Path) -> dict[str, str]:
    """`#rrggbb` by class name of a TOML or JSON file.

    It holds `corn = "#ffd300"` a line, or a list `classes` of tables with `name` and `color`, as
    `legend.json` beside a map and the files of `--legend` have it.

    Raises:
        InputError: The file cannot be opened, or says something else.
        CorruptFileError: It is neither TOML nor JSON.
    """
    if not path.is_file():
        raise InputError(
            f"{path} is no file. Name a TOML or JSON file of colours, or write corn=#ffd300,rye=#b77c00."
        )
    values = read_json(path) if path.suffix.lower() == ".json" else read_toml(path)
    if isinstance(values, dict) and isinstance(values.get("classes"), list):
        values = _of_legend(values["classes"])
    if not isinstance(values, dict) or not all(isinstance(color, str) for color in values.values()):
        raise InputError(f'{path} holds no colours. Write one class a line: corn = "#ffd300".')
    return values


def colors_of(text: str) -> dict[str, str]:
    """`#rrggbb` by class name of a text such as `corn=#ffd300,rye=#b77c00`, or of a file.

    Raises:
        InputError: It is neither, or the file says something else.
        CorruptFileError: The file is neither TOML nor JSON.
    """
    if "=" in text and not Path(text).is_file():
        return dict(map(_pair, text.split(",")))
    return read_colors(Path(text))


def _pair(text: str) -> tuple[str, str]:
    name, equals, color = text.rpartition("=")
    if not (equals and name.strip()):
        raise InputError(f"{text!r} is not a class and its colour. Write for example corn=#ffd300.")
    return name.strip(), color.strip()


def _of_legend(classes: list[Any]) -> dict[str, Any]:
    """Colour by name; what has none, such as what lies outside, is left out."""
    tables = [one for one in classes if isinstance(one, dict) and isinstance(one.get("name"), str)]
    return {one["name"]: one["color"] for one in tables if one.get("color") is not None}
