"""Progress on stderr: a bar on a terminal; in a log a line at once, one each minute, and one at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, TypeVar

import click

from cli.run_log import is_verbose, note

State = TypeVar("State")

LOG_INTERVAL: Final = 60.0
"""Seconds between two lines in a log."""


@dataclass(frozen=True)
class Wording(Generic[State]):
    """How the states of a kind of work are said."""

    line: Callable[[State], str]
    """One line."""
    share: Callable[[State], tuple[float, float]]
    """What is done, and what there is to do."""
    part: Callable[[State], object] = lambda state: None
    """The part of the work; that another one began is said at once."""


@dataclass(frozen=True)
class Reporter(Generic[State]):
    """What work is given to talk to."""

    write: Callable[[str], None] = lambda text: None
    """Takes a sentence."""
    report: Callable[[State], None] = lambda state: None
    """Takes a state."""


@contextmanager
def counting(what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Steps that are done, of all steps, go to stderr until the block is over: `12 of 40 parcels`.

    Args:
        what: What is counted.
        quiet: Whether nothing is said.
    """
    wording = Wording[tuple[int, int]](lambda step: f"{step[0]:,} of {step[1]:,} {what}", lambda step: step)
    with reporting(wording, quiet) as reporter:
        yield lambda done, total: reporter.report((done, total))


@contextmanager
def reporting(wording: Wording[State], quiet: bool) -> Iterator[Reporter[State]]:
    """Sentences and states go to stderr until the block is over, and to the log.

    Args:
        wording: How states are said.
        quiet: Whether stderr gets none.
    """
    if quiet or is_verbose():  # which shows what the log gets
        with MinuteLines(wording, note) as lines:
            yield Reporter(note, lines.report)
    elif sys.stderr.isatty():
        with _bar(wording) as bar, MinuteLines(wording, note) as lines:
            yield Reporter(_both(bar.write, note), _both(bar.report, lines.report))
    else:
        write = _both(to_stderr, note)
        with MinuteLines(wording, write) as lines:
            yield Reporter(write, lines.report)


def _both(first: Callable[[State], None], second: Callable[[State], None]) -> Callable[[State], None]:
    def call(value: State) -> None:
        first(value)
        second(value)

    return call


def to_stderr(text: str) -> None:
    """Write one line for the user."""
    click.echo(text, err=True)


class MinuteLines(Generic[State]):
    """Says the first state, those that begin a part, one a minute also where none is new, and the last."""

    def __init__(
        self,
        wording: Wording[State],
        write: Callable[[str], None],
        *,
        interval: float = LOG_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wording, self._write, self._interval, self._clock = wording, write, interval, clock
        self._last: State | None = None
        self._said: State | None = None
        self._came = 0.0
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._each_minute, daemon=True, name="cropmap-progress")

    def __enter__(self) -> MinuteLines[State]:
        """Begin to look each minute."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say the last state, unless it was said."""
        self._over.set()
        self._thread.join()
        if self._last is not self._said:
            self._say()

    def report(self, state: State) -> None:
        """Take a state."""
        with self._lock:
            begins = self._last is None or self._wording.part(state) != self._wording.part(self._last)
            self._last, self._came = state, self._clock()
            if begins:
                self._say()

    def again(self) -> None:
        """Say the last state, and for how long there has been none since."""
        with self._lock:
            if self._last is not None:
                silence = self._clock() - self._came
                self._say(f", for {duration(silence)} none more" if silence >= self._interval else "")

    def _say(self, more: str = "") -> None:
        if self._last is not None:
            self._said = self._last
            self._write(self._wording.line(self._last) + more)

    def _each_minute(self) -> None:
        while not self._over.wait(self._interval):
            self.again()


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
def _bar(wording: Wording[State]) -> Iterator[Reporter[State]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, visible=False)

        def report(state: State) -> None:
            done, total = wording.share(state)
            bar.update(task, visible=True, total=total, completed=done, description=wording.line(state))

        yield Reporter(lambda text: bar.console.print(text, highlight=False, markup=False), report)
