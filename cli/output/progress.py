"""Progress on stderr: a bar on a terminal, one line per minute in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from inference.run.execute import Progress
    from inference.workflow.request import Listener

LOG_INTERVAL = 60.0
"""Seconds between two lines in a log."""


@contextmanager
def listener(quiet: bool) -> Iterator[Listener]:
    """What a request is given to talk to: notices and progress on stderr, or silence."""
    from inference.workflow.request import Listener

    if quiet:
        yield Listener()
    elif sys.stderr.isatty():
        with _bar() as (write, report):
            yield Listener(write, report)
    else:
        yield Listener(_to_stderr, log_lines(_to_stderr))


def _to_stderr(text: str) -> None:
    click.echo(text, err=True)


def log_lines(
    write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[Progress], None]:
    """A reporter that writes the first state, then one line per minute, then the last."""
    last = -LOG_INTERVAL

    def report(progress: Progress) -> None:
        nonlocal last
        if clock() - last >= LOG_INTERVAL or progress.done + progress.failed == progress.planned:
            last = clock()
            write(describe(progress))

    return report


def describe(progress: Progress) -> str:
    """One line: cells, pixels per second, time left."""
    failed = f", {progress.failed} failed" if progress.failed else ""
    left = f", {duration(progress.seconds_left)} left" if progress.seconds_left else ""
    return (
        f"{progress.done:,} of {progress.planned:,} cells{failed}, "
        f"{progress.pixels_per_second:,.0f} pixels/s{left}"
    )


def duration(seconds: float) -> str:
    """A length of time as one or two units, for example `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@contextmanager
def _bar() -> Iterator[tuple[Callable[[str], None], Callable[[Progress], None]]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, visible=False)

        def report(progress: Progress) -> None:
            finished = progress.done + progress.failed
            bar.update(
                task,
                visible=True,
                total=progress.planned,
                completed=finished,
                description=describe(progress),
            )

        yield lambda text: bar.console.print(text, highlight=False, markup=False), report
