"""`cropmap assess design`: a map in, a blind probability sample out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import ANY_FILE_OR_FOLDER, IN_FILE, OUT_FOLDER
from cli.options.sections import Grouped
from cli.options.shared import Names, given, map_legend_option
from cli.output.reporting import counting

if TYPE_CHECKING:
    from assessment.sample.design import Designed


class Accuracies(click.ParamType[Mapping[str, float]]):
    """Accuracies by class, `maize=0.8,wheat=0.9`."""

    name = "CLASS=SHARE,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, float]:
        """The accuracy of each class."""
        if isinstance(value, Mapping):
            return value
        try:
            pairs = [part.rpartition("=")[::2] for part in value.split(",")]
            return {name.strip(): float(share) for name, share in pairs}
        except ValueError:
            self.fail(f"{value!r} is not a list of accuracies. Write it as maize=0.8,wheat=0.9.", param, ctx)


@click.command(cls=Grouped, short_help="Draw the points of a blind reference sample.")
@click.argument("place", metavar="RUN|MAP", type=ANY_FILE_OR_FOLDER)
@click.option("--points", type=click.IntRange(min=2), metavar="N", help="Points in all.")
@click.option(
    "--target-se",
    type=float,
    metavar="SHARE",
    help="Standard error of the overall accuracy to reach, such as 0.01, in place of --points.",
)
@click.option(
    "--strata",
    type=click.Choice(["class", "class+district", "confidence", "sets", "none"]),
    help="What a stratum is: a class of the map; that in a district; that of some confidence, or with an "
    "empty prediction set, one of one class or of several, so that fewer points say as much; none is a "
    "simple random sample.  [default: class]",
)
@click.option(
    "--allocate",
    type=click.Choice(["proportional", "neyman", "equal"]),
    help="How points are shared out beyond the floor: by area; by area times standard deviation, best for "
    "the overall accuracy; the same number each.  [default: proportional]",
)
@click.option(
    "--floor",
    type=click.IntRange(min=2),
    metavar="N",
    help="Points of each stratum at least.  [default: 50, or less where that takes more than half of them]",
)
@click.option(
    "--expect",
    type=Accuracies(),
    help="User's accuracy that is hoped for.  [default: the map's mean confidence, else 0.8]",
)
@click.option("--districts", type=IN_FILE, help="Polygons of districts, for strata or a report by district.")
@click.option("--district-column", metavar="NAME", help="Column of their names.")
@click.option(
    "--classes",
    type=Names(),
    help="Classes that answers may name besides those of the map, such as vineyard.",
)
@map_legend_option
@click.option(
    "--blocks",
    type=float,
    metavar="METRES",
    help="Draw square blocks of this side, such as 2000, and the points in them: less travel, wider "
    "intervals. With --strata none.",
)
@click.option("--blocks-drawn", type=click.IntRange(min=2), metavar="N", help="Blocks to draw.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the draw.  [default: 0]")
@click.option(
    "--out",
    type=OUT_FOLDER,
    help="Folder of the sample.  [default: RUN/assessment, or MAP's name with _assessment]",
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the design as JSON on stdout.")
def design(place: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Draw points at random from the pixels of the whole area of a RUN, or of a MAP of class codes.

    What the map does not show, not enough observations or no cropland, is a stratum too, so that areas are
    those of the area. The points come as GeoPackage, GeoJSON, CSV, KML and as a project of Collect Earth
    Online, without anything of the map; key.csv keeps what the map shows: do not give it to interpreters.

    \b
    Examples:
      cropmap assess design run/ --points 600
      cropmap assess design run/ --target-se 0.01 --districts d.gpkg --district-column name
    """
    from assessment.sample.design import design_sample
    from assessment.sample.request import DesignRequest

    with counting("windows of the map", quiet) as report:
        found = design_sample(DesignRequest(place, **given(options)), report)
    if as_json:
        click.echo(json.dumps(_values(found)))
        return
    for line in describe(found, place):
        click.echo(line)
    if not quiet:
        for notice in found.notices:
            click.echo(notice, err=True)


def _values(found: Designed) -> dict[str, Any]:
    expected = {
        name: {"share": float(share), "se": float(se)}
        for name, share, se in zip(found.classes, found.expected.areas, found.expected.area_se, strict=True)
    }
    strata = [asdict(one) for one in found.design.strata]
    return {
        "folder": str(found.folder),
        "points": len(found.design.units),
        "strata": strata,
        "expected": {"overall_se": found.expected.overall_se, "areas": expected},
    }


def describe(found: Designed, place: Path) -> list[str]:
    """The sample for a reader: a table of strata, what to expect, and what to do next.

    Args:
        found: The sample.
        place: The run or the map that it was drawn from.
    """
    from assessment.estimation.intervals import Z
    from inference.product.map_facts import hectares_text

    design, expected = found.design, found.expected
    width = max(12, *(len(stratum.name) for stratum in design.strata))
    lines = [f"{'stratum':<{width}} {'mapped ha':>14} {'points':>8}"]
    lines += [
        f"{one.name:<{width}} {hectares_text(one.hectares):>14} {one.units:>8,}" for one in design.strata
    ]
    lines += ["", f"{'to expect':<{width}} {'area ha':>14} {'95 %':>8}"]
    for name, share, se in zip(found.classes, expected.areas, expected.area_se, strict=True):
        half = hectares_text(Z * se * design.hectares)
        lines.append(f"{name:<{width}} {hectares_text(share * design.hectares):>14} +- {half}")
    lines += [
        f"Overall accuracy to expect: +- {Z * expected.overall_se:.1%} of the mapped area",
        f"Worth about {expected.simple_units:,.0f} points of a simple random sample for the areas",
        f"Points: {len(design.units):,} in {found.folder}",
        _next_step(found, place),
    ]
    return lines


def _next_step(found: Designed, place: Path) -> str:
    """What to do with the points: pages of imagery where a run has some."""
    if place.is_dir():
        sample = "" if found.folder == place / "assessment" else f" --sample {found.folder}"
        return (
            f"Next: 'cropmap assess sheet {place}{sample}' makes answer sheets and pages of imagery; "
            "points.gpkg, .kml and .csv serve other programs. Keep key.csv to yourself."
        )
    return (
        f"Next: fill the column 'answer' of {found.folder / 'points.csv'} without looking at the map "
        f"({', '.join(found.design.classes)}), then 'cropmap assess report {found.folder} "
        f"{found.folder / 'points.csv'}'. Keep key.csv to yourself."
    )
