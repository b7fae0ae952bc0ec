"""Options of a long command under headings, so that its --help reads like documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click


def sectioned(sections: Mapping[str, Callable[[Any], Any]]) -> type[click.Command]:
    """A kind of command whose help shows its options by section; --help joins the last one.

    Args:
        sections: Heading -> decorator that gives a command the options below it, in order.
    """
    names = {heading: _names(options) for heading, options in sections.items()}
    last = next(reversed(names))

    class Sectioned(click.Command):
        def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            """Write each section; options of no section join the last."""
            left = {p.name or "": p for p in self.get_params(ctx) if isinstance(p, click.Option)}
            parts = {heading: [left.pop(name) for name in names[heading]] for heading in names}
            parts[last] += left.values()
            for heading, params in parts.items():
                with formatter.section(heading):
                    formatter.write_dl([record for p in params if (record := p.get_help_record(ctx))])

    return Sectioned


def _names(options: Callable[[Any], Any]) -> list[str]:
    """Names of the parameters that a decorator adds, in the order in which they are written."""

    command = click.command("empty")(options(lambda: None))
    return [param.name for param in command.params if param.name]
