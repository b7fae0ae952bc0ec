"""The models that ship inside the package, by the names that stand for them on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gee_pipeline.errors import InputError

FAST: Final = "fast"
ACCURATE: Final = "accurate"
WIDE: Final = "wide"

SHIPPED: Final = {
    ACCURATE: "compact.safetensors",
    FAST: "small.safetensors",
    WIDE: "wide.safetensors",
}
"""File of each name: the network of Arkansas that maps by default, a student of sixteen channels that it
taught, and a network of thirty-two channels that was trained on Arkansas, California and Canada."""

DEFAULT: Final = ACCURATE
"""What maps where no model is given: the student loses more than `cropmap distill` allows by default."""


def model_path(given: Path | str | None) -> Path:
    """The file of a model: the one given, or one that ships.

    Args:
        given: A path, the name of a model in `SHIPPED`, or None, which is `DEFAULT`.

    Raises:
        InputError: There is no such name, or this installation lacks the model.
    """
    if isinstance(given, Path):
        return given
    name = given or DEFAULT
    if name not in SHIPPED:
        raise InputError(
            f"The models that ship are {', '.join(SHIPPED)}, got {name!r}. Give a file otherwise."
        )
    path = Path(__file__).parent / "checkpoints" / SHIPPED[name]
    if not path.is_file():
        raise InputError(
            f"The model {path} is missing from this installation. Install cropmap again, or give another "
            "model with --model."
        )
    return path
