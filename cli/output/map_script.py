"""Scripts that map without cropmap: what is written, and what is printed of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options.paths import require_new_files
from cli.options.shared import given
from cli.output.progress import listener

if TYPE_CHECKING:
    from inference.scripts.script_text import Language
    from inference.workflow.request import ServedRequest


def write_map_script(
    request: ServedRequest,
    language: Language,
    out: Path | None,
    *,
    name: str | None,
    folder: str | None,
    project: str | None,
    quiet: bool,
) -> None:
    """Write the script of a map to a file, or to standard output; nothing is sent.

    Raises:
        InputError: A script cannot make the map, or the file exists.
    """
    from gee_pipeline.files import write_bytes
    from inference.scripts.map_script import ScriptRequest, notices, write_script
    from inference.workflow.plan_served import plan_served

    require_new_files(out)
    with listener(quiet) as listen:
        planned = plan_served(request, listen)
        script = ScriptRequest(
            planned.server_model,
            planned.plan.grid,
            planned.plan.area,
            planned.plan.season,
            name or re.sub(r"[^A-Za-z0-9_-]+", "_", f"{request.aoi.stem}_{request.year}"),
            cropland=request.cropland,
            layers=planned.plan.layers,
            **given({"project": project, "folder": folder}),
        )
        text = write_script(script, language)
        for notice in notices(script, language, text):
            listen.notice(notice)
    if out is None:
        click.echo(text, nl=False)
        return
    write_bytes(out, text.encode())
    click.echo(f"Script: {out}")
