"""`cropmap assess agreement`: a map beside points that were not drawn at random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import ANY_FILE_OR_FOLDER, IN_FILE
from cli.options.shared import map_legend_option

if TYPE_CHECKING:
    from assessment.report.agreement import PointAgreement


@click.command(short_help="Compare a map with field data that are no random sample.")
@click.argument("place", metavar="RUN|MAP", type=ANY_FILE_OR_FOLDER)
@click.argument("points", type=IN_FILE)
@click.option(
    "--label-column",
    metavar="NAME",
    help="Column of the labels.  [default: answer, reference, label or class]",
)
@map_legend_option
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON on stdout.")
def agreement(
    place: Path, points: Path, label_column: str | None, legend: Path | None, as_json: bool
) -> None:
    """Count how many POINTS have the class of a map: field data that were not drawn at random.

    Such points say how the map does there. They give no accuracy of the map, no area and no interval: for
    those draw a sample with 'cropmap assess design'. POINTS is a table with lon, lat and a label, or a vector
    file.

    \b
    Example:
      cropmap assess agreement run/ field_visits.csv --label-column crop
    """
    from assessment.report.agreement import FIRST_LINE, compare

    found = compare(place, points, label_column=label_column, legend=legend)
    if as_json:
        click.echo(json.dumps(_values(found)))
        return
    click.echo(FIRST_LINE)
    for line in describe(found):
        click.echo(line)


def _values(found: PointAgreement) -> dict[str, Any]:
    from assessment.report.agreement import FIRST_LINE

    return {
        "note": FIRST_LINE,
        "probability_sample": False,
        "points": found.points,
        "same": found.same,
        "labels": list(found.labels),
        "table": found.table.tolist(),
        "unmapped": dict(found.unmapped),
    }


def describe(found: PointAgreement) -> list[str]:
    """The table, map down and points across, and how many agree."""
    width = max(12, *(len(name) for name in found.labels))
    lines = ["".join([f"{'map / points':<{width}}", *(f"{name[:11]:>12}" for name in found.labels)])]
    for name, row in zip(found.labels, found.table.tolist(), strict=True):
        lines.append("".join([f"{name:<{width}}", *(f"{count:>12,}" for count in row)]))
    share = f" ({found.same / found.points:.1%} of these points)" if found.points else ""
    lines.append(f"Agreement: {found.same:,} of {found.points:,} points{share}")
    lines += [f"Without a class on the map: {n:,} points, {name}" for name, n in found.unmapped.items()]
    return lines
