"""Options of a map that becomes an image asset of Earth Engine."""

from __future__ import annotations

from typing import Any, Final

import click

from cli.options.paths import OUT_FILE
from cli.options.shared import apply

OF_ASSETS: Final = ("bucket", "overwrite", "no_waiting", "keep_upload", "manifest")
"""Options that need `--asset`, by parameter."""

map_asset_options = apply(
    click.option(
        "--asset",
        metavar="projects/PROJECT/assets/NAME",
        help="Image asset of Earth Engine that the map of one RUN becomes.",
    ),
    click.option(
        "--bucket",
        metavar="gs://BUCKET/PREFIX",
        help="With --asset: where its files are uploaded; Earth Engine takes them from Cloud Storage alone.",
    ),
    click.option("--overwrite", is_flag=True, help="With --asset: replace one that exists."),
    click.option(
        "--no-wait",
        "no_waiting",
        is_flag=True,
        help="With --asset: return once the ingestion is started; the same command without this looks again.",
    ),
    click.option(
        "--keep-upload",
        is_flag=True,
        help="With --asset: leave the uploaded files in the bucket; else they are deleted in the end.",
    ),
    click.option(
        "--manifest",
        type=OUT_FILE,
        help="With --asset: write the manifest to this file and send nothing, for 'earthengine upload image "
        "--manifest'; no account is needed.",
    ),
)


def require_fitting(runs: int, asset: str | None, folder: Any, given: dict[str, Any]) -> None:
    """Refuse options of publishing that do not go together.

    Args:
        runs: Number of runs.
        asset: Value of `--asset`.
        folder: Value of `--to`.
        given: All other options, by parameter.

    Raises:
        click.UsageError: Naming those that do.
    """
    if asset is None and folder is None:
        raise click.UsageError(
            "Name where the maps go: --to FOLDER, --asset projects/PROJECT/assets/NAME, or both."
        )
    if asset is None and any(given[name] for name in OF_ASSETS):
        raise click.UsageError(
            "--bucket, --overwrite, --no-wait, --keep-upload and --manifest go with --asset alone."
        )
    if folder is None and any(
        given[name] for name in ("districts", "district_column", "statistics", "fields")
    ):
        raise click.UsageError(
            "--districts, --statistics and --fields go with --to, the folder that holds them."
        )
    if asset is not None and runs > 1:
        raise click.UsageError(f"An asset is of one map: give --asset with one RUN, not {runs}.")
