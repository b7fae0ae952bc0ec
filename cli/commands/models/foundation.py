"""`cropmap benchmark foundation`: encoders that others trained, on patches of one date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.options.paths import IN_FOLDER, OUT_FOLDER
from cli.options.sections import sectioned
from cli.options.shared import Names, apply, restart_option, run_config_option, talk_options
from cli.options.unread import refuse_unread
from cli.output.reporting import Wording, reporting

if TYPE_CHECKING:
    from training.foundation.patch_runner import PatchStanding, PatchSummary
    from training.foundation.patch_tables import PatchRow

WEIGHTS: Final = ("random", "imagenet", "ssl4eo", "satlas")
ENCODERS: Final = ("resnet50", "resnet18")
DECODERS: Final = ("unet", "fpn")
TRAININGS: Final = ("frozen", "tuned")
SETTINGS: Final = ("ood", "id")
"""As in training.foundation, which takes too long to import for --help; a test holds them equal."""


class NamedValue(click.ParamType[tuple[str, str]]):
    """A name and what belongs to it."""

    name = "NAME=VALUE"

    def __init__(self, example: str, *, alone: tuple[str, ...] = ()) -> None:
        """What is written.

        Args:
            example: For a message.
            alone: Names that nothing belongs to.
        """
        self.example, self.alone = example, alone

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Name and value; the value is empty where the name stands alone."""
        if isinstance(value, tuple):
            return value
        name, separator, rest = (part.strip() for part in str(value).partition("="))
        if not name or (separator and not rest) or (not separator and name not in self.alone):
            self.fail(f"{value!r} is not a name with what belongs to it. Write {self.example}.", param, ctx)
        return name, rest


