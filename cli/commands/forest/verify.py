"""`cropmap forest verify`: cells of a forest map, computed on Earth Engine and here, pixel by pixel."""

from __future__ import annotations

from typing import Any

import click

from cli.options.sections import Grouped
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
from cli.options.tasks import drawn_options


@click.command(cls=Grouped, short_help="Compare cells classified on Earth Engine with the same cells here.")
@map_place_options
@forest_option
@drawn_options
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
    from cli.output.on_servers import compare_cells
    from inference.workflow.request import ForestRequest

    compare_cells(ForestRequest(**given(options)), quiet, as_json, cells=cells, seed=seed)
