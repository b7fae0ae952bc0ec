"""`cropmap data`: published samples, fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.commands.data_build import build
from cli.commands.data_harmonized_crops import harmonized_crops
from cli.commands.data_weights import weights
from cli.options.paths import OUT_FOLDER
from cli.options.shared import Names, talk_options
from cli.output.fetching import WORDING
from cli.output.reporting import reporting

if TYPE_CHECKING:
    from training.downloads.dataset_folder import DatasetSummary

KINDS = ("median", "harmonic", "presto", "alphaearth", "all")
"""As in training.cropglobe.dataset, which takes too long to import for --help; a test holds them equal."""


@click.group()
def data() -> None:
    """Fetch published samples."""


data.add_command(build)
data.add_command(harmonized_crops)
data.add_command(weights)


@data.command(short_help="Fetch CropGlobe, the samples of the paper, from the Hugging Face Hub.")
@click.option(
    "--to",
    type=OUT_FOLDER,
    required=True,
    help="Folder for the files; it keeps to the version of its first download.",
)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="median",
    show_default=True,
    help="Features: the year's five-day medians, which 'cropmap train' reads, harmonic coefficients, or "
    "Presto or AlphaEarth embeddings.",
)
@click.option(
    "--countries",
    type=Names(),
    help="Countries out of ARG, AUS, BEL, CHN, FRA, GBR, NLD, USA.  [default: all]",
)
@talk_options
def cropglobe(to: Path, kind: str, countries: tuple[str, ...] | None, quiet: bool, as_json: bool) -> None:
    """Fetch CropGlobe (Tong et al. 2025), 300,000 labelled series, from the Hugging Face Hub.

    The licence is said first. Checksums are verified. The same command continues an interrupted download
    where it stopped; when all is there, the command needs no network. Needs pip install
    'cropmap[training]'. HF_ENDPOINT names a mirror, HF_TOKEN an access token.

    \b
    Example:
      cropmap data cropglobe --to cropglobe --countries FRA,USA
      cropmap train cropglobe/for_CropNet/median_S2_FRA_month1-12_day5.npz --out france.safetensors
    """
    from training.cropglobe.dataset import CropGlobeRequest, fetch_cropglobe

    codes = tuple(code.upper() for code in countries) if countries else None
    with reporting(WORDING, quiet) as reporter:
        request = CropGlobeRequest(to, kind, codes)
        summary = fetch_cropglobe(request, say=reporter.write, progress=reporter.report)
    click.echo(json.dumps(summary.to_dict()) if as_json else "\n".join(describe(summary)))


def describe(summary: DatasetSummary) -> list[str]:
    """One line per file with its size, samples beside the paper's tables, what is lacking, and the sum."""
    from gee_pipeline.files import size_text
    from training.cropglobe.counts import counts_text

    width = max(len(file.path) for file in summary.files)
    counts = [counts_text(Path(file.path)) for file in summary.files]
    lines = [
        f"{file.path:<{width}}  {size_text(file.size):>10}{'' if file.fetched else '  was there'}"
        for file in summary.files
    ]
    if summary.absent:
        lines.append(f"Not in the dataset: {', '.join(summary.absent)}")
    return [
        *lines,
        *dict.fromkeys(filter(None, counts)),
        f"{summary.dataset}, version {summary.commit[:12]}: {len(summary.files)} files, "
        f"{size_text(summary.size)} in {summary.to}, {size_text(summary.fetched)} fetched now",
    ]
