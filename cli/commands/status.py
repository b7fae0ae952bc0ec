"""`cropmap status`: how far a run has come."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options.paths import IN_FOLDER


@click.command(short_help="Show how far a run has come.")
@click.argument("run", type=IN_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON on stdout.")
def status(run: Path, as_json: bool) -> None:
    """Show planned, done and failed cells, pixels and time left of a RUN folder.

    Works while the run is going and after it ended.

    \b
    Example:
      cropmap status run/
    """
    from cli.output.results import show_status
    from inference.run.ledger import status as read_status

    show_status(read_status(run), as_json)
