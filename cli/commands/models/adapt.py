"""`cropmap adapt`: from labelled series of one place to a model for another, without labels there."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.commands.models.train import sibling
from cli.options.fitting import fitting_options, resume_option, warn_of_precision
from cli.options.paths import ANY_FILE_OR_FOLDER, IN_FILE, OUT_FILE, require_new_files
from cli.options.sample_files import read_files, training_options
from cli.options.sections import sectioned
from cli.options.shared import apply, config_option, talk_options
from cli.options.split import refuse_unread_of_split, split_options
from inference.models.networks.specification import NAMES as NETWORK_NAMES
from training.adaptation.options import (
    AUGMENTATION,
    BATCHES,
    DEFAULT_METHOD,
    DISCREPANCIES,
    METHODS,
    AdaptationOptions,
)
from training.fit.options import AUGMENTATIONS, PRESETS, SplitRule, TrainingOptions
from training.models.registry import MODELS

if TYPE_CHECKING:
    from gee_pipeline.recipe import Recipe
    from training.adaptation.adapt import Adapted, Target

ADAPTABLE: Final = tuple(name for name in NETWORK_NAMES if MODELS[name].adaptable)

SETTINGS: Final[dict[str, str]] = {
    "discrepancy_weight": "Weight of the distance between source and target.",
    "pseudo_weight": "Weight of the cross-entropy of accepted series of the target.",
    "contrast_weight": "Weight of the contrast by class over source and accepted series.",
    "prototype_weight": "Weight of the contrast with a prototype of each class.",
    "discrepancy": "What is compared: all series, or those of each class.",
    "levels": "How many of the deepest layers are compared.",
    "warm_up": "Share of the training that sees the source alone.",
    "ramp": "Share of the rest in which the weights rise from 0.",
    "keep": "Share of the teacher that stays in a step.  [default: its memory is a tenth of the adaptation, "
    "at most 1,000 steps]",
    "rounds": "How often the teacher labels series of the target.",
    "labelled": "Most series that it labels.",
    "confidence": "Least probability of an accepted class.",
    "certainty": "Share of each class that is certain enough.",
    "views": "Changed copies of a series that tell how certain its class is.",
    "stability": "Rounds in which the class must have been the same.",
    "most_of_class": "Most accepted series of a class.",
    "temperature": "Of the contrasts.",
    "prototype_keep": "Share of a prototype that stays in a step.",
    "batches": "Whether source and target of a step are normalised together.",
}
"""Setting of `AdaptationOptions` -> its help."""

_CHOICES: Final[dict[str, tuple[str, ...]]] = {"discrepancy": DISCREPANCIES, "batches": BATCHES}


def _setting(name: str) -> Any:
    usual = getattr(METHODS[DEFAULT_METHOD], name)
    kind = click.Choice(_CHOICES[name]) if name in _CHOICES else int if type(usual) is int else float
    default = "" if name == "keep" else "  [default: of the method]"
    return click.option(f"--{name.replace('_', '-')}", name, type=kind, help=SETTINGS[name] + default)


_place_options = apply(
    click.option(
        "--source",
        "files",
        type=IN_FILE,
        multiple=True,
        required=True,
        metavar="SAMPLES",
        help="Labelled samples of other places; may be repeated.",
    ),
    click.option(
        "--target",
        "targets",
        type=ANY_FILE_OR_FOLDER,
        multiple=True,
        required=True,
        metavar="RUN|SAMPLES",
        help="Folder of a run with composites of the place, or a file of samples there, whose labels are not "
        "looked at; may be repeated.",
    ),
    click.option(
        "--unlabelled",
        type=click.IntRange(2),
        metavar="SERIES",
        default=20_000,
        show_default=True,
        help="Pixels to take from each run.",
    ),
    click.option(
        "--season-shift",
        type=click.IntRange(1, 60),
        metavar="DAYS",
        help="Look for a shift of the seasons of up to so many days, by a model of the source that is "
        "trained first, and move the source by it. It takes the shares of the classes to be alike.  "
        "[default: none]",
    ),
    click.option(
        "--judge",
        type=IN_FILE,
        metavar="SAMPLES",
        help="Labelled samples of the place, looked at when the model is finished: they choose nothing.",
    ),
)

_method_options = apply(
    click.option(
        "--method",
        type=click.Choice(tuple(METHODS)),
        default=DEFAULT_METHOD,
        show_default=True,
        help="mmd: features of both places drawn together as a whole; harms where the shares of the classes "
        "differ. class-mmd: class by class. teacher: a moving average of the network labels the target, and "
        "what passes three gates trains. contrast: accepted series drawn to those of their class. "
        "prototypes: teacher, and a direction for each class. ghca: mmd, teacher and contrast. ghca-class: "
        "the same class by class.",
    ),
    *(_setting(name) for name in SETTINGS),
)

_fit_options = apply(
    click.option(
        "--model",
        type=click.Choice(ADAPTABLE),
        default=ADAPTABLE[0],
        show_default=True,
        help="Which network.",
    ),
    click.option(
        "--preset",
        type=click.Choice(PRESETS),
        default=TrainingOptions.preset,
        show_default=True,
        help="Size of the CropNets.",
    ),
    click.option(
        "--augmentation",
        type=click.Choice(AUGMENTATIONS),
        default=AUGMENTATION,
        show_default=True,
        help="How series of both places change each time they are seen: see 'cropmap train'.",
    ),
    fitting_options(TrainingOptions),
    click.option(
        "--seed",
        type=int,
        default=TrainingOptions.seed,
        show_default=True,
        help="Chooses what is held out, the first weights and every random draw.",
    ),
)

_run_options = apply(
    click.option("--out", type=OUT_FILE, required=True, help="The checkpoint to write, a .safetensors file."),
    resume_option("training"),
    config_option,
    talk_options,
)

_split_options = split_options(SplitRule, rule=SplitRule.rule)


@click.command(
    cls=sectioned(
        {
            "Places": _place_options,
            "Adaptation": _method_options,
            "Samples": training_options,
            "Held-out samples": _split_options,
            "Fitting": _fit_options,
            "Files and messages": _run_options,
        }
    ),
    short_help="Train a model for a place without labels.",
)
@_place_options
@_method_options
@training_options
@_split_options
@_fit_options
@_run_options
def adapt(files: tuple[Path, ...], out: Path, quiet: bool, as_json: bool, **given: Any) -> None:
    """Train on labelled samples of other places, and adapt to a place without labels while training.

    No label of the target trains or chooses anything: the last epoch is kept, and what is printed of the
    target, how sure the model is and how many series were accepted, is no accuracy. Give --judge to see that
    when all is done, or look at a map first: 'cropmap advise'. Where there are some labels, use them.

    The same command resumes a training that was stopped.

    \b
    Examples:
      cropmap export --aoi here.geojson --year 2023 --out here/
      cropmap adapt --source there.npz --target here/ --out here.safetensors
      cropmap adapt --source a.npz --source b.npz --target pixels.npz --method ghca-class \\
        --judge fields.npz --out here.safetensors
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from cli.output.training_progress import training_progress
    from gee_pipeline.files import require_writable
    from inference.models.checkpoint import save_checkpoint
    from training.adaptation.adapt import adapt as adapt_model
    from training.fit.resume_state import forget, training_lock

    judge = given["judge"]
    require_new_files(out)
    require_writable(out)
    refuse_unread_of_split(given["rule"])
    training = TrainingOptions(**{name: given[name] for name in _names(TrainingOptions) & given.keys()})
    rule = SplitRule(given["rule"], given["block_size"], given["share"], given["seed"])
    adaptation = settings_of(given)
    folder = sibling(out, "progress")
    with training_lock(folder), training_progress(quiet) as progress:
        if not given["resume"]:
            forget(folder)
        if not quiet:
            warn_of_precision(training.precision, training.device)
        source = read_files(files, given)
        found = adapt_model(
            source,
            [_target(path, source.recipe, given) for path in given["targets"]],
            training,
            adaptation,
            rule,
            method=given["method"],
            model=given["model"],
            year=given["year"],
            season_shift=given["season_shift"],
            judge=read_files([judge], _as_they_are(given), any_classes=True) if judge else None,
            progress=progress,
            folder=folder,
        )
        save_checkpoint(out, found.checkpoint)
        forget(folder)
    _show(out, found, as_json)


