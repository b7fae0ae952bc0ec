"""`cropmap forest pseudo-label`: from the map of a run to labelled series for a forest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from cli.options.paths import IN_FILE, IN_FOLDER, OUT_FILE, FileOrName, require_new_files
from cli.options.sections import Grouped
from cli.options.shared import apply, config_option, given, talk_options
from cli.output.reporting import Wording, reporting
from gee_pipeline.legends.crosswalk import LISTS
from training.pseudo_labels.rules import PseudoRules

if TYPE_CHECKING:
    from training.pseudo_labels.pseudo_labels import PseudoListener, PseudoRequest
    from training.pseudo_labels.report import PseudoReport, StageReport
    from training.pseudo_labels.statistics import Noise

_file_options = apply(
    click.option(
        "--run",
        type=IN_FOLDER,
        required=True,
        help="Folder of a finished run of 'cropmap predict', with its composites.",
    ),
    click.option("--out", type=OUT_FILE, required=True, help="The npz file to write."),
)

_rule_options = apply(
    click.option(
        "--confidence",
        type=float,
        default=PseudoRules.confidence,
        show_default=True,
        metavar="PERCENT",
        help="Least confidence of a pixel on the map, 0 to 100.",
    ),
    click.option(
        "--best-share",
        type=float,
        metavar="PERCENT",
        help="This percent of each class, the most confident, passes as well, so no class is emptied; with "
        "--confidence 100 they alone.  [default: one limit for all classes]",
    ),
    click.option(
        "--min-clear",
        type=int,
        metavar="BINS",
        help="Observed bins in the model window, at least.  [default: the recipe's, 8 of 43]",
    ),
    click.option(
        "--neighbours",
        type=int,
        default=PseudoRules.neighbours,
        show_default=True,
        metavar="PIXELS",
        help="Neighbours of the same class, at least, 0 to 8: leaves out the edges of fields.",
    ),
    click.option(
        "--passes",
        type=int,
        default=PseudoRules.passes,
        show_default=True,
        help="Passes through the network with dropout left on; 0 leaves the rule out.",
    ),
    click.option(
        "--agree",
        type=int,
        default=PseudoRules.agree,
        show_default=True,
        metavar="PASSES",
        help="Passes of these that give the class of the map, at least.",
    ),
    click.option(
        "--also",
        type=IN_FILE,
        multiple=True,
        metavar="CHECKPOINT",
        help="Another checkpoint of the same recipe that must give the same class; may be repeated.  "
        "[default: none]",
    ),
    click.option(
        "--per-class",
        type=int,
        default=PseudoRules.per_class,
        show_default=True,
        metavar="SAMPLES",
        help="Samples of a class, at most.",
    ),
    click.option(
        "--largest-ratio",
        type=float,
        metavar="TIMES",
        help="The largest class has at most this many times the samples of the smallest, 1 or more.  "
        "[default: no limit]",
    ),
    click.option(
        "--spacing",
        type=int,
        default=PseudoRules.spacing,
        show_default=True,
        metavar="METRES",
        help="Least distance between samples; a multiple of 10.",
    ),
    click.option(
        "--seed",
        type=int,
        default=PseudoRules.seed,
        show_default=True,
        help="Chooses the samples and the dropout.",
    ),
)

_reference_options = apply(
    click.option(
        "--reference",
        type=IN_FILE,
        metavar="FILE",
        help="True labels to measure the noise by: a raster (.tif, .vrt, ...), or samples with places "
        "(.npz, .csv, .parquet). They choose nothing.  [default: none]",
    ),
    click.option(
        "--classes-table",
        type=FileOrName("cdl"),
        metavar="TABLE.toml",
        help="What the values of a reference raster mean: a TOML table [classes] with lines such as corn = "
        "[1, 4], or cdl.  [default: codes of the run's own classes]",
    ),
    click.option(
        "--legend",
        type=FileOrName(*LISTS),
        help="What the labels of reference samples mean: a TOML or JSON file, or the codes of a standard "
        f"list: {', '.join(LISTS)}.  [default: CropGlobe's]",
    ),
)


@click.command(cls=Grouped, name="pseudo-label", short_help="Draw labelled series from a finished map.")
@config_option
@_file_options
@_rule_options
@_reference_options
@click.option(
    "--device",
    help="Where the networks run: auto, cpu, cuda or cuda:N.  [default: auto, a GPU where there is one]",
)
@talk_options
def pseudo_label(quiet: bool, as_json: bool, **options: Any) -> None:
    """Draw samples from a run's map: confident, stable, surrounded by their class, balanced and spaced.

    Writes an npz that 'cropmap forest train', 'cropmap train' and 'cropmap samples info' read, and next to it
    a report (samples.report.json): what each rule removed of each class and, with --reference, how many
    labels are wrong before and after each. The same command again finds its file and computes nothing.

    \b
    Examples:
      cropmap forest pseudo-label --run run/ --out samples.npz
      cropmap forest pseudo-label --run run/ --out samples.npz --confidence 90 --best-share 10
      cropmap forest pseudo-label --run run/ --out samples.npz --reference cdl.tif --classes-table cdl
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from training.pseudo_labels.pseudo_labels import draw_pseudo_labels

    require_new_files(options["out"])
    with _listener(quiet) as listen:
        report = draw_pseudo_labels(pseudo_request(options), listen)
    show_report(report, as_json)


