"""`cropmap sample`: from a reference map to labelled series for training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import IN_FILE, OUT_FILE, FileOrName, Place, require_new_files
from cli.options.sections import Grouped
from cli.options.shared import (
    apply,
    clock_option,
    cloud_options,
    config_option,
    cropland_mask_option,
    earth_engine_options,
    earth_engine_settings,
    eecu_option,
    given,
    place_options,
    recipe_options,
    scene_options,
    sensor_options,
    take_recipe,
    talk_options,
)
from cli.output.reporting import Wording, duration, reporting
from gee_pipeline.legends.crosswalk import LISTS
from training.samples.sample_origin import UNLABELLED
from training.sampling.squares.rule import SamplingRule

if TYPE_CHECKING:
    from training.sampling.dry_run import DryRun
    from training.sampling.field_samples import SampleListener, SampleProgress
    from training.sampling.plan import SampleRequest
    from training.sampling.sample_file import SampleSummary

MAPS = ("cdl", "rpg", "lgp", "brp", "crome", "ctnc", "sas", "qsc")
"""As in training.sampling.reference.known_maps, which takes long to import; a test holds them equal."""

_reference_options = apply(
    click.option(
        "--reference",
        type=Place(),
        metavar="MAP",
        help=f"Where labels come from: a map of CropGlobe ({', '.join(MAPS)}), or one of your own: the path "
        "of polygons or of a raster, or asset:ID[:BAND] or table:ID on Earth Engine.  [required without "
        "--unlabelled]",
    ),
    click.option(
        "--reference-at",
        type=Place(),
        help="Where the map of that name lies: a path, asset:ID[:BAND] or table:ID.  [default: where Earth "
        "Engine has it: cdl, sas]",
    ),
    click.option(
        "--unlabelled",
        is_flag=True,
        help="Draw series of cropland (ESA WorldCover 2021) without labels, as --target of 'cropmap adapt'.",
    ),
    click.option(
        "--classes-table",
        metavar="TABLE.toml",
        type=FileOrName(*dict.fromkeys((*MAPS, *LISTS))),
        help="What the values of the map mean: a TOML table [classes] with lines such as corn = [1, 4], the "
        f"name of a map, or of a list of codes ({', '.join(LISTS)}).  [required for a map of your own]",
    ),
    click.option(
        "--code-column",
        metavar="COLUMN",
        help="Column of polygons with the code of the crop.  [default: that of the map of this name]",
    ),
    click.option(
        "--reference-layer",
        metavar="LAYER",
        help="Layer of a file of polygons.  [default: its only one]",
    ),
    cropland_mask_option,
    click.option(
        "--accuracy",
        metavar="TABLE.csv",
        type=IN_FILE,
        help="How right the map is: value, user and, where known, producer (per cent) and region. Crops need "
        "more than 85, others 80 at least.  [default: all are taken]",
    ),
    click.option(
        "--regions",
        type=Place(),
        help="Polygons of the regions of --accuracy: a path, or table:ID.  [default: states of the USA on "
        "Earth Engine, for cdl]",
    ),
    click.option("--region-column", metavar="COLUMN", help="Column with the names of the regions."),
    click.option("--out", type=OUT_FILE, help="The npz file to write.  [required without --dry-run]"),
    click.option(
        "--raw",
        is_flag=True,
        help="Keep every acquisition of each sample too, in OUT with the ending .raw.npz: time, bands before "
        "clouds are taken out, Cloud Score+ and scene class or flag.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print how many samples each rule would leave, of the map alone; nothing is written.",
    ),
)

_rule_options = apply(
    click.option(
        "--per-cell",
        type=int,
        default=SamplingRule.per_cell,
        show_default=True,
        help="Samples of a square of the grid; CropGlobe has 1 in the USA and 5 elsewhere.",
    ),
    click.option(
        "--each-class",
        is_flag=True,
        help="Draw --per-cell samples of each class in a square, not of all together.",
    ),
    click.option(
        "--spacing",
        type=int,
        default=SamplingRule.spacing,
        show_default=True,
        metavar="METRES",
        help="Least distance between samples; a multiple of 10.",
    ),
    click.option(
        "--buffer",
        type=float,
        default=SamplingRule.buffer,
        show_default=True,
        metavar="METRES",
        help="All land within this distance of a sample has its class; 0 to 500.",
    ),
    click.option(
        "--grid",
        type=float,
        default=SamplingRule.grid,
        show_default=True,
        metavar="DEGREES",
        help="Side of the squares; a whole number of them makes 6 degrees.",
    ),
    click.option(
        "--seed",
        type=int,
        default=SamplingRule.seed,
        show_default=True,
        help="Chooses the samples, whatever the order of the work.",
    ),
)


@click.command(cls=Grouped, short_help="Draw labelled series from a reference map.")
@config_option
@place_options
@sensor_options
@recipe_options
@clock_option
@scene_options
@_reference_options
@_rule_options
@cloud_options
@eecu_option
@earth_engine_options
@talk_options
def sample(quiet: bool, as_json: bool, dry_run: bool, **options: Any) -> None:
    """Draw samples from a crop map as CropGlobe was made; 'cropmap train' reads the result.

    Samples are drawn in squares of 0.1 degree, 60 m away from other classes and from one another; each gets
    its 73 five-day medians of the year, computed like those of a map: by Earth Engine, or from the scenes of
    --source. Squares that are done are kept in OUT.parts until all are: the same command continues.

    \b
    Example:
      cropmap sample --aoi county.geojson --year 2021 --reference cdl --out samples.npz --project my-project
      cropmap sample --aoi region.geojson --year 2021 --reference rpg --reference-at RPG.gpkg \\
        --buffer 20 --source catalog.json --out samples.npz
      cropmap train samples.npz --out model.safetensors --year 2021
    """
    from training.sampling.field_samples import take_samples

    if dry_run:
        return show_dry_run(options, quiet, as_json)
    if options["out"] is None:
        raise click.UsageError("Say where samples are written to, with --out samples.npz, or give --dry-run.")
    require_new_files(options["out"])
    with _listener(quiet) as listen:
        summary = take_samples(sample_request(options), listen)
    show_samples(summary, as_json)


def sample_request(options: dict[str, Any]) -> SampleRequest:
    """The request of the command, its rule, recipe and settings put together from the options."""
    from training.sampling.plan import SampleRequest

    settings, values = earth_engine_settings(options), given(options)
    if values.pop("unlabelled", False) is ("reference" in values):
        raise click.UsageError("Give one of --reference, for labels, and --unlabelled, for series without.")
    values.setdefault("reference", UNLABELLED)
    rule = SamplingRule(**{f.name: values.pop(f.name) for f in fields(SamplingRule)})
    recipe = take_recipe(values).require_enough_bins()
    return SampleRequest(rule=rule, recipe=recipe, settings=settings, **values)


def show_dry_run(options: dict[str, Any], quiet: bool, as_json: bool) -> None:
    """Print what each rule would leave of the points of each class."""
    from training.sampling.dry_run import dry_run

    with _listener(quiet) as listen:
        found = dry_run(sample_request({**options, "out": options["out"] or Path("samples.npz")}), listen)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    show_points(found)
    click.echo("Imagery may still lack some; nothing was written.")


def show_points(found: DryRun) -> None:
    """Print a line of points for each class, and what has none."""
    from training.sampling.dry_run import STEPS

    click.echo(" ".join([f"{'points':>12}", *(f"{step:>18}" for step in STEPS)]))
    for name, steps in found.points.items():
        click.echo(" ".join([f"{name:>12}", *(f"{count:>18,}" for count in steps)]))
    without = f" ({found.cells_without:,} without a sample)" if found.cells_without else ""
    click.echo(f"{found.cells:,} squares{without}, {found.without_class:,} points without a class")
    for line in _values_in_no_class(found.left_out):
        click.echo(line)
    click.echo(f"Samples: {found.samples:,}")


def show_samples(summary: SampleSummary, as_json: bool) -> None:
    """Print where samples are, how many of each class, and what was left out."""
    if as_json:
        click.echo(json.dumps(asdict(summary)))
        return
    for name, count in summary.classes.items():
        click.echo(f"{name:>12} {count:>10,}")
    for line in describe(summary):
        click.echo(line)


def describe(summary: SampleSummary) -> list[str]:
    """Some lines: squares and candidates, what was left out, and the file."""
    without = f" ({summary.cells_without:,} without candidates)" if summary.cells_without else ""
    scenes = "" if summary.scenes is None else f", {summary.scenes:,} scenes"
    lines = [f"{summary.cells:,} squares{without}, {summary.candidates:,} candidates{scenes}"]
    lines += _values_in_no_class(summary.left_out)
    if summary.sparse:
        lines.append(f"{summary.sparse:,} samples have too few observations: 'cropmap train' leaves them out")
    return [*lines, f"Samples: {summary.samples:,} in {summary.out}"]


def _values_in_no_class(left_out: dict[str, int]) -> list[str]:
    """One line with the most frequent ones; none where there are none."""
    if not left_out:
        return []
    most = [f"{value} ({count:,})" for value, count in list(left_out.items())[:8]]
    more = ", ..." if len(left_out) > len(most) else ""
    return [f"Values in no class, with their points: {', '.join(most)}{more}"]


@contextmanager
def _listener(quiet: bool) -> Iterator[SampleListener]:
    """Notices and progress on stderr, or silence."""
    from training.sampling.field_samples import SampleListener

    with reporting(WORDING, quiet) as reporter:
        yield SampleListener(reporter.write, reporter.report)


def state(progress: SampleProgress) -> str:
    """One line: squares, samples, time left."""
    under_way = f", {progress.under_way:,} under way" if progress.under_way else ""
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    left = f", {duration(progress.seconds_left)} left" if progress.seconds_left else ""
    squares = f"{progress.done:,} of {progress.planned:,} squares{under_way}{failed}"
    return f"{squares}, {progress.samples:,} samples{left}"


WORDING: Wording[SampleProgress] = Wording(state, lambda now: (now.done + now.failed, now.planned))
"""How the states of a sampling are said."""
