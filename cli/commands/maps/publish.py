"""`cropmap publish`: maps of several years and regions as one folder that others can use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import IN_FILE, IN_FOLDER, OUT_FOLDER
from cli.options.publisher import WORDS, publisher_options
from cli.options.sections import Grouped
from cli.options.shared import config_option
from cli.output.reporting import counting

if TYPE_CHECKING:
    from assessment.publication.publish import Published


@click.command(cls=Grouped, short_help="Finished maps as a folder to publish.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=IN_FOLDER)
@click.option(
    "--to",
    "folder",
    type=OUT_FOLDER,
    required=True,
    help="Folder of the publication; maps that are there already stay.",
)
@publisher_options("Title of the publication.  [default: that of the map, or the years]")
@click.option("--districts", type=IN_FILE, help="Vector file of districts: areas are given by district too.")
@click.option("--district-column", metavar="COLUMN", help="Its column of names.")
@click.option(
    "--statistics",
    type=IN_FILE,
    help="CSV of published hectares to put beside: columns class and hectares, at will district, year, map, "
    "source.",
)
@click.option("--smoothed", is_flag=True, help="Areas, page and metadata are of the smoothed maps.")
@click.option("--fields", is_flag=True, help="Publish the parcels of 'cropmap fields' too.")
@click.option("--no-assessment", is_flag=True, help="Leave out what 'cropmap assess' found.")
@click.option("--quiet", is_flag=True, help="No progress and no notices on stderr.")
@config_option
def publish(runs: tuple[Path, ...], folder: Path, no_assessment: bool, quiet: bool, **options: Any) -> None:
    """Copy the finished maps of RUNs to a folder that others can use.

    Each map gets a folder: rasters with styles, page, areas as CSV, ISO 19115 metadata, a STAC item, and
    what was made beside it (assessment, smoothed map; parcels with --fields). Around them: a STAC
    collection, its items as GeoParquet, one table of areas, a QGIS project, and SHA256SUMS, by which
    'cropmap verify' and sha256sum tell whether all is as it was published.

    \b
    Examples:
      cropmap publish run/ --to published/ --agency "Office of Agriculture" --licence "CC BY 4.0"
      cropmap publish 2022/ 2023/ --to published/ --districts districts.gpkg --district-column name
    """
    from assessment.document.facts import Words
    from assessment.publication.publish import PublishRequest, publish_maps

    words = Words(**{name: options.pop(name) for name in WORDS})
    request = PublishRequest(runs, folder, words, assessed=not no_assessment, **options)
    with counting("parts of the map", quiet) as report:
        published = publish_maps(request, report)
    for line in describe(published):
        click.echo(line)
    if not quiet and (missing := set(published.new) - set(published.assessed)):
        from inference.product.map_facts import COUNTED

        click.echo(f"{COUNTED} Not assessed: {', '.join(sorted(missing))}.", err=True)


def describe(published: Published) -> list[str]:
    """What was published, and how published statistics compare."""
    lines = [
        f"{published.folder}: maps: {len(published.maps)}, of them written now: {len(published.new)}",
        *(f"  {name}" for name in published.maps),
    ]
    inside = [one.in_interval for one in published.comparisons if one.in_interval is not None]
    if inside:
        lines.append(f"published statistics inside the 95 % interval: {sum(inside)} of {len(inside)}")
    return [*lines, f"SHA-256 of SHA256SUMS: {published.digest}"]