def pseudo_request(options: dict[str, Any]) -> PseudoRequest:
    """The request of the command, its rules put together from the options."""
    from training.pseudo_labels.pseudo_labels import PseudoRequest

    values = given(options)
    names = [field.name for field in fields(PseudoRules) if field.name in values]
    rules = PseudoRules(**{name: values.pop(name) for name in names})
    return PseudoRequest(rules=rules, **values)


def show_report(report: PseudoReport, as_json: bool) -> None:
    """Print what each rule left of each class, how many labels are wrong, and where the samples are."""
    click.echo(json.dumps(report.to_dict()) if as_json else "\n".join(describe(report)))


def describe(report: PseudoReport) -> list[str]:
    """The report in lines: a table of rules, then balance, noise, spread and the file."""
    return [
        *_rules(report),
        "",
        f"Balance  {_shares(report.shares_before)} on the map; {_shares(report.shares_after)} here",
        *([f"Noise    {_noise(report.stages[-1])}"] if report.reference else []),
        f"Spread   {_spread(report)}",
        *([f"Legend   trainings need --legend {report.legend}"] if report.legend else []),
        f"Samples: {report.samples:,} in {report.out}",
    ]


def _rules(report: PseudoReport) -> list[str]:
    """Rules down, classes across: pixels left after each, and the share of wrong ones where it is known."""
    width = max(len(stage.about) for stage in report.stages)
    widths = {name: max(len(name), 11) for name in report.classes}
    noisy = report.reference is not None
    head = "".join(f"  {name:>{widths[name]}}" for name in report.classes)
    lines = [f"{'left by each rule':<{width}}{head}  {'all':>11}{'   wrong' if noisy else ''}"]
    for stage in report.stages:
        cells = "".join(f"  {stage.left[name]:>{widths[name]},}" for name in report.classes)
        wrong = f"  {_percent(stage.noise):>6}" if noisy else ""
        lines.append(f"{stage.about:<{width}}{cells}  {stage.total:>11,}{wrong}")
    return lines


def _percent(noise: Noise | None) -> str:
    return "-" if noise is None or noise.share is None else f"{noise.share:.1%}"


def _noise(last: StageReport) -> str:
    """The noise of the samples, in all and by class."""
    if last.noise is None or not last.noise.compared:
        return "not known: no sample has a reference label; the table shows that of the pixels which have one"
    by_class = last.noise_by_class or {}
    each = ", ".join(f"{name} {_percent(noise)}" for name, noise in by_class.items() if noise.compared)
    return f"{last.noise.wrong:,} of {last.noise.compared:,} labels wrong ({_percent(last.noise)}): {each}"


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share)


def _spread(report: PseudoReport) -> str:
    spread = report.spread
    median = spread.median_nearest_metres
    apart = "" if median is None else f"; the nearest other sample is {median:,.0f} m away (median)"
    return (
        f"samples in {spread.cells_with_samples:,} of {spread.cells_with_candidates:,} cells with "
        f"candidates, {spread.most_in_a_cell:,} at most in one{apart}"
    )


@contextmanager
def _listener(quiet: bool) -> Iterator[PseudoListener]:
    """Notices and progress on stderr, or silence."""
    from training.pseudo_labels.pseudo_labels import PseudoListener

    with reporting(WORDING, quiet) as reporter:
        yield PseudoListener(reporter.write, lambda *step: reporter.report(Step(*step)))


class Step(NamedTuple):
    """How far a step of the work is."""

    name: str
    """What is counted."""
    done: int
    """So many of them."""
    planned: int
    """So many there are."""


def state(step: Step) -> str:
    """One line."""
    return f"{step.done:,} of {step.planned:,} {step.name}"


WORDING: Final[Wording[Step]] = Wording(state, lambda step: step[1:], lambda step: step.name)
"""How the states of the work are said."""
