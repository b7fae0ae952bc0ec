"""`cropmap train`: from labelled series to a checkpoint."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from cli.options.fitting import fitting_options, warn_of_precision
from cli.options.paths import IN_FILE, OUT_FILE, require_new_files
from cli.options.pretrained import pretrained_option
from cli.options.sample_files import read_files, training_options, warn
from cli.options.sections import sectioned
from cli.options.shared import apply, config_option, talk_options
from cli.options.split import refuse_unread_of_split, split_options
from cli.options.unread import refuse_unread
from inference.models.networks.specification import NAMES as NETWORK_NAMES
from training.fit.options import (
    AUGMENTATIONS,
    CLASS_WEIGHTS,
    DIMENSIONS,
    GLOBAL,
    PRESETS,
    SplitRule,
    TrainingOptions,
)
from training.models.registry import MODELS, instead_of_training
from training.samples.crops import NAMES

if TYPE_CHECKING:
    from inference.models.checkpoint import Checkpoint

R = TypeVar("R")

CHOICES: Final[dict[str, dict[str, Any]]] = {
    **{name: {"preset": name} for name in PRESETS},
    "global": {**GLOBAL, "classes": NAMES, "rule": "blocks", "block_size": 0.5},
}
"""What each --preset stands for, by parameter."""


class NetworkName(click.Choice[str]):
    """A network; a model of the benchmark that is none is refused with what to do instead."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name."""
        if value in MODELS and (why := instead_of_training(value)):
            self.fail(why, param, ctx)
        return super().convert(value, param, ctx)


_split_options = split_options(SplitRule, rule=SplitRule.rule)

_network_options = apply(
    click.option(
        "--model",
        type=NetworkName(NETWORK_NAMES),
        default=NETWORK_NAMES[0],
        show_default=True,
        help="cropnet: on the matrix of bands by bins. cropnet-1d: on the flat series. "
        "cropnet-1d-harmonic: on 35 harmonic coefficients. mlp: a multilayer perceptron. "
        "dcm, transformer, temporal-cnn, pan, phenocropnet: networks on the dates, of other papers. "
        "presto, galileo-nano: encoders that others trained on unlabelled series, tuned from --pretrained; "
        "with -frozen they are kept, and a perceptron on their embeddings is trained. "
        "resnet50, efficientnet-v2-s, convnext-tiny: networks for photographs, with pip install "
        "'cropmap[training]'. All can be mapped; forests are trained by 'cropmap forest train'.",
    ),
    click.option(
        "--preset",
        "choice",
        type=click.Choice(tuple(CHOICES)),
        default=TrainingOptions.preset,
        show_default=True,
        help="compact: CropNet as in the authors' code, 1.0 million weights, trained as the defaults below "
        "say. paper: as in their text, 4.7 million, trained in the same way. global: the paper's procedure "
        "for a model of all seven classes, which is CropNet paper with --classes "
        f"{', '.join(NAMES)} --split blocks --block-size 0.5 --augmentation paper --epochs 50 "
        "--batch-size 256 --learning-rate 0.0001 --schedule constant --class-weights balanced. An option "
        "that is also given wins.",
    ),
    click.option(
        "--dimensions",
        type=click.Choice(DIMENSIONS),
        default=TrainingOptions.dimensions,
        show_default=True,
        help="2 convolves over bands and time; 1 along the flat series, the paper's CropNet-1D.",
    ),
    pretrained_option(),
)

_fit_options = apply(
    click.option(
        "--class-weights",
        type=click.Choice(CLASS_WEIGHTS),
        default=TrainingOptions.class_weights,
        show_default=True,
        help="How much a class counts. balanced: every class the same, however rare, as the paper's code "
        "does. effective: by effective numbers of samples. capped: as balanced, within bounds. none: every "
        "sample the same.",
    ),
    fitting_options(TrainingOptions),
    click.option(
        "--patience",
        type=int,
        metavar="EPOCHS",
        help="Stop after this many epochs without a better macro-F1 on the held-out samples.  "
        "[default: never]",
    ),
    click.option(
        "--seed",
        type=int,
        default=TrainingOptions.seed,
        show_default=True,
        help="Chooses what is held out, the first weights and every random draw. Same seed, same machine: "
        "same model.",
    ),
)

