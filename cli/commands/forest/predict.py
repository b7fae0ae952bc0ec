"""`cropmap forest predict`: an area and a year become a crop map on Earth Engine's servers."""

from __future__ import annotations

from typing import Any

import click

from cli.options.colors import colors_option
from cli.options.sections import Grouped
from cli.options.shared import (
    cropland_mask_option,
    forest_option,
    given,
    grid_options,
    layers_option,
    map_place_options,
    min_mapped_option,
    out_option,
    run_config_option,
    server_options,
    talk_options,
)
from cli.options.tasks import task_options, unverified_option


@click.command(cls=Grouped, short_help="Map an area and a year with a deployed forest.")
@run_config_option
@map_place_options
@forest_option
@out_option
@grid_options
@cropland_mask_option
@layers_option
@colors_option
@min_mapped_option
@server_options
@task_options
@unverified_option
@talk_options
def predict(
    quiet: bool,
    as_json: bool,
    no_wait: bool,
    most_tasks: int | None,
    collect: bool,
    downloads: str | None,
    **options: Any,
) -> None:
    """Make a crop map of an area and a year with a forest on Earth Engine's servers.

    Composites, filled gaps, features and classes are computed there; classes, confidence and clear
    observations alone are fetched, 3 bytes per pixel. The run folder holds predictions and the same map as
    that of 'cropmap predict'. The same command continues a run that was stopped.

    \b
    Examples:
      cropmap forest predict --aoi region.geojson --year 2023 --forest forest.safetensors --project my-project
      cropmap forest predict --aoi country.geojson --year 2023 --forest forest.safetensors --out run/ \\
        --to gcs://my-bucket/country
      cropmap forest predict --config run/run.toml --collect
    """
    from cli.output.on_servers import make_on_servers
    from inference.workflow.request import ForestRequest

    request = ForestRequest(**given(options))
    make_on_servers(
        request,
        quiet,
        as_json,
        no_wait=no_wait,
        most_tasks=most_tasks,
        collect=collect,
        downloads=downloads,
    )
