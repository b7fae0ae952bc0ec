"""`cropmap train`: from labelled series to a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import Names, apply, given, read_config, talk_options
from training.options import PRESETS, RULES, SCHEDULES, SplitRule, TrainingOptions

if TYPE_CHECKING:
    from inference.checkpoint import Checkpoint

_data_options = apply(
    click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=read_config,
        help="TOML file with any of these options; the command line wins.",
    ),
    click.argument("files", metavar="SAMPLES...", nargs=-1, required=True, type=click.Path(path_type=Path)),
    click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
        help="The checkpoint to write, a .safetensors file.",
    ),
    click.option(
        "--classes",
        type=Names(),
        help="Classes in the order of their codes, out of corn, soybeans, rice, wheat, sugarcane, cotton, "
        "other; what is not named becomes other, or is left out without it.  [default: all that occur]",
    ),
    click.option("--data-source", help="A sentence on labels and imagery, kept in the checkpoint."),
    click.option("--year", type=int, help="Year of the samples, kept in the checkpoint."),
)

_split_options = apply(
    click.option(
        "--split",
        "rule",
        type=click.Choice(RULES),
        default=SplitRule.rule,
        show_default=True,
        help="Hold out whole blocks of land, or samples at random, which gives optimistic scores.",
    ),
    click.option(
        "--block-size",
        type=float,
        default=SplitRule.block_size,
        show_default=True,
        help="Side of a block in degrees.",
    ),
)

_fit_options = apply(
    click.option(
        "--preset",
        type=click.Choice(PRESETS),
        default=TrainingOptions.preset,
        show_default=True,
        help="Network: 1.0 million parameters as in the authors' code, or 4.7 million as in their paper.",
    ),
    click.option(
        "--epochs",
        type=int,
        default=TrainingOptions.epochs,
        show_default=True,
        help="Most passes over the training samples.",
    ),
    click.option(
        "--batch-size",
        type=int,
        default=TrainingOptions.batch_size,
        show_default=True,
        help="Samples in one step.",
    ),
    click.option(
        "--learning-rate",
        type=float,
        default=TrainingOptions.learning_rate,
        show_default=True,
        help="Adam's learning rate at the start.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        default=TrainingOptions.schedule,
        show_default=True,
        help="Let the learning rate fall to 0 along a cosine, or keep it.",
    ),
    click.option(
        "--patience", type=int, help="Stop after so many epochs without a better macro-F1.  [default: never]"
    ),
    click.option(
        "--drop-observations",
        type=float,
        default=TrainingOptions.drop_observations,
        show_default=True,
        help="Hide up to this share of each sample's observations at random, as clouds do; 0 to 1.",
    ),
    click.option(
        "--time-jitter",
        type=int,
        default=TrainingOptions.time_jitter,
        show_default=True,
        help="Let observations stand early or late by up to so many five-day bins.",
    ),
    click.option(
        "--time-shift",
        type=int,
        default=TrainingOptions.time_shift,
        show_default=True,
        help="Let whole series stand early or late by up to so many five-day bins.",
    ),
    click.option(
        "--magnitude-warp",
        type=float,
        default=TrainingOptions.magnitude_warp,
        show_default=True,
        help="Spread of the smooth factor that brightens and darkens series through the season; 0 to 1.",
    ),
    click.option(
        "--seed",
        type=int,
        default=TrainingOptions.seed,
        show_default=True,
        help="Chooses the held-out blocks, the first weights and every random draw.",
    ),
    click.option(
        "--device",
        default=TrainingOptions.device,
        show_default=True,
        help="auto, cpu, cuda or cuda:N.",
    ),
)


@click.command()
@_data_options
@_split_options
@_fit_options
@talk_options
def train(
    files: tuple[Path, ...],
    out: Path,
    classes: tuple[str, ...] | None,
    data_source: str | None,
    year: int | None,
    rule: Any,
    block_size: float,
    quiet: bool,
    as_json: bool,
    **fit_options: Any,
) -> None:
    """Train a model on labelled pixel series.

    SAMPLES are npz files as CropGlobe packs them: `fea` (sample, 10, 73), reflectance x 10,000, and `lbl`;
    with `lon` and `lat` the model is judged on blocks of land that it did not see.

    \b
    Example:
      cropmap train samples.npz --out model.safetensors --classes corn,soybeans,other
    """
    from cli.training_progress import training_progress
    from gee_pipeline.files import require_writable
    from inference.checkpoint import save_checkpoint
    from training.samples import read_samples
    from training.train import train_checkpoint

    require_writable(out)
    options = TrainingOptions(**given(fit_options))
    split_rule = SplitRule(rule=rule, block_size=block_size, seed=options.seed)
    samples = read_samples(files, classes, source=data_source)
    with training_progress(quiet) as progress:
        checkpoint = train_checkpoint(samples, options, split_rule, year=year, progress=progress)
    save_checkpoint(out, checkpoint)
    show_checkpoint(out, checkpoint, as_json)


def show_checkpoint(path: Path, checkpoint: Checkpoint, as_json: bool) -> None:
    """Print where a new checkpoint is and how good."""
    metrics = checkpoint.metrics
    keys = ("accuracy", "macro_f1", "validation_samples", "split", "classes", "confusion")
    if as_json:
        facts = {key: metrics[key] for key in keys}
        best = checkpoint.provenance["best_epoch"]
        click.echo(json.dumps({"checkpoint": str(path), "best_epoch": best, **facts}))
        return
    click.echo(
        f"Checkpoint: {path}, overall accuracy {metrics['accuracy']:.1%}, "
        f"macro-F1 {metrics['macro_f1']:.1%}, held out by {metrics['split']}"
    )