class Sizes(click.ParamType[tuple[int, ...]]):
    """Whole numbers, separated by commas."""

    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers, each once, in order; a TOML file may hold a list."""
        parts = value.split(",") if isinstance(value, str) else value
        try:
            return tuple(sorted({int(part) for part in parts}))
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a list of numbers. Write 0,10,100.", param, ctx)


_data_options = apply(
    click.option(
        "--data",
        type=IN_FOLDER,
        required=True,
        help="Folder of the data sets. Of your own: GeoTIFFs in NAME/images (13 bands of level 1C) and in "
        "NAME/labels (0 no data, 1 maize, 2 soybean, 3 rice, 4 wheat, 5 other) or NAME/original_labels "
        "(codes of CDL, EuroCrops, NCCM, SAS or SACT), and the lists NAME/train_N.csv and NAME/test.csv. "
        "Or the folder of 'cropmap data harmonized-crops' with the authors' train-test-splits in it.",
    ),
    click.option(
        "--datasets", type=Names(), help="Data sets that train or are tested.  [default: all there]"
    ),
    click.option("--targets", type=Names(), help="Those that are tested.  [default: all of --datasets]"),
    click.option(
        "--settings",
        type=Names(),
        default=SETTINGS,
        help="What trains. ood: all other data sets, with the local images of --images. id: local images "
        "alone.  [default: ood,id]",
    ),
    click.option(
        "--images",
        type=Sizes(),
        default=(0, 10, 100, 900),
        help="Local images that train, each a list train_N.csv; 0 is for ood alone.  [default: 0,10,100,900]",
    ),
    click.option(
        "--other-images",
        type=click.IntRange(min=1),
        metavar="N",
        help="List that each other data set trains with in ood.  [default: its longest]",
    ),
    click.option(
        "--scale",
        type=float,
        default=10_000.0,
        show_default=True,
        help="The number in the images that stands for a reflectance of 1.",
    ),
    click.option(
        "--map",
        "maps",
        type=NamedValue("CDL=run-2023"),
        multiple=True,
        metavar="NAME=PLACE",
        help="A map of the season on the test patches of a data set: folder of a run, or raster with class "
        "names. It is scored on the same pixels and classes. May be repeated.",
    ),
)

_method_options = apply(
    click.option(
        "--weights",
        type=NamedValue("random, or ssl4eo=FILE.pth", alone=("random",)),
        multiple=True,
        default=("random",),
        metavar="NAME[=FILE]",
        help="What the encoder begins with: random, or a file that you fetched: imagenet=FILE, ssl4eo=FILE, "
        "satlas=FILE. May be repeated. Nothing is downloaded; docs/foundation_patches.md says where the "
        "files are.  [default: random]",
    ),
    click.option(
        "--sha256",
        type=NamedValue("ssl4eo=0123456789abcdef..."),
        multiple=True,
        metavar="NAME=DIGEST",
        help="Digest that a file of --weights must have, 8 to 64 hex digits.  [default: as published, where "
        "known]",
    ),
    click.option(
        "--encoder",
        type=click.Choice(ENCODERS),
        default=ENCODERS[0],
        show_default=True,
        help="The paper: resnet50.",
    ),
    click.option(
        "--decoder",
        type=click.Choice(DECODERS),
        default=DECODERS[0],
        show_default=True,
        help="U-Net, or a feature pyramid. The paper: U-Net, a pyramid for satlas.",
    ),
    click.option(
        "--training",
        "trainings",
        type=Names(),
        default=("frozen",),
        help="frozen: the encoder stays as it is. tuned: it is fitted too.  [default: frozen]",
    ),
    click.option(
        "--seeds", type=int, metavar="N", default=1, show_default=True, help="Trainings of each method."
    ),
)

_fit_options = apply(
    click.option(
        "--epochs", type=int, default=100, show_default=True, help="Passes over the training images."
    ),
    click.option(
        "--batch-size",
        type=int,
        metavar="IMAGES",
        default=128,
        show_default=True,
        help="Images of one step. One of 256 pixels takes 0.1 GB of memory by resnet50.",
    ),
    click.option(
        "--learning-rate",
        type=float,
        default=1e-3,
        show_default=True,
        help="Adam's learning rate at the start.",
    ),
    click.option(
        "--patience",
        type=int,
        metavar="EPOCHS",
        default=1,
        show_default=True,
        help="Epochs without a lower held-out loss after which the learning rate is halved.",
    ),
    click.option(
        "--held-out",
        type=float,
        metavar="SHARE",
        default=0.2,
        show_default=True,
        help="Share of the training images that choose the epoch.",
    ),
    click.option(
        "--views",
        type=int,
        metavar="N",
        default=4,
        show_default=True,
        help="With a frozen encoder: views of each training image whose outputs are kept on disk, the image "
        "as it is and N-1 crops and flips that are drawn once; 6 MB a view of 256 pixels by resnet50, and "
        "the sum is said first. 0: keep nothing, and crop and flip anew in each epoch, as in the paper; for "
        "a GPU.",
    ),
    click.option("--cache", type=OUT_FOLDER, help="Folder for these outputs.  [default: features in --out]"),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, cuda or cuda:N; auto takes CUDA where there is one.",
    ),
)

_run_options = apply(
    click.option(
        "--out",
        type=OUT_FOLDER,
        required=True,
        help="Folder for table.md and table.csv (means with intervals, published numbers beside), "
        "results.csv (one row per training), accuracy.png, runs/ and run.toml.",
    ),
    restart_option,
    run_config_option,
    talk_options,
)


@click.command(
    cls=sectioned(
        {
            "Patches": _data_options,
            "Methods": _method_options,
            "Fitting": _fit_options,
            "Files and messages": _run_options,
        }
    ),
    short_help="Pretrained encoders on patches of one date, with the numbers of Chang et al.",
)
@_data_options
@_method_options
@_fit_options
@_run_options
def foundation(
    out: Path,
    restart: bool,
    cache: Path | None,
    maps: tuple[tuple[str, str], ...],
    weights: tuple[tuple[str, str], ...],
    sha256: tuple[tuple[str, str], ...],
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Compare pretrained encoders on patches of one date.

    This is the protocol of Chang et al. (arXiv 2409.09451): a U-Net on a ResNet-50 that begins at random, or
    with weights of ImageNet, SSL4EO-S12 or SatlasPretrain, is trained on the other data sets, with 0 to 900
    local images, or on local images alone. Overall and average accuracy on the test images have intervals by
    a bootstrap over images; the published numbers (of the paper's first version) stand beside them. A map of
    the season is scored on the same pixels with --map.

    Each finished training is kept, and the same command continues. A training that fails does not end the
    others; the exit code is 3 then. Needs pip install 'cropmap[training]'.

    \b
    Examples:
      cropmap benchmark foundation --data crops --weights random --weights ssl4eo=ssl4eo.pth --out patches
      cropmap benchmark foundation --data crops --targets CDL --settings id --images 10,100 \\
        --weights ssl4eo=ssl4eo.pth --map CDL=run-2023 --epochs 30 --batch-size 16 --out patches-cdl
    """
    from training.threads import let_threads_sleep

    refuse_unread("frozen" not in given["trainings"], "are of frozen encoders", "views", "cache")
    refuse_unread(given["views"] == 0, "are of --views above 0", "cache")
    refuse_unread("ood" not in given["settings"], "are of --settings ood", "other_images")
    let_threads_sleep()  # before torch is loaded
    from training.foundation.patch_protocol import PatchProtocol
    from training.foundation.patch_runner import run_patches
    from training.foundation.patch_training import PatchOptions

    fitting = ("epochs", "batch_size", "learning_rate", "patience", "held_out")
    protocol = PatchProtocol(
        options=PatchOptions(**{name: given.pop(name) for name in fitting}),
        weights={name: Path(file) if file else None for name, file in once("--weights", weights).items()},
        sha256=once("--sha256", sha256),
        **{name: value for name, value in given.items() if value is not None},
    )
    places = {name: Path(place) for name, place in once("--map", maps).items()}
    with reporting(WORDING, quiet) as reporter:
        summary = run_patches(
            protocol,
            out,
            maps=places,
            cache=cache,
            restart=restart,
            say=reporter.write,
            listen=reporter.report,
        )
    click.echo(json.dumps(summary.to_dict()) if as_json else "\n".join(describe(summary)))
    summary.require_complete()


