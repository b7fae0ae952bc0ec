"""`cropmap forest`: a Random Forest from pseudo-labels, mapped inside Earth Engine."""

from __future__ import annotations

from typing import Final

import click

from cli.lazy import LazyGroup

COMMANDS: Final[dict[str, str]] = {
    "pseudo-label": "cli.commands.forest.pseudo_label:pseudo_label",
    "train": "cli.commands.forest.train:train",
    "deploy": "cli.commands.forest.deploy:deploy",
    "verify": "cli.commands.forest.verify:verify",
    "predict": "cli.commands.forest.predict:predict",
    "code": "cli.commands.forest.code:code",
}
"""Name of a subcommand -> where its click command is defined."""


@click.group(cls=LazyGroup, places=COMMANDS, short_help="Map with a Random Forest inside Earth Engine.")
def forest() -> None:
    """Map with a Random Forest that runs inside Earth Engine.

    CropNet maps a part of a region, the most confident and stable of its labels grow a Random Forest, and the
    forest maps the whole region on Earth Engine's servers, without a GPU or a download of composites.
    """
