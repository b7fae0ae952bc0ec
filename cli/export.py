"""`cropmap export`: composites only, for another model or later."""

from __future__ import annotations

from typing import Any

import click

from cli.options import Names, area_options, server_options, talk_options, work_options


@click.command(short_help="Write 5-day median composites only, without a map.")
@area_options
@click.option(
    "--bands",
    type=Names(),
    help="Bands to write, in this order.  [default: B2,B3,B4,B8,B5,B6,B7,B8A,B11,B12]",
)
@click.option(
    "--cloud-band",
    type=click.Choice(["cs", "cs_cdf"]),
    help="Cloud Score+ band.  [default: cs]",
)
@click.option(
    "--cloud-threshold",
    type=float,
    help="A pixel is clear where the score is at least this, 0 to 1.  [default: 0.75]",
)
@click.option("--whole-season", is_flag=True, help="All 73 bins of the season instead of the model window.")
@server_options
@work_options
@talk_options
def export(quiet: bool, as_json: bool, **options: Any) -> None:
    """Write the 5-day median composites of an area and a year, without a map.

    One GeoTIFF a cell in OUT/composites: int16, reflectance x 10,000, nodata -9999, bands B2_24, B3_24, ...
    'cropmap predict' with the same area, year and source in the same folder uses what is there.

    \b
    Example:
      cropmap export --aoi region.geojson --year 2021 --source scenes/catalog.json --out run/
    """
    from cli.progress import listener
    from cli.results import export_request, show_export
    from inference.produce import export_composites

    with listener(quiet) as told:
        summary = export_composites(export_request(options), told)
    show_export(summary, as_json)