def settings_of(given: dict[str, Any]) -> AdaptationOptions:
    """The settings of the method, and what is given in their place."""
    said = {name: given[name] for name in SETTINGS if given[name] is not None}
    return replace(METHODS[given["method"]], **said)


def _names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def _as_they_are(given: dict[str, Any]) -> dict[str, Any]:
    """The reading options without a choice of classes."""
    return given | {"classes": None}


def _target(path: Path, recipe: Recipe, given: dict[str, Any]) -> Target:
    """Series of a run, or of a file whose labels are left behind here."""
    from training.adaptation.adapt import Target
    from training.distillation.unlabelled import series_of_run

    if path.is_dir():
        return Target(
            path.absolute().name,
            series_of_run(path, recipe, given["unlabelled"], given["seed"], option="--target"),
        )
    samples = read_files([path], _as_they_are(given), any_classes=True, recipe=recipe, unlabelled=True)
    return Target(path.name, samples.series)


def _show(path: Path, found: Adapted, as_json: bool) -> None:
    """Print where the model is, and what is known of it."""
    metrics = found.checkpoint.metrics
    if as_json:
        keys = ("accuracy", "macro_f1", "validation_samples", "split", "target", "judged")
        facts = {key: metrics[key] for key in keys if key in metrics}
        click.echo(json.dumps({"checkpoint": str(path), **facts}))
        return
    click.echo(
        f"Checkpoint: {path}. Source, held out by {metrics['split']}: overall accuracy "
        f"{metrics['accuracy']:.1%}, macro-F1 {metrics['macro_f1']:.1%}"
    )
    if found.shift:
        limit = ", the most that was looked for, so it says little" if found.shift.at_limit else ""
        click.echo(f"Season: the target is {found.shift.days:+g} days later than the source{limit}.")
    shares = ", ".join(f"{name} {share:.1%}" for name, share in found.target.shares.items())
    click.echo(
        f"Target, {found.target.series:,} series without labels: mean confidence "
        f"{found.target.confidence:.1%}, mean entropy {found.target.entropy:.3f}, accepted "
        f"{found.accepted:.1%}; {shares}. None of this is an accuracy."
    )
    if found.judged:
        click.echo(
            f"Judged by labels that chose nothing: overall accuracy {found.judged.accuracy:.1%}, macro-F1 "
            f"{found.judged.macro_f1:.1%}"
        )
