"""`cropmap samples`: a look at labelled series before a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import IN_FILE, OUT_FILE, require_new_files
from cli.options.sample_files import read_files, reading_options
from cli.options.sections import Grouped

if TYPE_CHECKING:
    from training.sample_report.report import Extent, Quartiles, SampleReport


@click.group()
def samples() -> None:
    """Inspect labelled series."""


@samples.command(cls=Grouped, short_help="Show what files of samples hold, and draw it.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=IN_FILE)
@reading_options
@click.option(
    "--picture",
    type=OUT_FILE,
    help="Draw places, NDVI of each class and observations as .png, .pdf or .svg.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON on stdout.")
def info(files: tuple[Path, ...], picture: Path | None, as_json: bool, **given: Any) -> None:
    """Show what files of samples hold: classes, places, season, gaps, and what a training leaves out.

    FILE is what 'cropmap train' reads; several are counted together.

    \b
    Example:
      cropmap samples info samples.npz --picture samples.png
      cropmap samples info fields.csv --legend legend.toml --year 2022
    """
    from training.sample_report.report import report_samples

    require_new_files(picture)
    found = read_files(files, given)
    report = report_samples(found, files)
    if picture:
        from training.sample_report.picture import draw_samples

        draw_samples(picture, found, report)
    click.echo(json.dumps(report.to_dict()) if as_json else "\n".join(describe(report)))


def describe(report: SampleReport) -> list[str]:
    """The report in lines: a table of classes, then a line a topic."""
    return [
        *_table(report),
        "",
        f"Samples      {report.samples:,}",
        f"Left out     {_left_out(report)}",
        f"Observed     {_gaps(report)}",
        *([f"Groups       {report.groups:,}"] if report.groups is not None else []),
        f"Places       {_place(report.extent) if report.extent else 'not in the files'}",
        f"Season       {_season(report)}",
        f"Source       {report.source}",
    ]


def _table(report: SampleReport) -> list[str]:
    """Classes down; countries across where they are known."""
    countries = report.countries or {}
    width = max(12, *(len(name) for name in report.classes))
    heads = [f"{code[:9]:>10}" for code in countries]
    lines = [f"{'':<{width}}{''.join(heads)}{'samples':>10}   share"] if heads else []
    for name, count in report.classes.items():
        cells = "".join(f"{by_class[name]:>10,}" for by_class in countries.values())
        lines.append(f"{name:<{width}}{cells}{count:>10,} {count / report.samples:>7.1%}")
    return lines


def _left_out(report: SampleReport) -> str:
    one = "" if report.duplicates_dropped == 1 else "s"
    other = f", {report.left_out:,} of other classes" if report.left_out else ""
    return (
        f"{report.sparse_dropped:,} ({report.sparse_share:.1%}) with fewer than {report.min_clear_bins} "
        f"observed bins in the model window, {report.duplicates_dropped:,} duplicate{one}{other}"
    )


def _gaps(report: SampleReport) -> str:
    if not report.gaps_marked:
        return "every bin of every sample: the files hold filled series, without marks where gaps were"
    first, last = report.window
    fewest = min(range(first, last + 1), key=lambda index: report.observed_by_bin[index])
    return (
        f"{_spread(report.observed_season)} of {len(report.observed_by_bin)} bins; in the model window "
        f"{_spread(report.observed_window)} of {last - first + 1}, fewest in bin {fewest} "
        f"({report.observed_by_bin[fewest]:.1%} of the samples)"
    )


def _spread(values: Quartiles) -> str:
    return f"{values.median:g} (quartiles {values.lower:g} and {values.upper:g})"


def _place(extent: Extent) -> str:
    west, east = (f"{abs(lon):.2f} {'E' if lon >= 0 else 'W'}" for lon in (extent.west, extent.east))
    south, north = (f"{abs(lat):.2f} {'N' if lat >= 0 else 'S'}" for lat in (extent.south, extent.north))
    return f"{west} to {east}, {south} to {north}"


def _season(report: SampleReport) -> str:
    from gee_pipeline.season import length_text

    if report.season_start is None:
        return "not in the files, or not the same in all"
    year = f"{report.year}, " if report.year else ""
    return f"{year}from {report.season_start:%Y-%m-%d}, bins of {length_text(report.bin_days)}"