def once(option: str, given: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """What belongs to each name.

    Raises:
        click.UsageError: A name was given twice.
    """
    names = [name for name, _ in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise click.UsageError(
            f"{option} takes each name once; {twice[0]} was given {names.count(twice[0])} times."
        )
    return dict(given)


def describe(summary: PatchSummary) -> list[str]:
    """The table's place, and a line for each method."""
    kept = f", {summary.kept} kept from before" if summary.kept else ""
    failed = f", {len(summary.failures)} failed" if summary.failures else ""
    trained = f"{summary.trained} training{'' if summary.trained == 1 else 's'}"
    place = summary.folder / "table.md" if summary.rows else summary.folder
    lines = [f"Benchmark: {place}, {trained}{kept}{failed}", *map(_line, summary.rows)]
    if summary.on_maps:
        lines += ["On the test images that a map covers:", *map(_line, summary.on_maps)]
    for name, left_out in summary.left_out.items():
        if left_out:
            lines.append(f"Not covered by the map of {name}: {len(left_out)} test images, named in table.md")
    return lines


def _line(row: PatchRow) -> str:
    from training.foundation.patch_tables import interval_text

    method = f", {row.method}" if row.method else ""
    published = "" if row.published is None else f" (published {row.published:.2f} %, first version)"
    return (
        f"{row.target} by {row.trained_on}{method}: OA {interval_text(row.scores.accuracy)} %, AA "
        f"{interval_text(row.scores.average)} %, {row.test_images} images{published}"
    )


def state(standing: PatchStanding) -> str:
    """One line: how many trainings are done, and what is worked on."""
    done, total = standing.steps
    steps = f" {done:,} of {total:,}" if total else ""
    parts = [f"{standing.done} of {standing.total} trainings done"]
    parts += [standing.what] * bool(standing.what)
    if standing.epoch:
        parts.append(f"epoch{steps}, held-out loss {standing.epoch.held_out_loss:.3f}")
    elif total:
        parts.append(f"images{steps}")
    return "; ".join(parts)


def share(standing: PatchStanding) -> tuple[float, float]:
    """What is done, and what there is to do, in trainings."""
    done, total = standing.steps
    part = done / total if total and standing.epoch else 0.0
    return standing.done + standing.failed + part, standing.total


WORDING: Wording[PatchStanding] = Wording(state, share, lambda standing: standing.what)
"""How the states of a benchmark are said."""
