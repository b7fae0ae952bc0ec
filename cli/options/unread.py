"""Options that another option's value leaves unread: given on the command line, they are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource


def refuse_workers_of_scheduler(options: Mapping[str, Any]) -> None:
    """Refuse workers on this machine where a scheduler has its own; 0 starts none."""
    both = bool(options["scheduler"] and options["workers"])
    refuse_unread(both, "are of workers on this machine, not of --scheduler", "workers")


def refuse_unread(when: bool, why: str, *names: str) -> None:
    """Refuse options of the command that runs now, where it would not read them.

    A file of --config may hold them: it may serve several commands and models.

    Args:
        when: Whether they stay unread.
        why: What is said of them: `are of --augmentation field`.
        *names: Parameters of the command; those that it does not have are not given.

    Raises:
        click.UsageError: One was given on the command line; it is named.
    """
    ctx = click.get_current_context()
    given = [
        "/".join(param.opts)
        for param in ctx.command.params
        if param.name in names and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]
    if when and given:
        raise click.UsageError(
            f"{', '.join(given)} would not be read: such options {why}. Leave them out.", ctx
        )
