"""`cropmap assess report`: answers in, accuracy and areas out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import ANY_FILE_OR_FOLDER, IN_FILE, OUT_FOLDER
from cli.options.sections import Grouped
from cli.options.shared import Names
from cli.output.accuracies import HEAD, class_text, share_text
from cli.output.reporting import counting

if TYPE_CHECKING:
    from assessment.estimation.intervals import Figure
    from assessment.report.report import Report


@click.command(cls=Grouped, short_help="Estimate accuracy and areas from the answers.")
@click.argument("place", metavar="RUN|MAP|STRATA", type=ANY_FILE_OR_FOLDER)
@click.argument("answers", metavar="ANSWERS...", nargs=-1, required=True, type=IN_FILE)
@click.option("--by", type=click.Choice(["district"]), help="Report by district too.")
@click.option(
    "--map",
    "other",
    type=IN_FILE,
    help="Another map of the same pixels to report on, such as a smoothed one; the points stay those of the "
    "map that they were drawn from.",
)
@click.option("--adjudicated", type=IN_FILE, help="Answers to the points on which interpreters differ.")
@click.option("--id-column", metavar="NAME", help="Column of the ids.  [default: id or plotid]")
@click.option(
    "--answer-column",
    metavar="NAME",
    help="Column of the answers.  [default: answer, reference, label or class]",
)
@click.option(
    "--classes",
    type=Names(),
    help="Classes that answers may name: besides those of the map, or, with STRATA, all of them.  [default: "
    "those of the map]",
)
@click.option(
    "--missing",
    type=click.Choice(["refuse", "at-random"]),
    default="refuse",
    show_default=True,
    help="What becomes of points without an answer; at-random leaves them out and says what that can change.",
)
@click.option(
    "--merge-strata", metavar="A+B", multiple=True, help="Strata that become one; repeat it for more."
)
@click.option(
    "--leave-out", metavar="STRATUM", multiple=True, help="A stratum that is no longer part of the area."
)
@click.option(
    "--out",
    type=OUT_FOLDER,
    help="Folder of the report.  [default: report in the folder of the sample, or beside the answers]",
)
@click.option("--quiet", is_flag=True, help="No progress and no notices on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout.")
def report(place: Path, answers: tuple[Path, ...], quiet: bool, as_json: bool, **options: Any) -> None:
    """Estimate accuracy, and hectares of each class, with 95 % intervals, from ANSWERS to a random sample.

    The sample is that of 'cropmap assess design' in a RUN or beside a MAP. One drawn elsewhere is a table of
    STRATA (stratum, pixels, and hectares or pixel_area_m2) with ANSWERS that have the columns id, stratum,
    map and answer. Several files of ANSWERS are of several interpreters. Everything that is wrong is named at
    once, and nothing is written then.

    \b
    Examples:
      cropmap assess report run/ run/assessment/points.csv --by district
      cropmap assess report strata.csv points.csv
    """
    from assessment.report.report import make_report

    request = _request(place, answers, options)
    with counting("windows of the map", quiet) as told:
        found = make_report(request, told)
    if as_json:
        click.echo((found.folder / "report.json").read_text(encoding="utf-8"), nl=False)
        return
    for line in describe(found):
        click.echo(line)
    if not quiet:
        for notice in found.notices:
            click.echo(notice, err=True)


def _request(place: Path, answers: tuple[Path, ...], options: dict[str, Any]) -> Any:
    from assessment.report.report import ReportRequest
    from assessment.report.sampled import Choices
    from assessment.report.sourced import AnswerRequest

    return ReportRequest(
        place,
        AnswerRequest(
            answers,
            options["adjudicated"],
            options["id_column"],
            options["answer_column"],
            options["classes"] or (),
        ),
        Choices(
            options["missing"] == "at-random",
            tuple(tuple(name.strip() for name in text.split("+")) for text in options["merge_strata"]),
            options["leave_out"],
        ),
        districts=options["by"] == "district",
        other=options["other"],
        out=options["out"],
    )


def describe(found: Report) -> list[str]:
    """A report for a reader: areas first, then accuracy."""
    results, sampled = found.results, found.sampled
    width = max(12, *(len(name) for name in sampled.classes))
    lines = [
        f"Estimated from {len(sampled.answered):,} points drawn at random; mapped areas are pixel counts.",
        f"{'area ' + sampled.unit:<{width}} {'mapped':>14} {'estimated':>14} {'95 % interval':>27}",
    ]
    for k, one in enumerate(results.best.classes):
        mapped = results.mapped[k]
        shown = "" if mapped is None else f"{mapped:,.1f}"
        lines.append(f"{one.name:<{width}} {shown:>14} {_area(one.area)}")
        if assisted := results.assisted[k]:
            text = f"{_area(assisted.area)}  model-assisted, {assisted.gain:.0%} narrower"
            lines.append(f"{'':<{width}} {'':>14} {text}")
    lines += ["", f"{'accuracy':<{width}} {HEAD}"]
    lines += [f"{one.name:<{width}} {class_text(one)}" for one in results.best.classes]
    lines.append(f"Overall accuracy of the mapped area: {share_text(results.best.overall)}")
    if found.agreement:
        kappa = "" if found.agreement.kappa is None else f", kappa {found.agreement.kappa:.2f}"
        lines.append(
            f"Interpreters agree on {found.agreement.same:.1%} of {found.agreement.points:,} points{kappa}"
        )
    lines += [_district(one.name, one.accuracy.overall, one.accuracy.units) for one in results.districts]
    return [*lines, f"Report: {found.folder}"]


def _area(figure: Figure | None) -> str:
    if figure is None:
        return f"{'none':>14}"
    return f"{figure.value:>14,.1f} {figure.low:>13,.1f} {figure.high:>13,.1f}{_flags(figure)}"


def _flags(figure: Figure) -> str:
    """What makes a figure weak; where few omitted units decide, the interval that holds there too."""
    named = list(figure.flags)
    if figure.few_omissions and figure.mover:
        low, high = figure.mover
        named.append(f"{low:,.1f} to {high:,.1f} by limits of strata")
    return f"  {', '.join(named)}" if named else ""


def _district(name: str, overall: Figure | None, units: int) -> str:
    return f"District {name}: {units:,} points, overall accuracy {share_text(overall)}"
