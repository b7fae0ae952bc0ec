"""`cropmap distill`: from a large model to a small one that maps alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.commands.models.train import sibling
from cli.options.fitting import machine_options, resume_option, warn_of_precision
from cli.options.paths import IN_FILE, IN_FOLDER, MODEL_FILE, OUT_FILE, require_new_files
from cli.options.sample_files import file_options, read_files
from cli.options.sections import sectioned
from cli.options.shared import apply, config_option, talk_options
from cli.options.split import refuse_unread_of_split, split_options
from cli.options.unread import refuse_unread
from cli.output.reporting import Wording, reporting
from training.distillation.options import CHANNELS, DistillOptions
from training.fit.options import SplitRule

if TYPE_CHECKING:
    from training.distillation.distill import DistillProgress, Report, Trial
    from training.distillation.teacher import Teacher

AUTO: Final = "auto"

_teacher_options = apply(
    click.option(
        "--teacher",
        "teachers",
        type=MODEL_FILE,
        multiple=True,
        metavar="MODEL",
        help="The network whose answers are learned; repeated, the mean of several.  [default: accurate, the "
        "large model that ships with cropmap]",
    ),
    click.option(
        "--run",
        "runs",
        type=IN_FOLDER,
        multiple=True,
        help="Folder of a run with composites, whose pixels are learned from too, without labels; may be "
        "repeated.  [default: none]",
    ),
    click.option(
        "--unlabelled",
        type=click.IntRange(1),
        metavar="SERIES",
        default=20_000,
        show_default=True,
        help="Pixels to take from each run.",
    ),
    click.option(
        "--second-region",
        "regions",
        type=IN_FILE,
        multiple=True,
        metavar="SAMPLES",
        help="Samples of another place to compare on, read as SAMPLES are; may be repeated.  [default: none]",
    ),
)

_student_options = apply(
    click.option(
        "--channels",
        type=click.Choice([AUTO, *map(str, CHANNELS)]),
        default=AUTO,
        show_default=True,
        help="Size of the student. auto: the smallest that stays within tolerance and agreement.",
    ),
    click.option(
        "--tolerance",
        type=float,
        metavar="POINTS",
        default=DistillOptions.tolerance,
        show_default=True,
        help="Percentage points of overall accuracy and of macro-F1 that it may lose on each set of samples.",
    ),
    click.option(
        "--agreement",
        type=float,
        metavar="PERCENT",
        default=DistillOptions.agreement,
        show_default=True,
        help="Samples of each set that must get the teacher's class.",
    ),
)

_fit_options = apply(
    click.option(
        "--series",
        type=int,
        default=DistillOptions.series,
        show_default=True,
        help="Series to learn from: those given, and copies that the augmentation field changed.",
    ),
    click.option(
        "--epochs", type=int, default=DistillOptions.epochs, show_default=True, help="Passes over them."
    ),
    click.option(
        "--batch-size",
        type=int,
        default=DistillOptions.batch_size,
        show_default=True,
        help="Series of one step.",
    ),
    click.option(
        "--learning-rate",
        type=float,
        default=DistillOptions.learning_rate,
        show_default=True,
        help="Adam's learning rate at the start; it falls to 0 along a cosine.",
    ),
    click.option(
        "--softness",
        type=float,
        default=DistillOptions.softness,
        show_default=True,
        help="Temperature that softens the answers of teacher and student.",
    ),
    click.option(
        "--seed",
        type=int,
        default=DistillOptions.seed,
        show_default=True,
        help="Chooses the copies, the first weights and the order.",
    ),
    machine_options(DistillOptions),
)

_split_options = split_options(
    SplitRule,
    rule=None,
    unsaid="the blocks that the teacher's file says were held out from it; where the samples lie in none, "
    "blocks, or random where they have no places",
)

_run_options = apply(
    click.option("--out", type=OUT_FILE, required=True, help="The checkpoint to write, a .safetensors file."),
    resume_option("training"),
    config_option,
    talk_options,
)


@click.command(
    cls=sectioned(
        {
            "Teacher and series": _teacher_options,
            "Student": _student_options,
            "Samples": file_options,
            "Held-out samples": _split_options,
            "Fitting": _fit_options,
            "Files and messages": _run_options,
        }
    ),
    short_help="Make a small model that maps like a large one.",
)
@click.argument("files", metavar="SAMPLES...", nargs=-1, required=True, type=IN_FILE)
@_teacher_options
@_student_options
@file_options
@_split_options
@_fit_options
@_run_options
def distill(files: tuple[Path, ...], out: Path, quiet: bool, as_json: bool, **given: Any) -> None:
    """Teach a small network the answers of a large one, and compare the two on places held out.

    A network of sixteen channels maps a pixel with a sixty-third of the large one's work. It learns from the
    other's answers to the SAMPLES, to changed copies of them and to pixels of runs, never from labels.
    Labels only compare: on held-out samples and second regions, as they are and with half of the observations
    hidden, the student must be as accurate as its teacher and give the same classes.

    \b
    Examples:
      cropmap distill samples.npz --teacher model.safetensors --out small.safetensors
      cropmap distill samples.npz --teacher a.safetensors --teacher b.safetensors --channels 16 \\
        --second-region elsewhere.npz --out small.safetensors
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from gee_pipeline.errors import InputError
    from gee_pipeline.files import require_writable
    from inference.models.checkpoint import save_checkpoint
    from training.distillation.distill import distill as distill_model
    from training.distillation.unlabelled import series_of_run
    from training.fit.resume_state import forget, training_lock

    require_new_files(out)
    require_writable(out)
    refuse_unread_of_split(given["rule"])
    refuse_unread(given["rule"] is None, "go with --split", "block_size", "share")
    refuse_unread(not given["runs"], "go with --run", "unlabelled")
    options = _options(given)
    folder = sibling(out, "progress")
    with training_lock(folder), _progress(quiet) as report:
        if not given["resume"]:
            forget(folder)
        if not quiet:
            warn_of_precision(options.precision, options.device)
        teacher = _teacher(given["teachers"], options.device)
        samples = read_files(files, given, any_classes=True)
        regions = [(path.name, read_files([path], given, any_classes=True)) for path in given["regions"]]
        unlabelled = [
            series_of_run(run, teacher.recipe, given["unlabelled"], options.seed) for run in given["runs"]
        ]
        trials = distill_model(
            teacher,
            samples,
            options,
            rule=_rule(given),
            regions=regions,
            unlabelled=unlabelled,
            report=report,
            folder=folder,
        )
        chosen = trials[-1]
        written = chosen.passed or len(options.channels) == 1
        if written:
            save_checkpoint(out, chosen.checkpoint)
        forget(folder)
    show(out if written else None, trials, as_json)
    if not chosen.passed:
        why = _shortfall(options, trials)
        if not written:
            raise InputError(
                f"{why} Nothing was written. Choose a size with --channels, or raise --tolerance."
            )
        click.echo(f"Warning: {why} {out} was written all the same, and says so.", err=True)


