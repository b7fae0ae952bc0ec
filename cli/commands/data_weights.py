"""`cropmap data weights`: published weights, fetched."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cli.options.paths import OUT_FOLDER
from cli.options.shared import talk_options
from cli.output.fetching import WORDING
from cli.output.reporting import reporting
from training.pretrained.known import KNOWN


@click.command(short_help="Fetch published weights that a training can start from.")
@click.argument("name", type=click.Choice(tuple(KNOWN)))
@click.option("--to", type=OUT_FOLDER, required=True, help="Folder for the file, which is called NAME.pt.")
@click.option(
    "--address",
    metavar="URL",
    help="Another place that has the same file.  [default: the repository that it was published in]",
)
@talk_options
def weights(name: str, to: Path, address: str | None, quiet: bool, as_json: bool) -> None:
    """Fetch the published weights NAME, a few megabytes, for --pretrained of 'cropmap train' and 'cropmap
    benchmark'.

    Their licence is shown before anything is fetched, and stays with every model that starts from them. The
    checksum is verified. The same command continues an interrupted download; when the file is there, it
    needs no network.

    \b
    Example:
      cropmap data weights presto --to weights
      cropmap train samples.npz --model presto --pretrained weights/presto.pt --out model.safetensors
    """
    from training.pretrained.fetch import WebAddress, fetch_weights

    known = KNOWN[name]
    click.echo(known.terms, err=True)
    with reporting(WORDING, quiet) as reporter:
        place = WebAddress(address) if address else None
        found = fetch_weights(known, to, address=place, progress=reporter.report)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    there = "" if found.fetched else ", was there"
    click.echo(f"Weights: {found.path}{there}, {known.title}, licence {known.licence}")