_augmentation_options = apply(
    click.option(
        "--augmentation",
        type=click.Choice(AUGMENTATIONS),
        default=TrainingOptions.augmentation,
        show_default=True,
        help="How samples change each time they are seen. field: clouds and other sampling, by the four "
        "options below. paper: each half of the time, moved by up to 10 days, start and end moved by "
        "-30 to 10, brightness warped by 0.2. code: as the authors programmed it, up to 50 days, each "
        "sample and two changed copies. none: not at all.",
    ),
    click.option(
        "--drop-observations",
        type=float,
        metavar="SHARE",
        default=TrainingOptions.drop_observations,
        show_default=True,
        help="field: hide up to this share of each sample's observations at random, as clouds do; 0 to "
        "below 1.",
    ),
    click.option(
        "--time-jitter",
        type=int,
        metavar="BINS",
        default=TrainingOptions.time_jitter,
        show_default=True,
        help="field: move single observations earlier or later by up to this many bins of five days.",
    ),
    click.option(
        "--time-shift",
        type=int,
        metavar="BINS",
        default=TrainingOptions.time_shift,
        show_default=True,
        help="field: move half of the series as a whole earlier or later by up to this many bins of five "
        "days.",
    ),
    click.option(
        "--magnitude-warp",
        type=float,
        metavar="SIGMA",
        default=TrainingOptions.magnitude_warp,
        show_default=True,
        help="field: spread of the smooth factor that brightens and darkens half of the series through the "
        "season; 0 to below 1.",
    ),
)

_run_options = apply(
    click.option(
        "--out",
        type=OUT_FILE,
        required=True,
        help="The checkpoint to write, a .safetensors file.",
    ),
    click.option(
        "--curves/--no-curves",
        default=True,
        show_default=True,
        help="Write the learning curves next to --out, as MODEL.curves.png and MODEL.curves.csv.",
    ),
    click.option(
        "--resume/--restart",
        default=True,
        show_default=True,
        help="Continue the unfinished training of this --out, kept in MODEL.progress, with the same "
        "result as if it had never stopped; other options or samples are refused. Or forget it and "
        "begin again.",
    ),
    config_option,
    talk_options,
)


