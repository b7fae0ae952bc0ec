"""Progress of a training run on stderr; a log has a line an epoch too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.output.reporting import Wording, duration, reporting

if TYPE_CHECKING:
    from training.fit.loop import FitProgress


@contextmanager
def training_progress(quiet: bool) -> Iterator[Callable[[FitProgress], None]]:
    """What a training run is given to report to."""
    with reporting(wording(), quiet) as reporter:
        yield reporter.report


def wording(clock: Callable[[], float] = time.monotonic) -> Wording[FitProgress]:
    """How the states of a training that begins now are said: each epoch is a part."""
    start = clock()
    return Wording(
        lambda step: describe(step, clock() - start),
        lambda step: (step.done, step.total),
        lambda step: step.last and step.last.number,
    )


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
