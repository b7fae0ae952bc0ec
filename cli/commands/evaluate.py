"""`cropmap evaluate`: how right a ready model is on samples that did not train it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import IN_FILE, MODEL_FILE, OUT_FILE
from cli.options.sample_files import file_options, read_files
from cli.options.shared import config_option
from cli.output.accuracies import HEAD, class_text, share_text

if TYPE_CHECKING:
    from assessment.evaluation.evaluate import Evaluation


@click.command(short_help="Score a ready model on independent samples.")
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
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON on stdout.")
def evaluate(
    model: Path | str,
    samples: tuple[Path, ...],
    by: Any,
    block_size: float,
    device: str,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the answers of a MODEL with the labels of SAMPLES: a network, a forest, accurate or fast.

    Scores come with 95 % intervals by blocks, so that neighbours do not count as independent; beside them
    whether confidence is a frequency, which errors remain where the least sure answers are left out, and the
    accuracy by class, place and number of observations. The figures are of the samples and of places like
    theirs: how right a map is, 'cropmap assess' says.

    \b
    Examples:
      cropmap evaluate accurate arkansas.npz --by block
      cropmap evaluate model.safetensors fields.parquet --group-column farm --by column --out scores.json
    """
    from assessment.evaluation.evaluate import evaluate as compare
    from gee_pipeline.files import require_writable, write_json
    from inference.models.pixel_model import device_of, load_model, open_model
    from inference.models.shipped import model_path

    loaded = load_model(model_path(model))
    known = read_files(samples, options, any_classes=True, recipe=loaded.recipe)
    if out:
        require_writable(out)
    opened = open_model(loaded, device_of(loaded, device))
    found = compare(opened, known, by=by, block_size=block_size, footprint=loaded.provenance.get("footprint"))
    values = json.loads(json.dumps(asdict(found), default=_plain))
    if out:
        write_json(out, values)
    if as_json:
        click.echo(json.dumps(values))
        return
    for line in describe(found):
        click.echo(line)
    for notice in found.notices:
        click.echo(notice, err=True)


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
    if worst := found.places[:5]:
        lines += ["", "Worst places:"]
        lines += [f"  {p.name}: {p.samples:,} samples, {share_text(p.accuracy)}" for p in worst]
    return lines