@click.command(
    cls=sectioned(
        {
            "Samples": training_options,
            "Held-out samples": _split_options,
            "Network": _network_options,
            "Fitting": _fit_options,
            "Augmentation": _augmentation_options,
            "Files and messages": _run_options,
        }
    )
)
@click.argument("files", metavar="SAMPLES...", nargs=-1, required=True, type=IN_FILE)
@training_options
@_split_options
@_network_options
@_fit_options
@_augmentation_options
@_run_options
@click.pass_context
def train(ctx: click.Context, /, files: tuple[Path, ...], out: Path, **given: Any) -> None:
    """Train a model on labelled pixel series.

    SAMPLES are files of 'cropmap sample', npz files as CropGlobe packs them, or tables (CSV, GeoParquet)
    with one row per sample; 'cropmap samples info' describes them. Reflectance is stored x 10,000.

    Whole blocks of land are held out. After each epoch they are scored, and the weights of the epoch with
    the best macro-F1 are kept. Then a temperature is fitted to the same held-out samples, so that the
    confidence of a map is a frequency. The printed figures are of land that did not train, but that chose
    epoch and temperature.

    The same command resumes a training that was stopped. On a CPU all cores are used; the environment
    variable OMP_NUM_THREADS sets fewer, which helps where other work runs on the machine.

    \b
    Examples:
      cropmap train samples.npz --out model.safetensors --classes corn,soybeans,other
      cropmap train fields.csv --out model.safetensors --legend legend.toml --year 2022
    All seven classes, from CropGlobe, validated on countries that did not train:
      cropmap data cropglobe --to cropglobe
      cropmap train cropglobe/for_CropNet/median_S2_*_month1-12_day5.npz \\
        --preset global --split column --out global.safetensors
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from cli.output.training_progress import training_progress
    from gee_pipeline.files import require_writable
    from inference.models.checkpoint import save_checkpoint
    from training.fit.resume_state import forget, training_lock
    from training.fit.train import train_checkpoint
    from training.pretrained.start import read_pretrained, require_files
    from training.sample_report.few_samples import warn_of_few
    from training.samples.season_warning import warn_of_season

    require_new_files(out)
    require_writable(out)
    given = chosen_by_preset(ctx, given)
    options = _of(TrainingOptions, given)
    split_rule = _of(SplitRule, given)
    _refuse_unread(given, ctx.params["choice"])
    files_of_weights = [path] if (path := given["pretrained"]) else []
    require_files([given["model"]], files_of_weights)
    folder = sibling(out, "progress")
    with training_lock(folder), training_progress(given["quiet"]) as progress:
        if not given["resume"]:
            forget(folder)
        samples = read_files(files, given)
        if not given["quiet"]:
            warn_of_precision(options.precision, options.device)
            warn(samples, warn_of_few, warn_of_season)
        checkpoint = train_checkpoint(
            samples,
            options,
            split_rule,
            year=given["year"],
            model=given["model"],
            progress=progress,
            folder=folder,
            pretrained=read_pretrained(path) if path else None,
        )
        save_checkpoint(out, checkpoint)
        forget(folder)
    if given["curves"]:
        _write_curves(out, checkpoint)
    show_checkpoint(out, checkpoint, given["as_json"])


def chosen_by_preset(ctx: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """The options, with the values of the preset wherever neither command line nor file gave one."""
    chosen = dict(CHOICES[given.pop("choice")])
    if given["legend"]:
        chosen.pop("classes", None)  # a custom legend has its own classes
    free = {name for name in given if ctx.get_parameter_source(name) is ParameterSource.DEFAULT}
    return given | {name: value for name, value in chosen.items() if name in free or name == "preset"}


def _refuse_unread(given: dict[str, Any], preset: str) -> None:
    """Refuse options that the choice of another leaves without an effect."""
    sized = MODELS[given["model"]].has_presets
    refuse_unread(not sized and set(CHOICES[preset]) <= {"preset"}, "are of the CropNets", "choice")
    field = ("drop_observations", "time_jitter", "time_shift", "magnitude_warp")
    refuse_unread(given["augmentation"] != "field", "are of --augmentation field", *field)
    refuse_unread_of_split(given["rule"])


def sibling(out: Path, kind: str) -> Path:
    """The path of something that belongs to a checkpoint: `model.curves.png` for `model.safetensors`."""
    return out.with_name(f"{out.name.removesuffix('.safetensors')}.{kind}")


def show_checkpoint(path: Path, checkpoint: Checkpoint, as_json: bool) -> None:
    """Print where a new checkpoint is and how good."""
    metrics, calibration = checkpoint.metrics, checkpoint.metrics["calibration"]
    keys = ("accuracy", "macro_f1", "validation_samples", "split", "classes", "confusion", "calibration")
    if as_json:
        facts = {key: metrics[key] for key in keys}
        best = checkpoint.provenance["best_epoch"]
        click.echo(json.dumps({"checkpoint": str(path), "best_epoch": best, **facts}))
        return
    click.echo(
        f"Checkpoint: {path}, overall accuracy {metrics['accuracy']:.1%}, "
        f"macro-F1 {metrics['macro_f1']:.1%}, calibration error {calibration['ece_after']:.1%} "
        f"({calibration['ece_before']:.1%} before the temperature of {calibration['temperature']:.2f}), "
        f"held out by {metrics['split']}"
    )


def _of(kind: type[R], given: dict[str, Any]) -> R:
    """A dataclass of the options that have the names of its fields."""
    return kind(**{field.name: given[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def _write_curves(out: Path, checkpoint: Checkpoint) -> None:
    from training.fit.curves import draw_curves, write_curves_table

    metrics = checkpoint.metrics
    write_curves_table(sibling(out, "curves.csv"), metrics["history"])
    title = f"{out.name}: overall accuracy {metrics['accuracy']:.1%}, macro-F1 {metrics['macro_f1']:.1%}"
    draw_curves(sibling(out, "curves.png"), metrics, title)
