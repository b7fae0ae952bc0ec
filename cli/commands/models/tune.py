"""`cropmap tune`: from a ready model and a few labels to a model for their place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.commands.models.train import sibling
from cli.options.fitting import machine_options, resume_option, warn_of_precision
from cli.options.paths import IN_FILE, MODEL_FILE, OUT_FILE, require_new_files
from cli.options.sample_files import file_options, read_files, warn
from cli.options.sections import sectioned
from cli.options.shared import Names, apply, config_option, talk_options
from cli.options.split import refuse_unread_of_split, split_options
from cli.options.unread import refuse_unread
from cli.output.reporting import Wording, reporting
from training.fit.options import SplitRule
from training.tuning.options import TuneOptions

if TYPE_CHECKING:
    from training.tuning.tune import Report, Tuned, TuneProgress

_way_options = apply(
    click.option(
        "--ways",
        type=Names(),
        default=",".join(TuneOptions.ways),
        show_default=True,
        help="What may be changed, beside nothing. shares: the class shares, by Bayes' rule. bias: the last "
        "layer's bias. last: the last layer. norms: normalisation and last layer. all: everything.",
    ),
    click.option(
        "--rehearse",
        type=IN_FILE,
        multiple=True,
        metavar="SAMPLES",
        help="Samples that the model was trained on, read as SAMPLES are: norms and all are also tried with "
        "their series held to the old answers; may be repeated.  [default: none]",
    ),
    click.option(
        "--rehearsal",
        type=int,
        metavar="SERIES",
        default=TuneOptions.rehearsal,
        show_default=True,
        help="Series of --rehearse in one step.",
    ),
    click.option(
        "--add-classes",
        type=Names(),
        help="Classes of the legend that the model does not know and shall map.  [default: none; what it "
        "does not know is other to it]",
    ),
)

_fit_options = apply(
    click.option(
        "--batch-size",
        type=int,
        metavar="SAMPLES",
        default=TuneOptions.batch_size,
        show_default=True,
        help="Labels of one step.",
    ),
    click.option(
        "--seed",
        type=int,
        default=TuneOptions.seed,
        show_default=True,
        help="Chooses folds and order.",
    ),
    machine_options(TuneOptions),
)

_split_options = split_options(SplitRule, rule=None, folds=TuneOptions.folds)

_run_options = apply(
    click.option(
        "--out",
        type=OUT_FILE,
        required=True,
        help="The checkpoint to write, a .safetensors file; the model as it is where nothing proves better.",
    ),
    resume_option("tuning"),
    config_option,
    talk_options,
)


UNITS: Final = {"blocks": "places", "column": "groups", "random": "samples"}
"""What counts as independent in the interval of the gain, by how the labels are parted."""


@click.command(
    cls=sectioned(
        {
            "Ways to tune": _way_options,
            "Samples": file_options,
            "Folds": _split_options,
            "Fitting": _fit_options,
            "Files and messages": _run_options,
        }
    ),
    short_help="Fit a ready model to a new place by a few labels.",
)
@click.argument("model", metavar="MODEL", type=MODEL_FILE)
@click.argument("files", metavar="SAMPLES...", nargs=-1, required=True, type=IN_FILE)
@_way_options
@file_options
@_split_options
@_fit_options
@_run_options
def tune(
    model: Path | str, files: tuple[Path, ...], out: Path, quiet: bool, as_json: bool, **given: Any
) -> None:
    """Fit a ready MODEL to a new place by 30 to 2,000 labelled SAMPLES of it.

    Several ways are tried, from leaving the model as it is to training everything anew. The labels are parted
    into folds by place; each fold is judged by networks that the others tuned. The way that explains the
    labels best is tuned on all of them, if it is better than nothing by more than chance; else --out is the
    model as it is. The printed gain is of labels that did not tune, but that chose the way.

    \b
    Examples:
      cropmap tune accurate fields.csv --year 2024 --out here.safetensors
      cropmap tune model.safetensors here.npz --rehearse there.npz --add-classes sunflower \\
        --legend legend.toml --out here.safetensors
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from gee_pipeline.files import require_writable
    from inference.models.checkpoint import load_checkpoint, save_checkpoint
    from inference.models.shipped import model_path
    from training.fit.resume_state import forget, training_lock
    from training.sample_report.few_samples import warn_of_left_out
    from training.samples.season_warning import warn_of_season
    from training.tuning.tune import tune as tune_model

    require_new_files(out)
    require_writable(out)
    refuse_unread_of_split(given["rule"])
    refuse_unread(not given["rehearse"], "go with --rehearse", "rehearsal")
    options = TuneOptions(**{field.name: given[field.name] for field in fields(TuneOptions)})
    path = model_path(model)
    folder = sibling(out, "progress")
    with training_lock(folder), _progress(quiet) as report:
        if not given["resume"]:
            forget(folder)
        start = load_checkpoint(path)
        samples = read_files(files, given, any_classes=True, recipe=start.recipe)
        source = None
        if given["rehearse"]:
            source = read_files(given["rehearse"], given, any_classes=True, recipe=start.recipe)
        if not quiet:
            warn_of_precision(options.precision, options.device)
            warn(samples, warn_of_season, warn_of_left_out)
        tuned = tune_model(
            start,
            samples,
            options,
            name=path.name,
            add_classes=given["add_classes"] or (),
            source=source,
            report=report,
            folder=folder,
        )
        save_checkpoint(out, tuned.checkpoint)
        forget(folder)
    unknown = len(samples) - len(tuned.trials[0].logits)
    if unknown and not quiet:
        click.echo(
            f"Warning: {unknown:,} labels of classes that the model does not know were left out: it has no "
            "class other. --add-classes takes them in.",
            err=True,
        )
    show(out, tuned, as_json)


