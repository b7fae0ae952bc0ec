"""Options of commands whose maps Earth Engine's servers make: of batch tasks, and of comparisons."""

from __future__ import annotations

import click

from cli.options.paths import Address
from cli.options.shared import apply

task_options = apply(
    click.option(
        "--to",
        metavar="DESTINATION",
        help="Let batch tasks of Earth Engine write the cells to gcs://BUCKET/PREFIX or drive:FOLDER instead "
        "of fetching them one by one.",
    ),
    click.option(
        "--no-wait",
        is_flag=True,
        help="With --to: return once tasks are started; the same command checks again.",
    ),
    click.option(
        "--most-tasks",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --to: tasks of this run that are queued or running at once.  [default: 100]",
    ),
    click.option(
        "--collect", is_flag=True, help="Verify the files that tasks wrote, and import them into the run."
    ),
    click.option(
        "--downloads",
        type=Address("folder", "Name the one with the files that you copied from --to."),
        metavar="FOLDER",
        help="With --collect: folder of the files if you copied them from --to yourself.",
    ),
)


unverified_option = click.option(
    "--unverified",
    is_flag=True,
    default=None,
    help="Map without comparing cells of the servers with the same cells computed here; the report says so.",
)


drawn_options = apply(
    click.option(
        "--cells",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cells that are compared, drawn at random; each costs its composites and its classes.  "
        "[default: 3]",
    ),
    click.option("--seed", type=click.IntRange(min=0), help="Seed by which cells are drawn.  [default: 1]"),
)


def require_together(
    *, to: str | None, no_wait: bool, most_tasks: int | None, collect: bool, downloads: str | None
) -> None:
    """Refuse options of tasks that do not go together.

    Raises:
        click.UsageError: Naming those that do.
    """
    if (no_wait or most_tasks) and (collect or not to):
        raise click.UsageError("--no-wait and --most-tasks go with --to alone, which starts tasks.")
    if downloads and not collect:
        raise click.UsageError("--downloads goes with --collect, which reads the files there.")
