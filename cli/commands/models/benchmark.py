"""`cropmap benchmark`: models trained in one region and tested in others, next to the published numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.lazy import GroupOfItsOwn
from cli.options.fitting import fitting_options, warn_of_precision
from cli.options.paths import IN_FILE, IN_FOLDER, OUT_FOLDER
from cli.options.pretrained import pretrained_option
from cli.options.sample_files import legend_option, scale_option
from cli.options.sections import sectioned
from cli.options.shared import (
    Names,
    apply,
    recipe_options,
    restart_option,
    run_config_option,
    take_recipe_options,
    talk_options,
)
from cli.options.shared import given as only_given
from cli.options.split import refuse_unread_of_split, split_options
from cli.options.unread import refuse_unread
from cli.output.reporting import duration
from training.fit.options import PRESETS
from training.models.registry import MODELS
from training.transfer.protocol import ADAPTATIONS, AUGMENTATIONS, CLASS_RULES, FILE, MoveRanges, Protocol

if TYPE_CHECKING:
    from training.transfer.runner import Standing, Summary

RECIPE_OPTIONS: Final = ("season", "season_start", "window", "bin_days", "min_clear_bins")

_MOVES: Final = ("shift_days", "scale_days", "warp_sigma", "warp_knots")


class Span(click.ParamType[tuple[int, int]]):
    """Two whole numbers, the least and the greatest."""

    name = "LEAST,GREATEST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two numbers; a TOML file may hold a list."""
        parts = value.split(",") if isinstance(value, str) else value
        try:
            least, greatest = (int(part) for part in parts)
        except (TypeError, ValueError):
            self.fail(
                f"{value!r} is not a span of days. Write two whole numbers, such as -30,10.", param, ctx
            )
        return least, greatest


class TargetClasses(click.ParamType[tuple[str, tuple[str, ...]]]):
    """The classes of a target, such as CHN=rice,other."""

    name = "CODE=NAME,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[str, ...]]:
        """Code and names."""
        if isinstance(value, tuple):
            return value
        code, separator, names = str(value).partition("=")
        if not separator or not code.strip():
            self.fail(f"{value!r} names no classes of a target. Write them as CHN=rice,other.", param, ctx)
        return code.strip(), Names().convert(names, param, ctx)


_region_options = apply(
    click.option(
        "--data",
        type=IN_FOLDER,
        required=True,
        help=f"Folder with a file for each region, named {FILE.format('CODE')}, or the folder of 'cropmap "
        "data cropglobe'. Any region works whose file is there.",
    ),
    click.option("--source", required=True, metavar="CODE", help="Training region, such as FRA."),
    click.option(
        "--targets",
        type=Names(),
        metavar="CODE,CODE,...",
        default=(),
        help="Test regions; none of their samples trains or chooses anything.",
    ),
    click.option(
        "--in-region",
        is_flag=True,
        help="Test in the source as well, by further trainings: a part of it is held out as test, and "
        "of the rest a part to choose the epoch (the paper's table 4).",
    ),
    click.option(
        "--classes",
        type=Names(),
        help="Classes to distinguish; what is not named becomes other, in source and targets, or is left "
        "out where other is not named.  [default: all of the source; what else a target has is left "
        "out]",
    ),
    legend_option,
    scale_option,
    click.option(
        "--yields",
        type=IN_FILE,
        help="CSV with the columns region, class and yield: whether classes are found better where they "
        "yield alike (the paper's section 5.2).",
    ),
    click.option(
        "--class-rules",
        type=click.Choice(CLASS_RULES),
        default=Protocol.class_rules,
        show_default=True,
        help="What is told apart in AUS, CHN and ARG, whose published maps know two or three classes. "
        "labels: what is labelled there, whatever the paper says. paper: its classes, all else is other. "
        "code: those of its authors' code.",
    ),
    click.option(
        "--target-classes",
        type=TargetClasses(),
        multiple=True,
        help="What the map of a target distinguishes; all else, also in predictions, counts as other. May "
        "be repeated.  [default: as --class-rules says]",
    ),
)

