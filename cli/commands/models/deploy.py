"""`cropmap deploy`: the weights of a small network on Earth Engine's servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import MODEL_FILE
from cli.options.shared import earth_engine_options, earth_engine_settings, talk_options

if TYPE_CHECKING:
    from gee_pipeline.earthengine.network.network_weights import NetworkWeights
    from inference.deployment.network_deployment import DeployedNetwork


@click.command(short_help="Write a small network's weights to an Earth Engine asset, and compare.")
@click.argument("model", type=MODEL_FILE, metavar="MODEL.safetensors|fast|wide")
@click.option(
    "--asset",
    metavar="projects/PROJECT/assets/NAME",
    help="Table that is written; several add _1, _2, ... to the name.",
)
@click.option("--overwrite", is_flag=True, help="Replace assets that exist.")
@click.option(
    "--no-wait",
    is_flag=True,
    help="Start the tasks and end; the same command later follows them and compares the answers.",
)
@click.option("--dry-run", is_flag=True, help="Print sizes only; nothing is sent, no account is needed.")
@earth_engine_options
@talk_options
def deploy(
    model: Path | str,
    asset: str | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    no_wait: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Write the weights of a small network to a table asset, and compare its answers there with those here.

    Optional: 'cropmap predict --on servers' sends weights with every request unless they are deployed. An
    asset makes requests small, and lets others run the network. The same command continues an interrupted
    deployment. Where the weights are is written next to the model, in MODEL.deployment.json; for a model that
    ships, in the folder where the command runs. Forests have 'cropmap forest deploy'.

    \b
    Examples:
      cropmap deploy small.safetensors --asset projects/my-project/assets/small_2021
      cropmap deploy fast --dry-run
    """
    from cli.output.progress import listener
    from gee_pipeline.earthengine.client.session import connect
    from inference.deployment.network_deployment import beside, deploy_network
    from inference.deployment.servable_network import network_weights
    from inference.models.checkpoint import load_checkpoint
    from inference.models.shipped import model_path

    settings, path = earth_engine_settings(options), model_path(model)
    checkpoint = load_checkpoint(path)
    if dry_run:
        _show_sizes(network_weights(checkpoint), as_json)
        return
    if asset is None:
        raise click.UsageError("--asset names the table that is written, projects/PROJECT/assets/NAME.")
    session = connect(settings)
    with listener(quiet) as listen:
        done = deploy_network(
            checkpoint,
            session,
            beside(model, path, ".deployment.json"),
            asset,
            overwrite=overwrite,
            wait=not no_wait,
            notice=listen.notice,
        )
    _show(done, as_json)


def _show_sizes(weights: NetworkWeights, as_json: bool) -> None:
    from gee_pipeline.earthengine.client.assets import json_bytes

    size = json_bytes(weights.matrices)
    if as_json:
        facts = {"weights": weights.count, "bytes": size, "multiplications": weights.multiplications}
        click.echo(json.dumps({**facts, "largest_array": weights.largest_array}))
        return
    click.echo(
        f"{weights.count:,} weights take {size:,} bytes of a request; a pixel takes "
        f"{weights.multiplications:,} multiplications."
    )


def _show(done: DeployedNetwork, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(done.to_dict()))
        return
    where = ", ".join(done.deployment.assets)
    if done.probe is None:
        click.echo(f"Earth Engine is writing {where}. Look again with the same command, without --no-wait.")
        return
    click.echo(f"{done.weights:,} weights; a pixel takes {done.multiplications:,} multiplications.")
    click.echo(
        f"The logits of {done.probe.series} made series differ by {done.probe.largest_difference:.2g} at "
        "most there and here."
    )
    click.echo(f"Deployed to {where}: {done.path}")