def _options(given: dict[str, Any]) -> DistillOptions:
    channels = CHANNELS if given["channels"] == AUTO else (int(given["channels"]),)
    names = {field.name for field in fields(DistillOptions)} - {"channels"}
    return DistillOptions(channels=channels, **{name: given[name] for name in names})


def _rule(given: dict[str, Any]) -> SplitRule | None:
    if given["rule"] is None:
        return None
    return SplitRule(given["rule"], given["block_size"], given["share"], given["seed"])


def _teacher(given: Sequence[Path | str], device: str) -> Teacher:
    from inference.models.checkpoint import load_checkpoint
    from inference.models.shipped import ACCURATE, model_path
    from training.distillation.teacher import Teacher

    found = [model_path(one) for one in given or (ACCURATE,)]
    return Teacher.of([(path.name, load_checkpoint(path)) for path in found], device)


def show(out: Path | None, trials: Sequence[Trial], as_json: bool) -> None:
    """Print the students beside their teacher, and where the last one was written, if it was."""
    if as_json:
        click.echo(
            json.dumps({"checkpoint": out and str(out), "students": [_facts(trial) for trial in trials]})
        )
        return
    from inference.models.model_card import beside_teacher

    for trial in trials:
        click.echo(f"{trial.channels} channels: {'within' if trial.passed else 'outside'} the tolerance")
        for one in trial.comparisons:
            click.echo(f"  {one.name}: {beside_teacher(one.to_dict())}")
    if out:
        click.echo(f"Checkpoint: {out}, {trials[-1].channels} channels")


def _facts(trial: Trial) -> dict[str, Any]:
    comparisons = [one.to_dict() for one in trial.comparisons]
    return {"channels": trial.channels, "within_tolerance": trial.passed, "beside_teacher": comparisons}


def _shortfall(options: DistillOptions, trials: Sequence[Trial]) -> str:
    sizes = " or ".join(str(trial.channels) for trial in trials)
    return (
        f"No student of {sizes} channels stays within {options.tolerance:g} points and {options.agreement:g} "
        "% agreement on every set."
    )


@contextmanager
def _progress(quiet: bool) -> Iterator[Report]:
    wording = Wording(describe, lambda step: (step.done, step.planned), _part)
    with reporting(wording, quiet) as reporter:
        yield reporter.report


def _part(step: DistillProgress) -> object:
    return step.channels, step.last and step.last.last and step.last.last.number


def describe(step: DistillProgress) -> str:
    """One line: who is at work and how far."""
    if step.last is None:
        return f"the teacher answers, {step.done:,} of {step.planned:,} series"
    epoch = step.last.last
    scores = f", held-out accuracy {epoch.accuracy:.3f}, loss {epoch.loss:.4f}" if epoch else ""
    return f"student of {step.channels} channels, batch {step.done:,} of {step.planned:,}{scores}"
