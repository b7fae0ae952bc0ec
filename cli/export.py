"""`cropmap export`: composites only, for another model or later."""

from __future__ import annotations

from typing import Any

import click

from cli.options import Names, area_options, cloud_options, given, server_options, talk_options, work_options


@click.command(short_help="Write 5-day median composites only, without a map.")
@area_options
@click.option(
    "--bands",
    type=Names(),
    help="Bands to write, in this order.  [default: B2,B3,B4,B8,B5,B6,B7,B8A,B11,B12]",
)
@cloud_options
@click.option("--whole-season", is_flag=True, help="All 73 bins of the season instead of the model window.")
@click.option(
    "--to",
    metavar="DESTINATION",
    help="Let batch tasks of Earth Engine write the cells to gcs://BUCKET/PREFIX or drive:FOLDER instead of "
    "fetching them one by one.",
)
@click.option(
    "--no-wait", is_flag=True, help="With --to: return once tasks are started; the same command looks again."
)
@click.option(
    "--most-tasks",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --to: tasks of this run that wait or work at once.  [default: 100]",
)
@click.option(
    "--collect", is_flag=True, help="Verify the files that tasks wrote, and take them into the run."
)
@click.option(
    "--downloads",
    metavar="FOLDER",
    help="With --collect: where the files lie after you brought them from --to by other means.",
)
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

    One GeoTIFF a cell in OUT/composites: int16, reflectance x 10,000, nodata -9999, bands B2_24, B3_24, ...
    'cropmap predict' with the same area, year and source in the same folder uses what is there.

    \b
    Examples:
      cropmap export --aoi region.geojson --year 2021 --source scenes/catalog.json --out run/
      cropmap export --aoi country.geojson --year 2021 --to gcs://my-bucket/country --out run/
      cropmap export --config run/run.toml --collect
    """
    from cli.progress import listener
    from cli.results import export_request, show_collected, show_export, show_tasks
    from inference.produce import collect_files, export_composites, start_tasks

    request = export_request(options)
    _require_together(no_wait or bool(most_tasks), collect, downloads, to=request.to)
    with listener(quiet) as told:
        if collect:
            show_collected(collect_files(request, told, downloads=downloads), as_json)
        elif request.to:
            limit = given({"most_tasks": most_tasks})
            show_tasks(start_tasks(request, told, wait=not no_wait, **limit), as_json)
        else:
            show_export(export_composites(request, told), as_json)


def _require_together(about_tasks: bool, collect: bool, downloads: str | None, to: str | None) -> None:
    if about_tasks and (collect or not to):
        raise click.UsageError("--no-wait and --most-tasks go with --to alone, which starts tasks.")
    if downloads and not collect:
        raise click.UsageError("--downloads goes with --collect, which reads the files there.")
