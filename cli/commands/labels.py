"""`cropmap labels`: where to gather labels, what they become, and which to doubt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.options.paths import IN_FILE, IN_FOLDER, OUT_FILE, require_new_files
from cli.options.sample_files import file_options, read_files
from cli.options.sections import Grouped
from cli.options.shared import config_option, talk_options
from cli.options.split import refuse_unread_of_split, split_options
from cli.output.reporting import counting
from training.fit.options import SplitRule, rule_for
from training.tuning.options import TuneOptions

if TYPE_CHECKING:
    from assessment.labels.suggest import Suggested
    from assessment.labels.suspects import Checked

SHOWN: Final = 20
"""Suspects on the terminal; the file has all."""


@click.group()
def labels() -> None:
    """Gather labels where they tell most, and look at doubtful ones again."""


@labels.command(short_help="Choose places whose labels would tell most.")
@click.argument("run", metavar="RUN", type=IN_FOLDER)
@click.option("-n", "--count", type=int, default=100, show_default=True, help="Places to visit.")
@click.option(
    "--spacing",
    type=float,
    metavar="METRES",
    default=250.0,
    show_default=True,
    help="Between any two at least: one a field, where fields are smaller.",
)
@click.option(
    "--neighbours",
    type=int,
    default=8,
    show_default=True,
    help="Of a pixel's eight neighbours, those that are mapped as the same class. Fewer for small fields.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Chooses among the doubtful.")
@click.option(
    "--out", type=OUT_FILE, help="GeoPackage to write.  [default: places_to_visit.gpkg in the run's folder]"
)
@config_option
@talk_options
def suggest(run: Path, out: Path | None, quiet: bool, as_json: bool, **given: Any) -> None:
    """Choose places to visit on the map of a finished RUN.

    A pixel's chance grows with its doubt, so that most places lie where much area is in doubt. The doubtful
    are parted into kinds by their series, and one of each kind is chosen: not the same field a hundred times.
    They are no random sample: the accuracy of a map is estimated by 'cropmap assess'.

    The column label is empty. Filled in, 'cropmap labels collect' makes samples of it.

    \b
    Example:
      cropmap labels suggest run/ -n 100
    """
    from assessment.labels.suggest import SuggestOptions
    from assessment.labels.suggest import suggest as choose
    from assessment.labels.visit_file import VISIT_FILE, require_none_there, write_places
    from gee_pipeline.files import require_writable

    options = SuggestOptions(**given)
    out = out or run / VISIT_FILE
    require_none_there(out)
    require_writable(out)
    with counting("cells", quiet) as report:
        found = choose(run, options, report)
    write_places(out, found)
    if as_json:
        click.echo(json.dumps({"places": str(out), "count": len(found.pixels), "classes": _counts(found)}))
        return
    for line in describe(out, found, options.count):
        click.echo(line)


def describe(out: Path, found: Suggested, wanted: int) -> Iterator[str]:
    """What was chosen, for a reader."""
    counts = ", ".join(f"{count} {name}" for name, count in _counts(found).items())
    yield f"Places to visit: {out}, {len(found.pixels)}, on the map {counts}"
    yield (
        f"Mean confidence there {found.pixels['confidence'].mean():.0f} %. No random sample: not for "
        "accuracy. Fill in the column label, then 'cropmap labels collect'."
    )
    if len(found.pixels) < wanted:
        yield f"Fewer than the {wanted} that were asked for: no more pixels lie so far apart."


def _counts(found: Suggested) -> dict[str, int]:
    names = found.classes
    return {name: names.count(name) for name in found.run.model.classes if name in names}


@labels.command(short_help="Make samples of labelled places and a run's composites.")
@click.argument("run", metavar="RUN", type=IN_FOLDER)
@click.argument("points", metavar="POINTS", type=IN_FILE)
@click.option("--label-column", default="label", show_default=True, help="Column of the labels.")
@click.option(
    "--buffer",
    type=float,
    default=0,
    metavar="METRES",
    help="From the edge of a polygon at least; those without such a place are left out.  [default: 0]",
)
@click.option("--out", type=OUT_FILE, required=True, help="The npz file of samples to write.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON on stdout.")
def collect(run: Path, points: Path, label_column: str, buffer: float, out: Path, as_json: bool) -> None:
    """Make samples of labelled POINTS, with the series of the composites of a RUN at their pixels.

    POINTS is a CSV with lon, lat and a label, or a GeoPackage, GeoJSON or Shapefile of points, or of
    polygons, of which a point inside is taken; the composites may be of 'cropmap predict' or 'cropmap
    export'. 'cropmap tune' and 'cropmap train' read the samples.

    \b
    Example:
      cropmap labels collect run/ visited.gpkg --out here.npz
      cropmap tune accurate here.npz --out here.safetensors
    """
    from assessment.labels.collect import collect as gather

    require_new_files(out)
    found = gather(run, points, out, label_column, buffer)
    if as_json:
        facts = {
            "classes": found.classes,
            "without_label": found.empty,
            "elsewhere": found.outside,
            "narrow": found.narrow,
        }
        click.echo(json.dumps({"samples": str(found.out), **facts}))
        return
    counts = ", ".join(f"{count} {name}" for name, count in found.classes.items())
    click.echo(f"Samples: {out}, {sum(found.classes.values())}: {counts}")
    if found.empty or found.outside or found.narrow:
        narrow = f", {found.narrow} too narrow for --buffer {buffer:g}" if buffer else ""
        click.echo(
            f"Left out: {found.empty} places without a label, {found.outside} on no composite of the "
            f"run{narrow}.",
            err=True,
        )


@labels.command(cls=Grouped, short_help="List labels that the other labels contradict.")
@click.argument("files", metavar="SAMPLES...", nargs=-1, required=True, type=IN_FILE)
@file_options
@split_options(SplitRule, rule=None, folds=TuneOptions.folds)
@click.option("--seed", type=int, default=1, show_default=True, help="Deals the places, grows the trees.")
@click.option("--out", type=OUT_FILE, help="CSV file of all suspects.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the suspects as JSON on stdout.")
def check(files: tuple[Path, ...], out: Path | None, as_json: bool, **given: Any) -> None:
    """List labels to look at again: those that the others contradict with confidence.

    Forests are grown on the labels of other places. A label is a suspect where another class is as likely as
    it usually is for samples of that class (confident learning). A suspect may be right: a rare variety, a
    late sowing. Nothing is removed.

    \b
    Example:
      cropmap labels check fields.csv --out suspects.csv
    """
    from dataclasses import asdict

    from assessment.labels.suspects import check_labels
    from assessment.labels.visit_file import write_suspects
    from gee_pipeline.files import require_writable
    from training.fit.training_data import with_groups

    if out:
        require_new_files(out)
        require_writable(out)
    refuse_unread_of_split(given["rule"])
    samples = with_groups(read_files(files, given))
    rule = rule_for(given["rule"], places=samples.lon is not None)
    split = SplitRule(rule, given["block_size"], seed=given["seed"])
    found = check_labels(samples, split, given["folds"], given["seed"])
    if out:
        write_suspects(out, found.suspects, samples)
    if as_json:
        click.echo(json.dumps({"samples": len(samples), "suspects": [asdict(one) for one in found.suspects]}))
        return
    for line in describe_suspects(found, len(samples), out):
        click.echo(line)


def describe_suspects(found: Checked, samples: int, out: Path | None) -> Iterator[str]:
    """Suspects for a reader."""
    count = len(found.suspects)
    yield f"{count:,} of {samples:,} labels are suspects, {count / samples:.1%}; {found.folds.description}."
    for one in found.suspects[:SHOWN]:
        yield f"  sample {one.sample}: {one.label} ({one.own:.0%}), likelier {one.likelier} ({one.other:.0%})"
    if count > SHOWN:
        yield f"  and {count - SHOWN:,} more" + ("" if out else "; --out writes all")
    if out:
        yield f"Suspects: {out}"
