"""What a script needs of its model, whatever that is."""

from __future__ import annotations

from dataclasses import dataclass

from inference.scripts.script_text import Settings


@dataclass(frozen=True)
class ModelPart:
    """A model as scripts take it."""

    name: str
    """What the templates and messages call it: `forest`, `network`."""
    title: str
    """What it is, with its article."""
    code_command: str
    """The command that writes the script."""
    map_command: str
    """The command that makes the same map."""
    smaller: str
    """What makes a script with a large model small."""
    view: str
    """What the user of the Code Editor must know of layers besides; may be empty."""
    scored: bool
    """Whether it says how likely each class is."""
    parts: frozenset[str]
    """Parts of the templates that it takes besides that of its name."""
    settings: tuple[Settings, ...]
    """Its constants."""
