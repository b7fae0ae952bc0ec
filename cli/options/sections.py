"""Options of a long command under headings, so that its --help reads like documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click


def sectioned(
    sections: Mapping[str, Callable[[Any], Any]], kind: type[click.Command] = click.Command
) -> type[click.Command]:
    """A kind of command whose help shows its options by section; --help joins the last one.

    Args:
        sections: Heading -> decorator that gives a command the options below it, in order.
        kind: What it is otherwise; the subcommands of a group stand below the options.
    """
    names = {heading: _names(options) for heading, options in sections.items()}
    last = next(reversed(names))

    class Sectioned(kind):  # type: ignore[misc, valid-type]  # known when it runs
        def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            """Write each section; options of no section join the last."""
            left = {p.name or "": p for p in self.get_params(ctx) if isinstance(p, click.Option)}
            parts = {heading: [left.pop(name) for name in names[heading]] for heading in names}
            parts[last] += left.values()
            for heading, params in parts.items():
                with formatter.section(heading):
                    formatter.write_dl([record for p in params if (record := p.get_help_record(ctx))])
            if isinstance(self, click.Group):
                self.format_commands(ctx, formatter)

    return Sectioned


SHARED: Final[dict[str, tuple[str, ...]]] = {
    "Area and season": ("config", "aoi", "layer", "year", "hemisphere", "season_start"),
    "Images": (
        *("source", "collection", "leave_out_scene", "bad_scenes", "sensors", "bands"),
        *("season", "window", "bin_days", "min_clear_bins", "clock", "cloud_band", "cloud_threshold"),
    ),
    "Map": ("out", "crs", "cell_size", "like", "cropland_mask", "layers", "min_mapped", "colors"),
    "As an asset of Earth Engine": ("asset", "bucket", "overwrite", "no_waiting", "keep_upload", "manifest"),
    "Earth Engine": ("project", "service_account", "endpoint", "cropland", "max_eecu_hours"),
    "On the servers": ("to", "no_wait", "most_tasks", "collect", "downloads", "unverified"),
    "This machine": ("device", "memory", "workers", "scheduler"),
    "Output": ("quiet", "verbose", "as_json", "help"),
}
"""Heading -> options that several commands have, by parameter."""


class Grouped(click.Command):
    """A command whose help shows its own options first, then those that it shares, under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by heading; a heading without any is left out."""
        left = {p.name or "": p for p in self.get_params(ctx) if isinstance(p, click.Option)}
        shared = {
            heading: [left.pop(name) for name in names if name in left] for heading, names in SHARED.items()
        }
        for heading, params in {"Options": list(left.values()), **shared}.items():
            if params:
                with formatter.section(heading):
                    formatter.write_dl([record for p in params if (record := p.get_help_record(ctx))])


def _names(options: Callable[[Any], Any]) -> list[str]:
    """Names of the parameters that a decorator adds, in the order in which they are written."""

    command = click.command("empty")(options(lambda: None))
    return [param.name for param in command.params if param.name]
