"""`cropmap code`: a script that runs a small network without cropmap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import MODEL_FILE
from cli.options.scripts import script_options
from cli.options.sections import Grouped
from cli.options.shared import cropland_option, given, grid_options, layers_option, map_place_options

if TYPE_CHECKING:
    from inference.scripts.script_text import Language


@click.command(
    cls=Grouped, short_help="Write a script that runs a small network inside Earth Engine without cropmap."
)
@map_place_options
@click.option(
    "--model",
    type=MODEL_FILE,
    required=True,
    metavar="FILE|fast|wide",
    help="A small network, as 'cropmap distill' makes it, or one that ships.",
)
@script_options
@grid_options
@layers_option
@cropland_option
@click.option("--quiet", is_flag=True, help="No notices on stderr.")
def code(
    language: Language,
    out: Path | None,
    name: str | None,
    folder: str | None,
    project: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Write a readable script that maps an area with a small network, without cropmap.

    It makes the same composites and classes as 'cropmap predict --on servers', and exports them on the same
    pixel grid, one task per tile of about 100 km. Nothing is sent, and no account is needed to write it. The
    weights stand in the script, or where 'cropmap deploy' has put them: whoever runs it must be able to read
    that asset. Forests have 'cropmap forest code'.

    \b
    Example:
      cropmap code --aoi region.geojson --year 2023 --model fast --language javascript --out map.js
    """
    from cli.output.map_script import write_map_script
    from inference.workflow.request import NetworkRequest

    request = NetworkRequest(**given(options))
    write_map_script(request, language, out, name=name, folder=folder, project=project, quiet=quiet)
