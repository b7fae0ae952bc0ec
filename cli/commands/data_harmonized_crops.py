"""`cropmap data harmonized-crops`: patches of five crop type data sets, fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options.paths import OUT_FOLDER
from cli.options.shared import Names, talk_options
from cli.output.fetching import WORDING
from cli.output.reporting import reporting

if TYPE_CHECKING:
    from training.downloads.dataset_folder import DatasetSummary


@click.command(
    "harmonized-crops",
    short_help="Fetch the patches of five crop type data sets that Chang et al. compare encoders on.",
)
@click.option(
    "--to",
    type=OUT_FOLDER,
    required=True,
    help="Folder for the files; it keeps to the version of its first download.",
)
@click.option(
    "--datasets",
    type=Names(),
    help="Data sets out of CDL, EuroCrops, NCCM, SAS, SACT.  [default: all]",
)
@talk_options
def harmonized_crops(to: Path, datasets: tuple[str, ...] | None, quiet: bool, as_json: bool) -> None:
    """Fetch the patches of Chang et al. (arXiv 2409.09451) from the Hugging Face Hub.

    Images of Sentinel-2 level 1C with 13 bands, and labels in five classes. The licence and the size are said
    first; checksums are verified. The same command continues an interrupted download where it stopped; when
    all is there, the command needs no network. Needs pip install 'cropmap[training]'. HF_ENDPOINT names a
    mirror, HF_TOKEN an access token. The lists of images are not among the files: copy train-test-splits of
    github.com/yichiac/crop-type-transfer-learning into the folder.

    \b
    Example:
      cropmap data harmonized-crops --to crops --datasets CDL,NCCM
    """
    from training.foundation.harmonized_crops import HarmonizedRequest, fetch_harmonized_crops

    with reporting(WORDING, quiet) as reporter:
        request = HarmonizedRequest(to, datasets or ())
        summary = fetch_harmonized_crops(request, say=reporter.write, progress=reporter.report)
    click.echo(json.dumps(summary.to_dict()) if as_json else "\n".join(describe(summary)))


def describe(summary: DatasetSummary) -> list[str]:
    """A line for each folder with files and size, the licence, and the sum."""
    from gee_pipeline.files import size_text
    from training.foundation.patch_folders import SPLITS

    folders: dict[str, list[int]] = {}
    for file in summary.files:
        folder = Path(file.path).parent.relative_to(summary.to).as_posix()
        folders.setdefault(folder, []).append(file.size)
    width = max(map(len, folders))
    lines = [
        f"{folder:<{width}}  {len(sizes):>6,} files  {size_text(sum(sizes)):>10}"
        for folder, sizes in folders.items()
    ]
    lists = [] if (Path(summary.to) / SPLITS).is_dir() else [f"The lists of images are not there: {SPLITS}"]
    return [
        *lines,
        *lists,
        f"Licence: {summary.licence or 'none is named'}",
        f"{summary.dataset}, version {summary.commit[:12]}: {len(summary.files):,} files, "
        f"{size_text(summary.size)} in {summary.to}, {size_text(summary.fetched)} fetched now",
    ]
