"""Progress of a run on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output.reporting import Wording, duration, reporting
from cli.run_log import keep_log

if TYPE_CHECKING:
    from inference.run.execute import Progress
    from inference.workflow.request import Listener


@contextmanager
def listener(quiet: bool, folder: Path | None = None) -> Iterator[Listener]:
    """What a request is given to talk to: notices and progress on stderr, or silence.

    Args:
        quiet: Whether nothing is said on stderr.
        folder: Folder of the run, whose log has all of it; None keeps none.
    """
    from inference.workflow.request import Listener

    if folder:
        keep_log(folder, quiet=quiet)
    with reporting(WORDING, quiet) as reporter:
        yield Listener(reporter.write, reporter.report)


def describe(progress: Progress) -> str:
    """One line: cells, pixels per second, time left."""
    under_way = f", {progress.under_way:,} under way" if progress.under_way else ""
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    speed = f", {progress.pixels_per_second:,.0f} pixels/s" if progress.pixels else ""
    left = f", {duration(progress.seconds_left)} left" if progress.seconds_left else ""
    return f"{progress.done:,} of {progress.planned:,} cells{under_way}{failed}{speed}{left}"


def _share(progress: Progress) -> tuple[float, float]:
    return progress.done + progress.failed, progress.planned


def _is_over(progress: Progress) -> bool:
    return progress.done + progress.failed == progress.planned


WORDING: Wording[Progress] = Wording(describe, _share, _is_over)
"""How the states of a run are said; the last one at once, before what is then said of the map."""
