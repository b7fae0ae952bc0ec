"""Scripts that map without cropmap: what is written, and what is printed of it."""

from __future__ import annotations

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
    from inference.workflow.map_code import code_of_map

    require_new_files(out)
    with listener(quiet) as listen:
        named = given({"name": name, "project": project, "folder": folder})
        text = code_of_map(request, language, listen, **named)
    if out is None:
        click.echo(text, nl=False)
        return
    write_bytes(out, text.encode())
    click.echo(f"Script: {out}")
