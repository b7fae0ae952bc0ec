"""`cropmap assess sheet`: answer sheets and pages for interpreters."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cli.options.paths import IN_FOLDER
from cli.output.reporting import counting


@click.command(short_help="Write blind answer sheets and a page for each point.")
@click.argument("run", type=IN_FOLDER)
@click.option(
    "--interpreters",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    metavar="N",
    help="People who answer on their own; each has a sheet in an order of its own.",
)
@click.option(
    "--chip",
    type=click.IntRange(30, 2_000),
    default=330,
    show_default=True,
    metavar="METRES",
    help="Side of the true-colour chips.",
)
@click.option("--pages/--no-pages", default=True, help="Whether to make pages.  [default: pages]")
@click.option("--sample", type=IN_FOLDER, help="Folder of the sample.  [default: RUN/assessment]")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on stdout.")
def sheet(
    run: Path, interpreters: int, chip: int, pages: bool, sample: Path | None, quiet: bool, as_json: bool
) -> None:
    """Write answer sheets of the sample of a RUN, and an HTML page for each of its points.

    A page has NDVI and bands through the season and true-colour chips by date, from the composites of the
    run, and links to maps of the place; nothing of the map. Sheets that were begun are kept.

    \b
    Example:
      cropmap assess sheet run/ --interpreters 2
    """
    from assessment.sheet.sheet import SheetRequest, write_sheets

    with counting("pages", quiet) as report:
        found = write_sheets(SheetRequest(run, interpreters, chip, pages, sample), report)
    answers = [str(path) for path in found.answers]
    if as_json:
        click.echo(json.dumps({"folder": str(found.folder), "answers": answers, "pages": found.pages}))
        return
    if found.pages:
        click.echo(f"Pages: {found.pages:,}, from {found.folder / 'index.html'}")
    click.echo(f"Answer sheets: {', '.join(answers)}")
    of = run if sample is None else sample
    click.echo(f"Next: fill the column 'answer', then 'cropmap assess report {of} {' '.join(answers)}'")
