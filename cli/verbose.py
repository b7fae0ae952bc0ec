"""`--verbose`, which every command has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cli.run_log import log_of


class Verbose(click.Option):
    """Shows on stderr what a run keeps in its log."""

    def __init__(self) -> None:
        super().__init__(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            help="Show each message on stderr as it comes, with time and level: stages, retries, warnings, "
            "where an error arose. A run keeps them in its cropmap.log anyway.",
        )

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Let the log of the command line speak.

        Raises:
            click.UsageError: The command line, or the file of --config, asks for silence too.
        """
        value, rest = super().handle_parse_result(ctx, opts, args)
        if value:
            if opts.get("quiet") or (ctx.default_map or {}).get("quiet"):
                raise click.UsageError("--verbose says more on stderr, --quiet nothing. Omit one of the two.")
            if log := log_of(ctx):
                log.speak()
        return value, rest


def with_verbose(command: click.Command) -> click.Command:
    """A command that has the option; of a group, its commands, and those imported later as they come.

    A group that does work of its own has the option too.
    """
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_verbose(below)
        if not command.invoke_without_command:
            return command
    if not any(isinstance(p, Verbose) for p in command.params):
        command.params.append(Verbose())
    return command