def show(out: Path, tuned: Tuned, as_json: bool) -> None:
    """Print all ways beside each other, which was taken, and the gain to expect."""
    gain = tuned.choice.accuracy
    if as_json:
        facts = {
            "checkpoint": str(out),
            "kept": tuned.kept,
            "way": tuned.choice.trial.to_dict(),
            "accuracy_gain": gain.to_dict(),
            "folds": tuned.folds.facts,
            "tried": [one.to_dict() for one in tuned.trials],
        }
        click.echo(json.dumps(facts))
        return
    for line in describe(out, tuned):
        click.echo(line)


def describe(out: Path, tuned: Tuned) -> Iterator[str]:
    """What was tried and taken, for a reader."""
    samples = len(tuned.trials[0].logits)
    width = max(len(one.candidate.text) for one in tuned.trials)
    yield f"{samples:,} labels, {tuned.folds.description}; each label by a network that did not see it:"
    yield f"{'changed':<{width}} {'accuracy':>9} {'macro-F1':>9} {'loss':>7}"
    for one in tuned.trials:
        mark = "  <- taken" if one is tuned.choice.trial else ""
        yield (
            f"{one.candidate.text:<{width}} {one.scores.accuracy:>9.1%} {one.scores.macro_f1:>9.1%} "
            f"{one.loss:>7.3f}{mark}"
        )
    if tuned.kept:
        yield "No way is better than nothing by more than chance: the model stays as it is."
        more = tuned.trials[0].logits.shape[1] > len(tuned.checkpoint.classes)
        yield f"Checkpoint: {out}, a copy of the model{', without the classes to add' if more else ''}"
        return
    gain = tuned.choice.accuracy
    if absent := [one.name for one in tuned.choice.trial.scores.classes if not one.samples]:
        yield (
            f"No label is {' or '.join(absent)}: where these grow, the tuned model may miss them, and no "
            "fold tells. Add labels of them."
        )
    yield (
        f"Accuracy to gain here: {100 * gain.mean:+.1f} points, 95 % interval {100 * gain.low:+.1f} to "
        f"{100 * gain.high:+.1f} by {UNITS[tuned.folds.facts['rule']]}; the same labels chose the way, so "
        "a little less is likely."
    )
    yield f"Checkpoint: {out}"


@contextmanager
def _progress(quiet: bool) -> Iterator[Report]:
    wording = Wording(progress_line, _share, lambda step: (step.candidate, step.fold))
    with reporting(wording, quiet) as reporter:
        yield reporter.report


def _share(step: TuneProgress) -> tuple[float, float]:
    return step.done + step.training.done / step.training.total, step.planned + 1


def progress_line(step: TuneProgress) -> str:
    """One line: what is tried, and by which fold it is judged."""
    whom = "on all labels" if step.fold is None else f"judged by fold {step.fold + 1}"
    return f"{step.candidate.text}, {whom}: training {step.done + 1:,} of {step.planned + 1:,}"
