"""`cropmap export`: composites only, for another model or later."""

from __future__ import annotations

from typing import Any

import click

from cli.options.sections import Grouped
from cli.options.shared import (
    area_options,
    bin_options,
    clock_option,
    cloud_options,
    given,
    sensor_options,
    server_options,
    talk_options,
    work_options,
)
from cli.options.tasks import require_together, task_options
from cli.options.unread import refuse_unread, refuse_workers_of_scheduler


@click.command(cls=Grouped, short_help="Write 5-day median composites only, without a map.")
@area_options
@sensor_options
@bin_options
@clock_option
@cloud_options
@click.option("--whole-season", is_flag=True, help="All bins of the season instead of the model window.")
@task_options
@server_options
@work_options
@talk_options
def export(
    quiet: bool,
    as_json: bool,
    no_wait: bool,
    most_tasks: int | None,
    collect: bool,
    downloads: str | None,
    **options: Any,
) -> None:
    """Write the 5-day median composites of an area and a year, without a map.

    One GeoTIFF per cell in OUT/composites: int16, reflectance x 10,000, nodata -9999, bands B2_24, B3_24, ...
    Sensors stand one after the other in each bin (docs/sensors.md says what each stores).
    'cropmap predict' with the same area, year and source in the same folder uses what is there.

    \b
    Examples:
      cropmap export --aoi region.geojson --year 2021 --source scenes/catalog.json --out run/
      cropmap export --aoi country.geojson --year 2021 --to gcs://my-bucket/country --out run/
      cropmap export --config run/run.toml --collect
    """
    refuse_workers_of_scheduler(options)
    from cli.output.progress import listener
    from cli.output.results import export_request, show_collected, show_export, show_tasks
    from inference.workflow.composites import collect_files, export_composites, start_tasks

    request = export_request(options)
    require_together(
        to=request.to, no_wait=no_wait, most_tasks=most_tasks, collect=collect, downloads=downloads
    )
    here = ("scheduler", "memory", *(["workers"] if request.workers else []))  # 0 starts none either
    refuse_unread(bool(request.to), "are of work on this machine, not of the tasks of --to", *here)
    with listener(quiet, request.folder) as listen:
        if collect:
            show_collected(collect_files(request, listen, downloads=downloads), as_json)
        elif request.to:
            limit = given({"most_tasks": most_tasks})
            show_tasks(start_tasks(request, listen, wait=not no_wait, **limit), as_json)
        else:
            show_export(export_composites(request, listen), as_json)
