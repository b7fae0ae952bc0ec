"""`cropmap forest verify`: cells of a forest map, computed on Earth Engine and here, pixel by pixel."""

from __future__ import annotations

import json
from typing import Any

import click

from cli.options.shared import (
    cropland_option,
    earth_engine_options,
    forest_option,
    given,
    grid_options,
    layers_option,
    map_place_options,
    talk_options,
)


@click.command(short_help="Compare cells classified on Earth Engine with the same cells here.")
@map_place_options
@forest_option
@click.option(
    "--cells",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cells that are compared, drawn at random; each costs its composites and its classes.  [default: 3]",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed by which cells are drawn.  [default: 1]")
@grid_options
@layers_option
@cropland_option
@earth_engine_options
@talk_options
def verify(quiet: bool, as_json: bool, cells: int | None, seed: int | None, **options: Any) -> None:
    """Compare cells of a map, classified on Earth Engine's servers, with the same cells classified here.

    Every pixel is compared in class, confidence, clear observations and --layers. The result is written next
    to the forest, in FOREST.verifications.json; 'cropmap forest predict' looks for it before a map of the
    same area, year and options. Exit code 2 where pixels differ: medians none may, of harmonic features one
    in a thousand.

    \b
    Examples:
      cropmap forest verify --aoi region.geojson --year 2023 --forest forest.safetensors --project my-project
      cropmap forest verify --aoi country.geojson --year 2023 --forest forest.safetensors --cells 10 --seed 7
    """
    from cli.output.progress import listener
    from inference.deployment.verify import verifications_path, verify_and_keep
    from inference.workflow.forest_map import plan_forest
    from inference.workflow.request import ForestRequest

    request = ForestRequest(**given(options))
    drawn = given({"cells": cells, "seed": seed})
    with listener(quiet) as told:
        planned = plan_forest(request, told)
        found = verify_and_keep(
            verifications_path(request.forest),
            planned.plan,
            planned.source,
            planned.model,
            planned.deployment,
            notice=told.notice,
            **drawn,
        )
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    found.require_passed()
    if not as_json:
        click.echo(found.summary)
