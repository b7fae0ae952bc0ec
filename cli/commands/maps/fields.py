"""`cropmap fields`: the class of each parcel of a finished map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import ANY_FILE_OR_FOLDER, IN_FILE, OUT_FOLDER
from cli.options.shared import given, map_legend_option
from cli.output.reporting import counting

if TYPE_CHECKING:
    from assessment.fields.fields import Fields


@click.command(short_help="The class of each parcel of a finished map.")
@click.argument("place", metavar="RUN|MAP", type=ANY_FILE_OR_FOLDER)
@click.option("--parcels", type=IN_FILE, help="Polygons: GeoPackage, Shapefile, GeoJSON, GeoParquet.")
@click.option(
    "--vectorize", is_flag=True, help="Without parcels: each part of the map with one class is a polygon."
)
@click.option("--layer", metavar="NAME", help="Layer of the parcels.  [default: the only one]")
@click.option("--id", "id_column", metavar="COLUMN", help="Column of ids.  [default: the rows, from 1]")
@click.option(
    "--inner-buffer",
    type=click.FloatRange(min=0),
    metavar="METRES",
    help="What is cut off along the border of each parcel, where pixels are mixed.  [default: 0]",
)
@click.option(
    "--declared",
    "declared_column",
    metavar="COLUMN",
    help="Column of declared classes, names or codes of the map, to compare with.",
)
@click.option("--repair", is_flag=True, help="Make invalid polygons valid in place of refusing them.")
@map_legend_option
@click.option(
    "--out", type=OUT_FOLDER, help="Folder of the results.  [default: RUN/fields, or MAP's name with _fields]"
)
@click.option("--quiet", is_flag=True, help="No progress and no notices on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON on stdout.")
def fields(place: Path, vectorize: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Give each parcel its class on the map of a RUN: by majority, and by mean probability.

    Pixels count by the share of them that lies in the polygon. Of equal classes the lower code is taken; a
    parcel without a pixel that has a class has none. fields.parquet and fields.gpkg also have the shares of
    all classes, confidence and observations. Needs pip install 'cropmap[fields]'.

    \b
    Examples:
      cropmap fields run/ --parcels lpis.gpkg --id parcel_id --inner-buffer 10 --declared crop
      cropmap fields run/ --vectorize
    """
    from assessment.fields.fields import FieldsRequest, make_fields

    if (options["parcels"] is not None) is vectorize:
        raise click.UsageError("Give --parcels FILE, or --vectorize where there are no parcels.")
    with counting("parcels", quiet) as report:
        found = make_fields(FieldsRequest(place, **given(options)), report)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    for line in describe(found):
        click.echo(line)
    if not quiet:
        for notice in found.notices:
            click.echo(notice, err=True)


def describe(found: Fields) -> list[str]:
    """Parcels by class, and how many are what was declared."""
    width = max(12, *(len(name) for name in found.classes))
    lines = [f"{'class':<{width}} {'parcels':>12}"]
    lines += [
        f"{name:<{width}} {count:>12,}"
        for name, count in zip(found.classes, found.by_class.tolist(), strict=True)
    ]
    lines.append(f"{'no class':<{width}} {found.without_class:>12,}")
    if found.agreement and found.agreement.compared:
        same, compared = found.agreement.same, found.agreement.compared
        lines.append(
            f"As declared: {same:,} of {compared:,} parcels ({same / compared:.1%}); no accuracy of the map."
        )
    lines.append(f"Parcels: {found.parcels:,} in {found.folder}")
    return lines