_method_options = apply(
    click.option(
        "--models",
        type=Names(),
        default=Protocol.models,
        help=f"Models to compare, out of {', '.join(MODELS)}.  [default: {','.join(Protocol.models)}]",
    ),
    click.option(
        "--augmentation",
        "augmentations",
        type=Names(),
        default=Protocol.augmentations,
        help=f"How networks see their training samples, out of {', '.join(AUGMENTATIONS)}; each network "
        "is trained with each. paper-shift and paper-shift-scale are the steps of the paper's ablation "
        "(table 7). Forests see the samples as they are.  "
        f"[default: {','.join(Protocol.augmentations)}]",
    ),
    click.option(
        "--adaptation",
        "adaptations",
        type=Names(),
        default=Protocol.adaptations,
        help=f"How networks are adapted to each target without its labels, out of {', '.join(ADAPTATIONS)}; "
        "an adapted network keeps its last epoch. Models that show no features at several depths are trained "
        f"without.  [default: {','.join(Protocol.adaptations)}]",
    ),
    pretrained_option(multiple=True),
    click.option(
        "--seeds",
        type=int,
        metavar="N",
        default=Protocol.seeds,
        show_default=True,
        help="Trainings of each model, augmentation and adaptation. A seed chooses what is held out, the "
        "first weights, all draws.",
    ),
)

_fit_options = apply(
    click.option(
        "--preset",
        type=click.Choice(PRESETS),
        default=Protocol.preset,
        show_default=True,
        help="Size of the CropNets: 4.7 million weights as in the paper, or 1.0 million as in its "
        "authors' code.",
    ),
    fitting_options(Protocol),
)

_OF_NETWORKS = (
    "augmentations",
    "adaptations",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "normalisation",
    "device",
    "precision",
)
"""Options without an effect on forests."""

_split_options = split_options(Protocol, rule=None)

_sensitivity_options = apply(
    click.option(
        "--sensors",
        "--sensor",
        "sensors",
        type=Names(),
        default=Protocol.sensors,
        help="Sensors that the files hold: sentinel-2 as CropGlobe names them, of others files such as "
        "emit_FRA.npz.  [default: sentinel-2]",
    ),
    recipe_options,
    click.option(
        "--window-first-day",
        type=int,
        metavar="DAY",
        help="Of version 0.1.0; now --window FIRST:LAST. It still reads such a run.toml.",
    ),
    click.option(
        "--window-last-day", type=int, metavar="DAY", help="Of version 0.1.0; now --window FIRST:LAST."
    ),
    click.option(
        "--shift-days", type=Span(), help="Days by which augmentations move a series.  [default: their own]"
    ),
    click.option(
        "--scale-days",
        type=Span(),
        help="Days by which they move its start and its end.  [default: their own]",
    ),
    click.option(
        "--warp-sigma", type=float, help="Spread of the curve they multiply with.  [default: their own]"
    ),
    click.option("--warp-knots", type=int, help="Knots of that curve.  [default: their own]"),
)

_run_options = apply(
    click.option(
        "--out",
        type=OUT_FOLDER,
        required=True,
        help="Folder for results.csv (one row per run), table.md and table.csv (means next to the published "
        "numbers), the confusion matrices as PNG, runs/ and run.toml.",
    ),
    restart_option,
    run_config_option,
    talk_options,
)


