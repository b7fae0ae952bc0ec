"""`cropmap forest code`: a script that runs a deployed forest without cropmap."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import OUT_FILE, require_new_files
from cli.options.shared import (
    cropland_option,
    forest_option,
    given,
    grid_options,
    layers_option,
    map_place_options,
)

if TYPE_CHECKING:
    from inference.deployment.forest_script import Language


@click.command(short_help="Write a script for the Code Editor, or for Python, that maps without cropmap.")
@map_place_options
@forest_option
@click.option(
    "--language",
    type=click.Choice(["javascript", "python"]),
    required=True,
    help="javascript: for https://code.earthengine.google.com. python: needs the package earthengine-api.",
)
@click.option(
    "--out",
    type=OUT_FILE,
    help="File to write.  [default: standard output]",
)
@click.option("--name", help="Name of tasks and files.  [default: the area's name and the year]")
@click.option("--folder", metavar="NAME", help="Folder of Google Drive for the files.  [default: cropmap]")
@click.option("--project", help="Google Cloud project that a Python script names.  [default: my-project]")
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
    from cli.output.progress import listener
    from gee_pipeline.files import write_bytes
    from inference.deployment.forest_on_servers import ForestOnServers
    from inference.deployment.forest_script import ScriptRequest, notices, write_script
    from inference.workflow.plan_served import plan_served
    from inference.workflow.request import ForestRequest

    require_new_files(out)
    request = ForestRequest(**given(options))
    with listener(quiet) as listen:
        planned = plan_served(request, listen)
        both = planned.server_model
        assert isinstance(both, ForestOnServers)
        script = ScriptRequest(
            both.model,
            both.deployed,
            planned.plan.grid,
            planned.plan.area,
            planned.plan.season,
            name or re.sub(r"[^A-Za-z0-9_-]+", "_", f"{request.aoi.stem}_{request.year}"),
            cropland=request.cropland,
            layers=planned.plan.layers,
            **given({"project": project, "folder": folder}),
        )
        text = write_script(script, language)
        for notice in notices(script, text):
            listen.notice(notice)
    if out is None:
        click.echo(text, nl=False)
        return
    write_bytes(out, text.encode())
    click.echo(f"Script: {out}")
