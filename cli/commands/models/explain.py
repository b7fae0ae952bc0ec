"""`cropmap explain`: why a model decides as it does, in pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cli.options.paths import IN_FILE, OUT_FOLDER
from cli.options.sample_files import file_options
from cli.options.sections import Grouped
from cli.options.shared import Names, take_recipe_options, talk_options
from cli.options.shared import given as only_given
from training.explain.options import FORMATS, GROUP_LIMIT, ExplainOptions
from training.fit.options import AUGMENTATIONS


@click.command(cls=Grouped, short_help="Draw what a model looks at, and how alike two regions are.")
@click.argument("model", metavar="MODEL", type=IN_FILE)
@click.argument("files", metavar="SAMPLES...", nargs=-1, required=True, type=IN_FILE)
@click.option(
    "--target",
    "targets",
    metavar="SAMPLES",
    multiple=True,
    type=IN_FILE,
    help="Samples of the region to map, to compare with; may be given several times.",
)
@click.option(
    "--out",
    type=OUT_FOLDER,
    required=True,
    help="Folder for explain.json and the pictures.",
)
@click.option("--classes", type=Names(), help="Classes of the model to explain.  [default: all]")
@file_options
@click.option(
    "--per-class",
    type=int,
    metavar="N",
    default=ExplainOptions.per_class,
    show_default=True,
    help=f"Samples of each class and region for maps and t-SNE, at most {GROUP_LIMIT:,} of a region, as "
    "the paper took. NDVI is of all.",
)
@click.option(
    "--augmentation",
    type=click.Choice(AUGMENTATIONS),
    default=ExplainOptions.augmentation,
    show_default=True,
    help="How t-SNE shows the source a second time, changed as in 'cropmap train'; none leaves that out.",
)
@click.option(
    "--perplexity",
    type=float,
    default=ExplainOptions.perplexity,
    show_default=True,
    help="Neighbours that t-SNE keeps near a sample, about.",
)
@click.option(
    "--seed",
    type=int,
    default=ExplainOptions.seed,
    show_default=True,
    help="Chooses the samples and what the augmentation draws.",
)
@click.option(
    "--device",
    default=ExplainOptions.device,
    show_default=True,
    help="auto, cpu, cuda or cuda:N, for the network.",
)
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(FORMATS),
    default=ExplainOptions.format,
    show_default=True,
    help="Of the pictures.",
)
@talk_options
def explain(
    model: Path,
    files: tuple[Path, ...],
    targets: tuple[Path, ...],
    out: Path,
    classes: tuple[str, ...] | None,
    picture_format: str,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Draw what a model looks at, and how alike two regions are.

    MODEL is a checkpoint of 'cropmap train', SAMPLES what it reads. Written are class activation maps and
    integrated gradients over bands and days (activation, attribution), t-SNE of the series before any network
    (embedding), NDVI of each class (ndvi), and the numbers behind them (explain.json). Needs
    pip install 'cropmap[training]'.

    \b
    Example:
      cropmap explain model.safetensors arkansas.npz --target california.npz --out explained
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from gee_pipeline.files import require_writable
    from inference.models.checkpoint import load_checkpoint
    from training.explain.activation import cropnet_of, require_captum
    from training.explain.pictures import write_explanation
    from training.explain.report import explain as make
    from training.explain.subjects import chosen_classes, read_region
    from training.samples.class_legend import read_legend

    reading = {name: given.pop(name) for name in ("label_column", "scale", "offset", "year", "hemisphere")}
    names = ("sensors", "bands", "season", "season_start", "window", "bin_days", "clock", "min_clear_bins")
    asked = only_given({name: given.pop(name) for name in names})
    reading["asked"] = take_recipe_options(asked)
    legend = given.pop("legend")
    options = ExplainOptions(format=picture_format, **given)
    require_captum()
    require_writable(out / "explain.json")
    checkpoint = load_checkpoint(model)
    cropnet_of(checkpoint)  # refused before samples are read
    chosen = chosen_classes(checkpoint, classes)
    reading["legend"] = read_legend(legend) if legend else None
    domains = {"source": files, **({"target": targets} if targets else {})}
    regions = [read_region(domain, paths, checkpoint, chosen, **reading) for domain, paths in domains.items()]
    explanation = make(model, checkpoint, regions, chosen, options, say=_silent if quiet else _to_stderr)
    paths = write_explanation(out, explanation)
    click.echo(
        json.dumps([str(path) for path in paths]) if as_json else f"Written: {', '.join(map(str, paths))}"
    )


def _to_stderr(text: str) -> None:
    click.echo(text, err=True)


def _silent(text: str) -> None:
    """Say nothing."""
