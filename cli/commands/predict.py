"""`cropmap predict`: an area and a year become a crop map."""

from __future__ import annotations

from typing import Any

import click

from cli.options.colors import colors_option
from cli.options.paths import MODEL_FILE
from cli.options.sections import Grouped
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
from cli.options.tasks import task_options, unverified_option
from cli.options.unread import refuse_unread, refuse_workers_of_scheduler

_OF_THIS_MACHINE = (
    *("source", "collection", "leave_out_scene", "bad_scenes"),
    *("device", "memory", "workers", "scheduler"),
)
"""Options that a map on the servers has no use for."""

_OF_SERVERS = ("to", "no_wait", "most_tasks", "collect", "downloads", "unverified")
"""Options that a map which is made here has no use for."""


@click.command(cls=Grouped)
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
@colors_option
@min_mapped_option
@click.option(
    "--device",
    help="Where the model runs: auto, cpu, cuda or cuda:N.  [default: auto, a GPU where there is one]",
)
@click.option(
    "--on",
    type=click.Choice(["here", "servers"]),
    help="Where pixels are labelled: here, for which composites are fetched or made; or on Earth Engine's "
    "servers, which takes a small network such as --model fast: three bytes a pixel are fetched.  "
    "[default: here]",
)
@server_options
@task_options
@unverified_option
@work_options
@talk_options
def predict(
    quiet: bool,
    as_json: bool,
    on: str | None,
    no_wait: bool,
    most_tasks: int | None,
    collect: bool,
    downloads: str | None,
    to: str | None,
    unverified: bool | None,
    **options: Any,
) -> None:
    """Make a crop map of an area and a year.

    Writes a run folder with composites, predictions and the map: class codes with colours and names,
    confidence, clear observations, legend, quicklook and report. The same command continues a run that was
    stopped. With --on servers composites stay at Google; cells are drawn and compared with what this machine
    makes of them before anything is mapped.

    \b
    Examples:
      cropmap predict --aoi region.geojson --year 2021 --source scenes/catalog.json --out run/
      cropmap predict --aoi region.geojson --year 2023 --on servers --model fast --project my-project
    """
    if on == "servers":
        refuse_unread(True, "are of maps that are made here, not of --on servers", *_OF_THIS_MACHINE)
        from cli.output.on_servers import make_on_servers
        from inference.workflow.request import NetworkRequest

        rest = {name: value for name, value in options.items() if name not in _OF_THIS_MACHINE}
        make_on_servers(
            NetworkRequest(**given({**rest, "to": to, "unverified": unverified})),
            quiet,
            as_json,
            no_wait=no_wait,
            most_tasks=most_tasks,
            collect=collect,
            downloads=downloads,
        )
        return
    refuse_unread(True, "are of --on servers", *_OF_SERVERS)
    refuse_workers_of_scheduler(options)
    from cli.output.progress import listener
    from cli.output.results import show_map
    from inference.advice.beside import EarlyLook, trial_says
    from inference.workflow.crop_map import make_map
    from inference.workflow.request import MapRequest

    request = MapRequest(**given(options))
    with listener(quiet, request.folder) as listen:
        if not quiet:
            if said := trial_says(request):
                listen.notice(said)
            listen = EarlyLook(request, listen).listener
        summary = make_map(request, listen)
    show_map(summary, as_json)
