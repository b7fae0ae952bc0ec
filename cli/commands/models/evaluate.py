"""`cropmap evaluate`: how right a ready model is on samples that did not train it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import IN_FILE, MODEL_FILE, OUT_FILE, require_new_files
from cli.options.sample_files import file_options, read_files
from cli.options.sections import Grouped
from cli.options.shared import config_option
from cli.output.accuracies import HEAD, class_text, share_text

if TYPE_CHECKING:
    from assessment.evaluation.evaluate import Evaluation
    from assessment.evaluation.sets import SetsOnSamples
    from inference.models.checkpoint import Checkpoint
    from inference.models.forest_model import ForestModel


@click.command(cls=Grouped, short_help="Score a ready model on independent samples.")
@click.argument("model", metavar="MODEL", type=MODEL_FILE)
@click.argument("samples", metavar="SAMPLES...", nargs=-1, required=True, type=IN_FILE)
@click.option(
    "--by",
    type=click.Choice(["block", "column", "sample"]),
    help="What is independent of each other: squares of the ground, the groups of a column, or every "
    "sample.  [default: block where places are known, else column, else sample]",
)
@click.option(
    "--block-size",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DEGREES",
    default=0.25,
    show_default=True,
    help="Side of a block.",
)
@click.option("--group-column", help="Key or column of the groups.  [default: group]")
@file_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--out", type=OUT_FILE, help="JSON file for all figures.")
@click.option(
    "--calibrate",
    type=OUT_FILE,
    metavar="FILE",
    help="Write the network to FILE with limits of prediction sets from SAMPLES, so that --layers sets of "
    "'cropmap predict --model FILE' holds where they come from. Nothing else of it changes.",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0.5, 0.99),
    metavar="SHARE",
    help="Share of each class whose set shall hold it, with --calibrate.  [default: 0.9]",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON on stdout.")
def evaluate(
    model: Path | str,
    samples: tuple[Path, ...],
    by: Any,
    block_size: float,
    device: str,
    out: Path | None,
    calibrate: Path | None,
    coverage: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the answers of a MODEL with the labels of SAMPLES: a network, a forest, or one that ships.

    Scores come with 95 % intervals by blocks, so that neighbours do not count as independent; beside them
    whether confidence is a frequency, which errors remain where the least sure answers are left out, and the
    accuracy by class, place and number of observations. The figures are of the samples and of places like
    theirs: how right a map is, 'cropmap assess' says.

    \b
    Examples:
      cropmap evaluate accurate arkansas.npz --by block
      cropmap evaluate model.safetensors fields.parquet --group-column farm --by column --out scores.json
      cropmap evaluate accurate canada.npz --calibrate canada.safetensors
    """
    from assessment.evaluation.evaluate import evaluate as compare
    from gee_pipeline.files import require_writable, write_json
    from inference.models.pixel_model import device_of, load_model, open_model
    from inference.models.shipped import model_path

    require_new_files(out, calibrate)
    loaded = load_model(model_path(model))
    wanted = _coverage(loaded, calibrate, coverage)
    known = read_files(samples, options, any_classes=True, recipe=loaded.recipe)
    for path in filter(None, (out, calibrate)):
        require_writable(path)
    found = compare(
        open_model(loaded, device_of(loaded, device)),
        known,
        by=by,
        block_size=block_size,
        footprint=loaded.provenance.get("footprint"),
        sets=getattr(loaded, "prediction_sets", None),
        coverage=wanted,
    )
    values = json.loads(json.dumps(asdict(found), default=_plain))
    if out:
        write_json(out, values)
    if calibrate:
        _write(calibrate, loaded, found)
    if as_json:
        click.echo(json.dumps(values))
        return
    for line in describe(found):
        click.echo(line)
    if calibrate:
        click.echo(f"Calibrated: {calibrate}. Its sets: cropmap predict --model {calibrate} --layers sets")
    for notice in found.notices:
        click.echo(notice, err=True)


def _coverage(
    model: Checkpoint | ForestModel, calibrate: Path | None, coverage: float | None
) -> float | None:
    """The coverage of the limits that are wanted; None where none are."""
    from gee_pipeline.errors import InputError
    from inference.models.checkpoint import Checkpoint
    from training.scores.prediction_sets import COVERAGE

    if calibrate is None:
        if coverage is not None:
            raise InputError("--coverage is that of limits which --calibrate writes; give both, or neither.")
        return None
    if not isinstance(model, Checkpoint):
        raise InputError(
            "--calibrate takes a network: the file of a forest holds no limits of sets. Omit it."
        )
    return COVERAGE if coverage is None else coverage


def _write(path: Path, model: Checkpoint | ForestModel, found: Evaluation) -> None:
    """The network with the limits that were found."""
    from inference.models.checkpoint import Checkpoint, save_checkpoint

    assert isinstance(model, Checkpoint), "only networks are calibrated"
    save_checkpoint(path, replace(model, prediction_sets=found.limits))


def _plain(value: Any) -> Any:
    """An array, or a number of numpy, as JSON has it."""
    return value.tolist()


def describe(found: Evaluation) -> list[str]:
    """An evaluation for a reader."""
    accuracy, sure = found.accuracy, found.confidence
    width = max(12, *(len(one.name) for one in accuracy.classes))
    independent = "samples" if found.by == "sample" else f"{found.blocks:,} blocks"
    lines = [
        f"{found.samples:,} samples; 95 % intervals by {independent}.",
        f"Overall accuracy {share_text(accuracy.overall)}, macro-F1 {share_text(found.macro_f1)}",
        "",
        f"{'class':<{width}} {'samples':>8} {HEAD}",
    ]
    for one in accuracy.classes:
        lines.append(f"{one.name:<{width}} {one.reference_units:>8,} {class_text(one)}")
    tells = "" if sure.tells_right is None else f", tells right from wrong {sure.tells_right:.3f} (0.5: not)"
    lines += [
        "",
        f"Confidence {sure.mean:.3f} on average, calibration error {sure.calibration_error:.3f}{tells}",
    ]
    lines += [
        f"  the surest {r.coverage:.0%}, from {r.confidence:.2f} on: {r.error:.1%} wrong" for r in sure.risks
    ]
    lines += ["", *(f"{p.name}: {p.samples:,} samples, {share_text(p.accuracy)}" for p in found.observations)]
    lines += _sets(found)
    if worst := found.places[:5]:
        lines += ["", "Worst places:"]
        lines += [f"  {p.name}: {p.samples:,} samples, {share_text(p.accuracy)}" for p in worst]
    return lines


def _sets(found: Evaluation) -> Iterator[str]:
    """What prediction sets are worth: the model's own, and those by the samples."""
    if own := found.sets:
        yield from ("", f"Prediction sets of {own.promised:.0%}, by {own.source}")
        yield from _held(own)
    if here := found.sets_calibrated:
        yield from ("", f"The same by these samples, each by those of other places, {here.promised:.0%}")
        yield from _held(here)


def _held(sets: SetsOnSamples) -> Iterator[str]:
    width = max(len(one.name) for one in sets.parts)
    for one in sets.parts:
        yield (
            f"  {one.name:<{width}} {one.samples:>7,} samples: true class in {share_text(one.coverage)} of "
            f"the sets, {one.size:.2f} classes in one, {one.empty:.1%} empty"
        )
