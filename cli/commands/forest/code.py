"""`cropmap forest code`: a script that runs a deployed forest without cropmap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.scripts import script_options
from cli.options.sections import Grouped
from cli.options.shared import (
    cropland_option,
    forest_option,
    given,
    grid_options,
    layers_option,
    map_place_options,
)

if TYPE_CHECKING:
    from inference.scripts.script_text import Language


@click.command(
    cls=Grouped, short_help="Write a script for the Code Editor, or for Python, that maps without cropmap."
)
@map_place_options
@forest_option
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
    """Write a readable script that maps an area with a deployed forest, without cropmap.

    It makes the same composites, features and classes as 'cropmap forest predict', and exports them on the
    same pixel grid, one task per tile of about 100 km. Nothing is sent, and no account is needed to write it.
    Whoever runs it must be able to read the assets of the forest: share them.

    \b
    Examples:
      cropmap forest code --aoi region.geojson --year 2023 --forest forest.safetensors \\
        --language javascript --out map.js
      cropmap forest code --aoi region.geojson --year 2023 --forest forest.safetensors --language python
    """
    from cli.output.map_script import write_map_script
    from inference.workflow.request import ForestRequest

    request = ForestRequest(**given(options))
    write_map_script(request, language, out, name=name, folder=folder, project=project, quiet=quiet)
