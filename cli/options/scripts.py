"""Options of commands that write a script which maps without cropmap."""

from __future__ import annotations

import click

from cli.options.paths import OUT_FILE
from cli.options.shared import apply

script_options = apply(
    click.option(
        "--language",
        type=click.Choice(["javascript", "python"]),
        required=True,
        help="javascript: for https://code.earthengine.google.com. python: needs the package "
        "earthengine-api.",
    ),
    click.option("--out", type=OUT_FILE, help="File to write.  [default: standard output]"),
    click.option("--name", help="Name of tasks and files.  [default: the area's name and the year]"),
    click.option(
        "--folder", metavar="NAME", help="Folder of Google Drive for the files.  [default: cropmap]"
    ),
    click.option("--project", help="Google Cloud project that a Python script names.  [default: my-project]"),
)
