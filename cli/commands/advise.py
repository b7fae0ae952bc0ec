"""`cropmap advise`: does a model fit a place? Before the place is mapped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import MODEL_FILE
from cli.options.sections import Grouped
from cli.options.shared import (
    area_options,
    cropland_mask_option,
    expected_start_option,
    given,
    server_options,
    talk_options,
    work_options,
)
from cli.options.unread import refuse_workers_of_scheduler

if TYPE_CHECKING:
    from inference.advice.advice import Advice


@click.command(cls=Grouped, short_help="Whether a model fits a place, before it is mapped.")
@area_options
@click.option(
    "--model",
    type=MODEL_FILE,
    metavar="FILE|accurate|fast|wide",
    help="A trained network, or one that ships.  [default: accurate]",
)
@click.option(
    "--squares",
    type=click.IntRange(1, 1_000),
    default=8,
    show_default=True,
    metavar="N",
    help="Squares of 640 m that are drawn at random and tried.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed by which they are drawn."
)
@expected_start_option
@cropland_mask_option
@server_options
@work_options
@talk_options
def advise(squares: int, seed: int, quiet: bool, as_json: bool, **options: Any) -> None:
    """Try a model on a few squares of an area and a year, and say whether it fits.

    The squares are mapped as 'cropmap predict' would. Told are: how many of their pixels are unlike what the
    model was trained on, classes that are never predicted, whether the model is surer with its window moved,
    what accuracy to expect and why, and what to do next. The trial is kept in --out, with advice.json.

    \b
    Example:
      cropmap advise --aoi region.geojson --year 2023 --model accurate --out trial/
    """
    refuse_workers_of_scheduler(options)
    from cli.output.progress import listener
    from inference.advice.squares import trial_folder
    from inference.advice.trial import advise as try_model
    from inference.workflow.request import MapRequest

    request = MapRequest(**given(options))
    folder = request.out or trial_folder(request)
    with listener(quiet) as listen:
        advice = try_model(request, folder, squares=squares, seed=seed, listener=listen)
    if as_json:
        click.echo(json.dumps(advice.to_dict()))
        return
    for line in describe(advice):
        click.echo(line)


def describe(advice: Advice) -> list[str]:
    """What was found, and what to do."""
    shares = ", ".join(f"{name} {share:.1%}" for name, share in advice.classes.items() if share)
    lines = [
        *(["The scenes are simulated: this shows how the command works."] if advice.simulated else []),
        f"Tried on {advice.pixels:,} pixels: {shares}",
        f"Mean confidence: {advice.confidence:.1%}",
    ]
    if advice.never:
        lines.append(f"Never predicted: {', '.join(advice.never)}")
    if advice.outside is not None:
        lines.append(f"Unlike the training samples: {advice.outside:.1%} of the pixels")
    lines += [*_growth(advice), _window(advice), _accuracy(advice)]
    return [*lines, *([advice.gap] if advice.gap else []), f"Next: {advice.next_step}"]


def _growth(advice: Advice) -> Iterator[str]:
    """How the classes grow here, in NDVI, where the model's file has curves to compare with."""
    if not advice.growth:
        return
    strange = {one.name for one in advice.strange}
    alike = ", ".join(f"{one.name} {one.difference:.2f}" for one in advice.growth if one.name not in strange)
    other = ", ".join(f"{one.name} {one.difference:.2f}" for one in advice.strange)
    yield (
        "NDVI through the window, mean difference from the training samples: "
        f"as in training {alike or 'none'}; otherwise {other or 'none'} (curves.png)"
    )


def _window(advice: Advice) -> str:
    best = advice.best_shift
    if best.days == 0:
        return "Window: the model is surest, or as sure, with its own"
    when = f"{abs(best.days)} days {'later' if best.days > 0 else 'earlier'}"
    return (
        f"Window: the model is surer with one {when} (mean confidence {best.confidence:.1%}): crops may grow "
        "at other times here. Confidence is no proof; nothing is moved by itself"
    )


def _accuracy(advice: Advice) -> str:
    own = (
        "" if advice.own_accuracy is None else f"{advice.own_accuracy:.1%} on held-out places of its training"
    )
    if advice.expected is None:
        basis = "nobody tried this model on places as unlike as this"
        return f"Accuracy: {own or 'not known'}; {basis}, so nothing can be said for here"
    one = advice.expected
    return (
        f"Accuracy to expect: {one.low:.0%} to {one.high:.0%}, as on {one.squares} squares of Arkansas, "
        f"California and Canada where as many pixels were unlike the training samples"
        f"{f' ({own})' if own else ''}"
    )
