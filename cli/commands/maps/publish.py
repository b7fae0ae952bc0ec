"""`cropmap publish`: maps as one folder that others can use, or a map as an image asset of Earth Engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.map_asset import OF_ASSETS, map_asset_options, require_fitting
from cli.options.paths import IN_FILE, IN_FOLDER, OUT_FOLDER, require_new_files
from cli.options.publisher import WORDS, publisher_options
from cli.options.sections import Grouped
from cli.options.shared import config_option, earth_engine_options, earth_engine_settings
from cli.output.progress import listener
from cli.output.reporting import counting

if TYPE_CHECKING:
    from assessment.publication.map_asset import MapAsset, MapAssetRequest
    from assessment.publication.publish import Published


@click.command(cls=Grouped, short_help="Finished maps as a folder to publish, or as an Earth Engine asset.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=IN_FOLDER)
@click.option(
    "--to",
    "folder",
    type=OUT_FOLDER,
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
@click.option(
    "--smoothed",
    is_flag=True,
    help="Areas, page and metadata are of the smoothed maps; an asset has their classes as one more band.",
)
@click.option("--fields", is_flag=True, help="Publish the parcels of 'cropmap fields' too.")
@click.option("--no-assessment", is_flag=True, help="Leave out what 'cropmap assess' found.")
@map_asset_options
@earth_engine_options
@click.option("--quiet", is_flag=True, help="No progress and no notices on stderr.")
@config_option
def publish(
    runs: tuple[Path, ...], folder: Path | None, asset: str | None, quiet: bool, **options: Any
) -> None:
    """Copy the finished maps of RUNs to a folder that others can use, or make an Earth Engine asset of one.

    --to: each map gets a folder: rasters with styles, page, areas as CSV, ISO 19115 metadata, a STAC item,
    and what was made beside it (assessment, smoothed map; parcels with --fields). Around them: a STAC
    collection, its items as GeoParquet, one table of areas, a QGIS project, and SHA256SUMS, by which
    'cropmap verify' and sha256sum tell whether all is as it was published.

    --asset: the layers of the map become the bands of an image, with the names and colours of classes, the
    season and the origin as properties. The files go through a bucket (pip install 'cropmap[gcs]'). The same
    command continues one that was stopped. Never tried on the live Earth Engine yet, on an emulator only.

    \b
    Examples:
      cropmap publish run/ --to published/ --agency "Office of Agriculture" --licence "CC BY 4.0"
      cropmap publish 2022/ 2023/ --to published/ --districts districts.gpkg --district-column name
      cropmap publish run/ --asset projects/my-project/assets/crops_2023 --bucket gs://my-bucket/maps
    """
    require_fitting(len(runs), asset, folder, options)
    words, settings = {name: options.pop(name) for name in WORDS}, earth_engine_settings(options)
    of_asset = {name: options.pop(name) for name in OF_ASSETS}
    manifest, wait = of_asset.pop("manifest"), not of_asset.pop("no_waiting")
    request = None
    if asset is not None:
        from assessment.document.facts import Words
        from assessment.publication.map_asset import MapAssetRequest

        request = MapAssetRequest(
            runs[0],
            asset,
            words=Words(**words),
            smoothed=options["smoothed"],
            wait=wait,
            settings=settings,
            **of_asset,
        )
    if folder is not None:
        _to_folder(runs, folder, words, quiet, options)
    if request is not None:
        _to_asset(request, manifest, quiet)


def _to_folder(
    runs: tuple[Path, ...], folder: Path, words: dict[str, str], quiet: bool, options: dict[str, Any]
) -> None:
    from assessment.document.facts import Words
    from assessment.publication.publish import PublishRequest, publish_maps

    assessed = not options.pop("no_assessment")
    request = PublishRequest(runs, folder, Words(**words), assessed=assessed, **options)
    with counting("parts of the map", quiet) as report:
        published = publish_maps(request, report)
    for line in describe(published):
        click.echo(line)
    if not quiet and (missing := set(published.new) - set(published.assessed)):
        from inference.product.map_facts import COUNTED

        click.echo(f"{COUNTED} Not assessed: {', '.join(sorted(missing))}.", err=True)


def _to_asset(request: MapAssetRequest, manifest: Path | None, quiet: bool) -> None:
    from assessment.publication.map_asset import publish_asset, write_manifest

    if manifest is not None:
        require_new_files(manifest)
        found = write_manifest(request, manifest)
        click.echo(f"Manifest: {manifest}. Nothing was sent. To make the asset of it:")
        files = " ".join(f'"{path}"' for path in found.files.values())
        click.echo(f"  gcloud storage cp {files} {request.destination.uri}/")
        click.echo(f'  earthengine upload image --manifest "{manifest}"')
        return
    with listener(quiet) as listen:
        made = publish_asset(request, notice=listen.notice)
    for line in describe_asset(made):
        click.echo(line)


def describe_asset(made: MapAsset) -> list[str]:
    """What the asset is, and how to look at it."""
    if not made.done:
        return [f"Earth Engine is writing {made.asset}. Look again with the same command, without --no-wait."]
    image = made.map.image
    height, width = image.geobox.shape
    bands = ", ".join(band.id for band in image.bands)
    return [
        f"{made.asset}: {width:,} x {height:,} pixels, bands {bands}",
        "In the Code Editor (https://code.earthengine.google.com), where nobody but you sees it until you "
        "share it:",
        *(f"  {line}" for line in made.map.lines),
    ]


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
