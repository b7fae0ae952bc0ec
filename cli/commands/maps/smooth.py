"""`cropmap smooth`: a map without speckle, beside the one of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import IN_FILE, IN_FOLDER
from cli.options.shared import given
from cli.output.accuracies import share_text
from cli.output.reporting import counting
from cli.run_log import keep_log

if TYPE_CHECKING:
    from assessment.smoothing.compared import BeforeAfter
    from assessment.smoothing.request import Changed


@click.command(short_help="A map without speckle, beside that of a run.")
@click.argument("run", type=IN_FOLDER)
@click.option(
    "--method",
    type=click.Choice(["bayes", "majority", "sieve"]),
    help="By the probabilities around each pixel; by the most frequent class around it; or parts that are "
    "too small go to their largest neighbour.  [default: bayes]",
)
@click.option(
    "--window",
    type=int,
    metavar="PIXELS",
    help="Pixels along a side of what is around, odd.  [default: 9 for bayes, 3 for majority]",
)
@click.option(
    "--smoothness",
    type=float,
    metavar="VARIANCE",
    help="Variance of the noise of logits, for bayes: the larger, the smoother.  [default: 20]",
)
@click.option(
    "--minimum-area",
    type=float,
    metavar="HECTARES",
    help="Smallest part that stays, for sieve.  [default: 0.1]",
)
@click.option(
    "--answers",
    type=IN_FILE,
    multiple=True,
    help="Answers to the points of 'cropmap assess design': accuracy before and after; repeat it for a "
    "second interpreter.",
)
@click.option("--quiet", is_flag=True, help="No progress and no notices on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON on stdout.")
def smooth(run: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Smooth the finished map of a RUN as a whole; the map itself stays as it is.

    The result is RUN/smoothed/crop_map_smoothed.tif with the same legend. Pixels without a class keep their
    code, and say nothing about their neighbours. Bayesian smoothing needs the layer of probabilities
    ('cropmap predict --layers probabilities').

    \b
    Examples:
      cropmap smooth run/
      cropmap smooth run/ --method sieve --minimum-area 0.5
      cropmap smooth run/ --answers answers.csv
    """
    from assessment.smoothing.request import SmoothRequest
    from assessment.smoothing.smooth import NEW_MAP, smooth_map

    keep_log(run, quiet=quiet)
    with counting("rows of the map", quiet) as report:
        found = smooth_map(SmoothRequest(run, **given(options)), report)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    for line in describe(found):
        click.echo(line)
    if not quiet:
        click.echo(NEW_MAP, err=True)


def describe(found: Changed) -> list[str]:
    """Hectares that the map shows before and after, by class."""
    from inference.product.map_facts import hectares_text

    width = max(12, *(len(name) for _, name in found.names))
    lines = [f"{'class':<{width}} {'mapped ha':>14} {'smoothed ha':>14} {'pixels':>12}"]
    for code, name in found.names:
        before, after = (hectares_text(value) for value in found.hectares[:, code].tolist())
        change = int(found.pixels[:, code].sum() - found.pixels[code].sum())
        lines.append(f"{name:<{width}} {before:>14} {after:>14} {change:>+12,}")
    share = found.changed / (found.mapped or 1)
    lines.append(f"Changed: {found.changed:,} of {found.mapped:,} pixels with a class ({share:.1%})")
    lines += _accuracy(found.accuracy) if found.accuracy else []
    lines.append(f"Map: {found.folder / 'crop_map_smoothed.tif'}")
    return lines


def _accuracy(found: BeforeAfter) -> list[str]:
    """Overall accuracy and F1 of each class, before and after."""
    low, high = found.interval
    pairs = zip(found.before.classes, found.after.classes, strict=True)
    return [
        f"{'accuracy':<12} {'mapped':>22} {'smoothed':>22}",
        f"{'overall':<12} {share_text(found.before.overall):>22} {share_text(found.after.overall):>22}",
        *(f"{one.name:<12} {share_text(one.f1):>22} {share_text(other.f1):>22}  F1" for one, other in pairs),
        f"Overall accuracy changes by {found.gain.value:+.3f} ({low:+.3f} {high:+.3f}), by the same points",
    ]
