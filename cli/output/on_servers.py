"""Maps that Earth Engine's servers make, and comparisons with this machine: what is run and printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cli.options.shared import given
from cli.options.tasks import require_together
from cli.output.progress import listener
from cli.output.results import show_map, show_tasks

if TYPE_CHECKING:
    from inference.workflow.request import ServedRequest


def make_on_servers(
    request: ServedRequest,
    quiet: bool,
    as_json: bool,
    *,
    no_wait: bool,
    most_tasks: int | None,
    collect: bool,
    downloads: str | None,
) -> None:
    """A map that Earth Engine's servers make, at once or by tasks, and what is printed of it.

    Raises:
        click.UsageError: Options of tasks do not go together.
    """
    from inference.workflow.served_map import collect_served_map, make_served_map, start_served_tasks

    require_together(
        to=request.to, no_wait=no_wait, most_tasks=most_tasks, collect=collect, downloads=downloads
    )
    with listener(quiet, request.folder) as listen:
        if request.to and not collect:
            limit = given({"most_tasks": most_tasks})
            show_tasks(start_served_tasks(request, listen, wait=not no_wait, **limit), as_json)
        elif collect:
            show_map(collect_served_map(request, listen, downloads=downloads), as_json)
        else:
            show_map(make_served_map(request, listen), as_json)


def compare_cells(
    request: ServedRequest, quiet: bool, as_json: bool, *, cells: int | None, seed: int | None
) -> None:
    """Cells of a map on both sides, what was found written down and printed.

    Raises:
        MismatchError: More differs than may.
    """
    from inference.deployment.verify import verify_and_keep
    from inference.workflow.plan_served import plan_served

    drawn = given({"cells": cells, "seed": seed})
    with listener(quiet) as told:
        planned = plan_served(request, told)
        found = verify_and_keep(
            planned.verifications,
            planned.plan,
            planned.source,
            planned.server_model,
            notice=told.notice,
            **drawn,
        )
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    found.require_passed(planned.server_model)
    if not as_json:
        click.echo(found.summary)