@click.command(
    cls=sectioned(
        {
            "Regions and classes": _region_options,
            "Methods": _method_options,
            "Fitting": _fit_options,
            "Held-out samples": _split_options,
            "Sensitivity": _sensitivity_options,
            "Files and messages": _run_options,
        },
        GroupOfItsOwn,
    ),
    places={"foundation": "cli.commands.models.foundation:foundation"},
)
@_region_options
@_method_options
@_fit_options
@_split_options
@_sensitivity_options
@_run_options
def benchmark(
    out: Path,
    restart: bool,
    target_classes: tuple[tuple[str, tuple[str, ...]], ...],
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train models in one region, test them in others.

    This is the protocol of Tong et al. (2025): classes aligned, every class of the same weight, ten seeds,
    overall accuracy and macro-F1 with mean and standard deviation, next to the published number where there
    is one. Unlike in the published code, the epoch is chosen on a part of the source that does not train.

    Each finished training is kept. The same command continues after an interruption, and with more seeds,
    models or augmentations it trains what is missing. A training that fails does not end the others; the
    exit code is 3 then.

    \b
    Examples:
      cropmap data cropglobe --to cropglobe
      cropmap benchmark --data cropglobe --source FRA --targets BEL,NLD,GBR --out from-france
      cropmap benchmark --data cropglobe --source FRA --targets USA,ARG --models cropnet \\
        --augmentation none,paper-shift,paper-shift-scale,paper --out ablation
      cropmap benchmark --data cropglobe --source USA --in-region --split random --out in-region
    """
    from training.threads import let_threads_sleep

    _refuse_unread(given)
    let_threads_sleep()  # before torch is loaded
    from training.transfer.runner import run_benchmark

    moves = MoveRanges(**{name: given.pop(name) for name in _MOVES})
    seasons = take_season(given)
    protocol = Protocol(**given, **seasons, moves=moves, target_classes=dict(target_classes))
    if not quiet:
        warn_of_precision(protocol.precision, protocol.device)
    with _progress(quiet) as listen:
        summary = run_benchmark(protocol, out, restart=restart, listen=listen)
    _show(summary, as_json)
    summary.require_complete()


def _refuse_unread(given: dict[str, Any]) -> None:
    """Refuse options that the choice of another leaves without an effect."""
    if not set(given["models"]) <= MODELS.keys():
        return  # the protocol names what there is
    models = [MODELS[name] for name in given["models"]]
    refuse_unread(not any(model.has_presets for model in models), "are of the CropNets", "preset")
    refuse_unread(all(model.kind == "forest" for model in models), "are of networks", *_OF_NETWORKS)
    refuse_unread_of_split(given["split"])


def take_season(given: dict[str, Any]) -> dict[str, Any]:
    """Season and bins of the protocol by the options, which are taken out.

    Raises:
        InputError: The window is said in the form of version 0.1.0 and in today's.
    """
    from gee_pipeline.errors import InputError
    from gee_pipeline.season import SUMMER

    old = {name: given.pop(f"window_{name}_day") for name in ("first", "last")}
    said = only_given({name: given.pop(name) for name in RECIPE_OPTIONS})
    if any(day is not None for day in old.values()):
        if "window" in said:
            raise InputError("The window is given twice: leave out --window-first-day and --window-last-day.")
        usual = said.get("season", SUMMER)
        said["window"] = (
            usual.first_day if old["first"] is None else old["first"],
            usual.last_day if old["last"] is None else old["last"],
        )
    clear = said.get("min_clear_bins")
    recipe = take_recipe_options(said | {"sensors": given["sensors"]}).applied()
    return {"season": recipe.season, "bin_days": recipe.bin_days, "min_clear_bins": clear}


def _show(summary: Summary, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary.to_dict()))
        return
    kept = f", {summary.kept} kept from before" if summary.kept else ""
    failed = f", {len(summary.failures)} failed" if summary.failures else ""
    trained = f"{summary.trained} training{'' if summary.trained == 1 else 's'}"
    place = summary.folder / "table.md" if summary.cells else summary.folder
    click.echo(f"Benchmark: {place}, {trained}{kept}{failed}")
    for cell in summary.cells:
        there = cell.published
        reference = f" (published {there.accuracy:.2f} %, {there.macro_f1:.2f} %)" if there else ""
        click.echo(
            f"{cell.source} to {cell.target}, {' '.join(cell.method)}: overall accuracy "
            f"{100 * cell.accuracy:.2f} %, macro-F1 {100 * cell.macro_f1:.2f} %{reference}"
        )


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[Standing], None]]:
    """A bar on a terminal, one line per training in a log."""
    if quiet:
        yield lambda standing: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield lambda standing: _write_line(standing)


def _write_line(standing: Standing) -> None:
    if standing.record or standing.error:
        click.echo(describe(standing), err=True)


def describe(standing: Standing) -> str:
    """One line: which training, how it went, how long the rest takes."""
    at = f"{standing.done + standing.failed} of {standing.total}"
    name = standing.job.name if standing.job else ""
    left = "" if standing.seconds_left is None else f", {duration(standing.seconds_left)} left"
    if standing.error:
        return f"{at}: {name} failed: {standing.error}{left}"
    if standing.record:
        score = standing.record.held_out_macro_f1
        return f"{at}: {name}, held-out macro-F1 {score:.3f}, {duration(standing.record.seconds)}{left}"
    epoch = ""
    if standing.step and standing.step.last:
        epoch = f", epoch {standing.step.last.number}, macro-F1 {standing.step.last.macro_f1:.3f}"
    return f"{at} done, now {name}{epoch}{left}"


@contextmanager
def _bar() -> Iterator[Callable[[Standing], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    with Progress(BarColumn(), TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("", total=None)

        def report(standing: Standing) -> None:
            done = float(standing.done + standing.failed)
            if standing.step:
                done += standing.step.done / standing.step.total
            if standing.error:
                console.print(describe(standing), markup=False, highlight=False)
            bar.update(task, total=standing.total, completed=done, description=describe(standing))

        yield report
