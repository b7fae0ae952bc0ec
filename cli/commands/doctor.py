"""`cropmap doctor`: what of this machine cropmap needs, and what to do where it is missing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options.paths import IN_FOLDER

if TYPE_CHECKING:
    from inference.workflow.doctor import Finding

FAULT = 2
"""Exit code where something is missing that nothing works without."""


@click.command(short_help="Look whether this machine has what cropmap needs.")
@click.argument("folder", type=IN_FOLDER, default=Path(), metavar="[FOLDER]")
@click.option("--offline", is_flag=True, help="Reach for no service.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def doctor(folder: Path, offline: bool, as_json: bool) -> None:
    """Look whether this machine has what cropmap needs: libraries, GPU, disk of FOLDER, network.

    Small pieces of work are done with each library, since one of another installation may be in the way.
    Exits with 2 where something is missing that nothing works without. The last line is for reports of
    faults. Whether Earth Engine works, 'cropmap ee check' asks.

    \b
    Example:
      cropmap doctor
    """
    from inference.workflow.doctor import examine, versions

    found = []
    for finding in examine(folder, network=not offline):
        found.append(finding)
        if not as_json:
            click.echo(_line(finding))
    if as_json:
        click.echo(json.dumps({"findings": [asdict(one) for one in found], "versions": versions()}))
    else:
        click.echo(versions())
    if any(one.state == "fault" for one in found):
        click.get_current_context().exit(FAULT)


def _line(finding: Finding) -> str:
    mark = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}[finding.state]
    return f"{mark} {finding.name:<12} {finding.text}"
