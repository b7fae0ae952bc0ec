"""Groups of commands that are imported only when they are called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from cli.verbose import with_verbose


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is asked for."""

    def __init__(self, *args: Any, places: Mapping[str, str], **options: Any) -> None:
        """A group without any subcommand imported.

        Args:
            *args: As for `click.Group`.
            places: Name of a subcommand -> where its click command is defined, as `module:name`; in the order
                of the work.
            **options: As for `click.Group`.
        """
        super().__init__(*args, **options)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the subcommands, in the order of the work."""
        return list(self.places)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that arguments name; of one that is not there, click suggests the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:  # click knows of imported ones only
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=self.places, ctx=ctx
            ) from error

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of a name, or None."""
        if cmd_name not in self.places:
            return None
        module, attribute = self.places[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return with_verbose(command)


class GroupOfItsOwn(LazyGroup):
    """A command that also has subcommands: it does its own work unless the first word names one of them.

    In click, options of a group may stand before its subcommand. Here they would do nothing, so that a
    subcommand is the first word.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """As for `LazyGroup`."""
        super().__init__(*args, **options, invoke_without_command=True, subcommand_metavar="| COMMAND ...")
        self.allow_extra_args = False
        self.allow_interspersed_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the options of the command itself, or leave all to the subcommand that comes first."""
        if args and not args[0].startswith("-"):
            self.resolve_command(ctx, args)  # of one that is not there, the nearest is suggested
            ctx.args = list(args)
            return ctx.args
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Do the work of the command itself, or run the subcommand."""
        if not ctx.args:
            return click.Command.invoke(self, ctx)
        name, command, rest = self.resolve_command(ctx, ctx.args)
        assert command is not None
        ctx.invoked_subcommand = name
        with command.make_context(name, rest, parent=ctx) as below:
            return below.command.invoke(below)
