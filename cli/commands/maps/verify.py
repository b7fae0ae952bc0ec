"""`cropmap verify`: whether a finished run, or a published folder, is what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options.paths import IN_FOLDER

if TYPE_CHECKING:
    from inference.verification.findings import Verified


@click.command(short_help="Whether a finished run or a publication is what it says: yes or no.")
@click.argument("folder", metavar="RUN|FOLDER", type=IN_FOLDER)
@click.option(
    "--cells",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    metavar="N",
    help="Cells, drawn at random, that are predicted again from their composites.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed by which cells are drawn."
)
@click.option("--json", "as_json", is_flag=True, help="Print findings and digests as JSON on stdout.")
def verify(folder: Path, cells: int, seed: int, as_json: bool) -> None:
    """Verify the finished map in a RUN folder, or a published FOLDER, on any machine, without the scenes.

    The run, its model, recipe, source and every cell must have their digests; the rasters the pixels of the
    cells; some cells must come out the same from their composites; and classes must not change more often
    across borders of cells than inside, beyond noise. In a FOLDER of 'cropmap publish', which has neither
    model nor composites, every file must have the digest that SHA256SUMS lists, and every map the pixels
    that its report counts. Exit code 2 where something does not hold.

    \b
    Examples:
      cropmap verify run/ --cells 10
      cropmap verify published/
    """
    from inference.verification.published import is_published, verify_published
    from inference.verification.verify import verify_run

    found = verify_published(folder) if is_published(folder) else verify_run(folder, cells, seed)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        for line in describe(found):
            click.echo(line)
    found.require()


def describe(found: Verified) -> list[str]:
    """What was looked at, and the answer."""
    words = {True: "yes", False: "NO", None: "not looked at"}
    width = max(len(finding.name) for finding in found.findings)
    lines = [f"{one.name:<{width}}  {words[one.holds]:<13}  {one.text}" for one in found.findings]
    lines.append(f"Verified: {'yes' if found.holds else 'no'}")
    return lines
