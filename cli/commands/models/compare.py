"""`cropmap compare`: cells of a map, labelled by a network on Earth Engine's servers and here."""

from __future__ import annotations

from typing import Any

import click

from cli.options.paths import MODEL_FILE
from cli.options.sections import Grouped
from cli.options.shared import (
    cropland_option,
    earth_engine_options,
    given,
    grid_options,
    layers_option,
    map_place_options,
    talk_options,
)
from cli.options.tasks import drawn_options


@click.command(
    cls=Grouped, short_help="Compare cells that a network labels on Earth Engine with the same cells here."
)
@map_place_options
@click.option(
    "--model",
    type=MODEL_FILE,
    required=True,
    metavar="FILE|fast|wide",
    help="A small network, as 'cropmap distill' makes it, or one that ships.",
)
@drawn_options
@grid_options
@layers_option
@cropland_option
@earth_engine_options
@talk_options
def compare(quiet: bool, as_json: bool, cells: int | None, seed: int | None, **options: Any) -> None:
    """Compare cells of a map, labelled by a network on Earth Engine's servers, with the same cells here.

    Every pixel is compared in class, confidence, clear observations and --layers. Classes may differ where
    the two best logits are as good as equal, which is counted; confidence by one percent. The result is
    written next to the model, in MODEL.verifications.json; 'cropmap predict --on servers' looks for it before
    a map of the same area, year and options. Exit code 2 where more differs.

    \b
    Example:
      cropmap compare --aoi region.geojson --year 2023 --model small.safetensors --project my-project
    """
    from cli.output.on_servers import compare_cells
    from inference.workflow.request import NetworkRequest

    compare_cells(NetworkRequest(**given(options)), quiet, as_json, cells=cells, seed=seed)
