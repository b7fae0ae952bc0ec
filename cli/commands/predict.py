"""`cropmap predict`: an area and a year become a crop map."""

from __future__ import annotations

from typing import Any

import click

from cli.options.paths import MODEL_FILE
from cli.options.shared import (
    area_options,
    cropland_mask_option,
    expected_start_option,
    given,
    layers_option,
    min_mapped_option,
    server_options,
    talk_options,
    work_options,
)
from cli.options.unread import refuse_workers_of_scheduler


@click.command()
@area_options
@click.option(
    "--model",
    type=MODEL_FILE,
    metavar="FILE|accurate|fast|wide",
    help="A trained model: a network of 'cropmap train' or 'cropmap distill', a forest of 'cropmap forest "
    "train', or one that ships with cropmap: accurate; fast, a student of it that is many times as fast and "
    "a little less accurate; wide, small too, trained on three regions.  [default: accurate]",
)
@expected_start_option
@cropland_mask_option
@layers_option
@min_mapped_option
@click.option(
    "--device",
    help="Where the model runs: auto, cpu, cuda or cuda:N.  [default: auto, a GPU where there is one]",
)
@server_options
@work_options
@talk_options
def predict(quiet: bool, as_json: bool, **options: Any) -> None:
    """Make a crop map of an area and a year.

    Writes a run folder with composites, predictions and the map: class codes with colours and names,
    confidence, clear observations, legend, quicklook and report. The same command continues a run that was
    stopped.

    \b
    Example:
      cropmap predict --aoi region.geojson --year 2021 --source scenes/catalog.json --out run/
    """
    refuse_workers_of_scheduler(options)
    from cli.output.progress import listener
    from cli.output.results import show_map
    from inference.advice.beside import EarlyLook, trial_says
    from inference.workflow.crop_map import make_map
    from inference.workflow.request import MapRequest

    with listener(quiet) as listen:
        request = MapRequest(**given(options))
        if not quiet:
            if said := trial_says(request):
                listen.notice(said)
            listen = EarlyLook(request, listen).listener
        summary = make_map(request, listen)
    show_map(summary, as_json)
