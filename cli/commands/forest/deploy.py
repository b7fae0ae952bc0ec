"""`cropmap forest deploy`: the trees of a forest on Earth Engine's servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import IN_FILE
from cli.options.sections import Grouped
from cli.options.shared import earth_engine_options, earth_engine_settings, talk_options
from gee_pipeline.earthengine.forest.deploy_options import CONFIDENCES, DEFAULT_CONFIDENCE, DEFAULT_WAY, WAYS

if TYPE_CHECKING:
    from inference.deployment.deploy import Deployed
    from inference.deployment.deployment import DeployedSizes


@click.command(cls=Grouped, short_help="Deploy a forest to Earth Engine and compare its votes there.")
@click.argument("forest", type=IN_FILE, metavar="FOREST.safetensors")
@click.option(
    "--asset",
    metavar="projects/PROJECT/assets/NAME",
    help="Asset that is written; several add _1, _2, ... or _class_1, _class_2, ... to the name.",
)
@click.option(
    "--way",
    type=click.Choice(WAYS),
    default=DEFAULT_WAY,
    show_default=True,
    help="classifier: one classifier asset, up to 10 MiB of trees. table: trees in table assets of up to "
    "5 MB each, for larger forests. inline: trees go with every request, for small forests; no asset.",
)
@click.option(
    "--confidence",
    type=click.Choice(CONFIDENCES),
    default=DEFAULT_CONFIDENCE,
    show_default=True,
    help="votes: share of the trees that vote for the class. probability: mean share of the class in the "
    "leaves; as many times the size as there are classes. none: the class alone, by Earth Engine's own vote.",
)
@click.option("--overwrite", is_flag=True, help="Replace assets that exist.")
@click.option(
    "--no-wait",
    is_flag=True,
    help="Start the tasks and end; the same command later follows them and compares the votes.",
)
@click.option("--dry-run", is_flag=True, help="Print sizes only; nothing is sent, no account is needed.")
@earth_engine_options
@talk_options
def deploy(
    forest: Path,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    no_wait: bool,
    **options: Any,
) -> None:
    """Deploy a forest to Earth Engine's servers, and compare its votes there with those here.

    Sizes are checked before anything is sent. The same command continues an interrupted deployment; no
    task is started twice. Where the trees are is written next to the forest, in FOREST.deployment.json.

    \b
    Examples:
      cropmap forest deploy forest.safetensors --asset projects/my-project/assets/forest_2021
      cropmap forest deploy forest.safetensors --way inline --project my-project
      cropmap forest deploy forest.safetensors --confidence probability --dry-run
    """
    from cli.output.progress import listener
    from gee_pipeline.earthengine.client.session import connect
    from inference.deployment.deploy import deploy
    from inference.deployment.deployment import deployed_sizes, require_target
    from inference.models.forest_model import load_forest

    settings, model = earth_engine_settings(options), load_forest(forest)
    if dry_run:
        _show_sizes(deployed_sizes(model, options["confidence"]), as_json)
        return
    require_target(options["way"], options["asset"])
    session = connect(settings)
    with listener(quiet) as listen:
        done = deploy(model, session, forest, wait=not no_wait, notice=listen.notice, **options)
    _show(done, as_json)


def _show_sizes(sizes: DeployedSizes, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(sizes.to_dict()))
        return
    click.echo(_size(sizes))
    for way in WAYS:
        fits = "fits" if sizes.fits(way) else "TOO LARGE"
        click.echo(f"  --way {way:<10} largest request {sizes.request_bytes(way):>12,} bytes  {fits}")


def _show(done: Deployed, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(done.to_dict()))
        return
    where = ", ".join(done.deployment.assets) or "every request"
    if done.probe is None:
        click.echo(f"Earth Engine is writing {where}. Look again with the same command, without --no-wait.")
        return
    click.echo(_size(done.sizes))
    click.echo(
        f"{done.probe.rows} made rows are classified alike there and here, {done.probe.ties} of them ties."
    )
    if done.probe.ties_elsewhere:
        click.echo(
            f"Of these ties Earth Engine's own vote gives {done.probe.ties_elsewhere} to another class."
        )
    click.echo(f"Deployed to {where}: {done.path}")


def _size(sizes: DeployedSizes) -> str:
    from gee_pipeline.files import size_text

    return (
        f"{sizes.trees:,} trees of {sizes.nodes:,} nodes take {sizes.bytes:,} bytes "
        f"({size_text(sizes.bytes)}) with --confidence {sizes.confidence}."
    )
