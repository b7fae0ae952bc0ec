"""`cropmap assess`: how right a finished map is, and how many hectares there are."""

from __future__ import annotations

from typing import Final

import click

from cli.lazy import LazyGroup

COMMANDS: Final[dict[str, str]] = {
    "design": "cli.commands.assess.design:design",
    "sheet": "cli.commands.assess.sheet:sheet",
    "report": "cli.commands.assess.report:report",
    "agreement": "cli.commands.assess.agreement:agreement",
}
"""Name of a subcommand -> where its click command is defined."""


@click.group(cls=LazyGroup, places=COMMANDS, short_help="Accuracy and areas of a map from a blind sample.")
def assess() -> None:
    """Say how right a map is and how many hectares there are, with 95 % intervals.

    'design' draws points at random, people say what is there without seeing the map, and 'report' makes
    accuracy and areas of their answers. What is mapped is not what is there: counted pixels are no estimate.
    """
