"""Kinds of paths. What is read must be there: that is seen before anything heavy is imported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from gee_pipeline.incoming.addresses import existing, without_secrets
from inference.models.shipped import SHIPPED

IN_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that is read."""

IN_FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
"""A folder that is read."""

ANY_FILE_OR_FOLDER: Final = click.Path(exists=True, path_type=Path)
"""A file or folder that is read."""

ANY_PATH: Final = click.Path(path_type=Path)
"""A path that a callback looks at."""

OUT_FILE: Final = click.Path(dir_okay=False, path_type=Path)
"""A file that is written."""

OUT_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
"""A folder that is written, or made."""


class FileOrName(click.Path):
    """A file that is read, or one of some names."""

    def __init__(self, *names: str) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)
        self.names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, which for a name need not be there."""
        if value in self.names:
            return Path(value)
        if not _is_there(str(value)):
            self.fail(
                f"File {str(value)!r} does not exist. Give a file, or {' or '.join(self.names)}.", param, ctx
            )
        return super().convert(value, param, ctx)


class ModelFile(FileOrName):
    """A model's file, or the name of a model that ships with cropmap, which stays a text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path or the name."""
        return value if value in self.names else super().convert(value, param, ctx)


MODEL_FILE: Final = ModelFile(*SHIPPED)
"""A model that is read."""


class Address(click.ParamType[str]):
    """A path that is there, or an address on the network, which is looked at later."""

    def __init__(self, what: str, way_out: str, *, values: bool = False) -> None:
        """What is looked for.

        Args:
            what: Its name in a message, such as `catalog`.
            way_out: What to give instead, one sentence.
            values: Whether `:40` or `:1,2,5-9` may follow a path.
        """
        self.name = what
        self._way_out, self._values = way_out, values

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same text."""
        text = str(value)
        without_values = text.rpartition(":")[0] if self._values else ""
        if not (_elsewhere(text) or _is_there(text) or (without_values and _is_there(without_values))):
            shown = without_secrets(re.sub(r":[\d,-]*$", "", text) if self._values else text)
            self.fail(f"The {self.name} {shown} does not exist. {self._way_out}", param, ctx)
        return text


class Place(click.ParamType[str]):
    """A path, or the name of something that lies elsewhere; what it is, is looked at later."""

    name = "PLACE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same text."""
        return str(value)


def require_new_files(*written: Path | None) -> None:
    """Refuse to write over what the command that runs now reads, and two results to one file.

    Args:
        *written: Values of its options of `OUT_FILE`; None writes nothing.

    Raises:
        InputError: One of them is one of the files that its arguments and options name, or another of them.
    """
    from gee_pipeline.errors import InputError
    from gee_pipeline.files import require_apart

    read, once = _read_by(click.get_current_context()), set[Path]()
    for path in filter(None, written):
        require_apart(path, read)
        if path.resolve() in once:
            raise InputError(f"Two results would be written to {path}. Choose a file for each.")
        once.add(path.resolve())


def _read_by(ctx: click.Context) -> list[Path]:
    """The files that a command's arguments and options name to read, as far as they are there."""
    types = {param.name: param.type for param in ctx.command.params}
    found: list[Path] = []
    for name, value in ctx.params.items():
        if types[name] not in (OUT_FILE, OUT_FOLDER):
            several = value if isinstance(value, tuple) else (value,)
            found += [
                Path(one) for one in several if one and is_place(types[name], one) and _is_there(str(one))
            ]
    return found


def is_place(kind: click.ParamType[Any], value: Any) -> bool:
    """Whether a value of a type is a path, or an address that may be one, and not a name."""
    named = isinstance(kind, FileOrName) and value in kind.names
    return isinstance(kind, click.Path | Address | Place) and not named


def beside(value: Any, folder: Path) -> Any:
    """A relative path as seen from a folder, if it is there; else the value as it is.

    Args:
        value: What a file of options holds.
        folder: Where that file lies.
    """
    if not isinstance(value, str) or _elsewhere(value):
        return value
    near = str(folder / value)
    without_values = near.rpartition(":")[0]
    return near if _is_there(near) or (without_values and _is_there(without_values)) else value


def _elsewhere(text: str) -> bool:
    return "://" in text or text.startswith("/vsi")


def _is_there(text: str) -> bool:
    try:
        return Path(existing(text)).expanduser().exists()
    except (OSError, ValueError):  # too long, or a zero byte in it
        return False
