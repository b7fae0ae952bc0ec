"""Progress of a training run on stderr: a bar on a terminal, one line per epoch in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.output.progress import duration

if TYPE_CHECKING:
    from training.fit.loop import FitProgress


@contextmanager
def training_progress(quiet: bool) -> Iterator[Callable[[FitProgress], None]]:
    """What a training run is given to report to."""
    if quiet:
        yield lambda step: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield epoch_lines(lambda text: click.echo(text, err=True))


def epoch_lines(
    write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[FitProgress], None]:
    """A reporter that writes a line when an epoch is over, and one when a training is resumed."""
    start, epochs = clock(), 0

    def report(step: FitProgress) -> None:
        nonlocal epochs
        resumed = step.done == step.start
        if resumed or (step.last and step.last.number > epochs):
            epochs = step.last.number if step.last else 0
            write(describe(step, clock() - start))

    return report


def describe(step: FitProgress, seconds: float) -> str:
    """One line: the last epoch's loss and scores, and the time left if no epoch is left out."""
    now = step.done - step.start
    if now:
        when = f"{duration(seconds * (step.total - step.done) / now)} left"
    else:
        when = f"resumed at batch {step.done:,} of {step.total:,}"
    if step.last is None:
        return f"epoch 1, {when}"
    return (
        f"epoch {step.last.number}: loss {step.last.loss:.3f}, held-out accuracy {step.last.accuracy:.3f}, "
        f"macro-F1 {step.last.macro_f1:.3f}, {when}"
    )


@contextmanager
def _bar() -> Iterator[Callable[[FitProgress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    start = time.monotonic()
    with Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("")

        def report(step: FitProgress) -> None:
            text = describe(step, time.monotonic() - start)
            bar.update(task, total=step.total, completed=step.done, description=text)

        yield report
