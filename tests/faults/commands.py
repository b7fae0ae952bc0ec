"""One command in a process of its own, with bounds of time and memory, and what it left behind."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cli.main import cropmap

MOST_SECONDS: Final = 90.0
"""Longest time of a command; an undisturbed one takes a second or two on an idle machine."""

MOST_CLAIMED: Final = 6 * 2**30
"""Bytes of address space that a command may claim on top of what its process begins with: libraries reserve
some that they never touch. What a command holds is measured (`Outcome.memory`)."""

METHOD: Final = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    """Exit code; of a killed process the negative number of its signal."""
    stdout: str
    stderr: str
    seconds: float
    """Wall time."""
    memory: float
    """MiB at its peak above those of its beginning; 0 where it was killed, or not on Linux."""
    writes: int = 0
    """Changes to files that Python made."""
    overdue: bool = False
    """Whether it was ended for taking too long."""


def quick() -> None:
    """Draw pictures with fewer dots, and keep a training after each batch."""
    from inference.drawing import style
    from training.fit import loop

    style.DPI, loop.KEEP_SECONDS = 50, 0.0  # type: ignore[misc]


@dataclass(frozen=True)
class Command:
    """A command line of cropmap."""

    arguments: tuple[str, ...]
    folder: Path
    """Where it is called."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables on top of those of this process."""
    prepare: Callable[[], None] = field(default_factory=lambda: quick)
    """Called in its process before: a function of a module."""

    @classmethod
    def of(cls, folder: Path, *arguments: Any, **environment: str) -> Command:
        """A command line of any values."""
        return cls(tuple(str(a) for a in arguments), folder, environment)

    def run(self) -> Outcome:
        """Carry it out, undisturbed."""
        with self.started() as process:
            return process.ended()

    @contextmanager
    def started(self, at_write: tuple[int, int] | None = None, *, fresh: bool = False) -> Iterator[Started]:
        """Its process, which ends with the block at the latest.

        Args:
            at_write: It sends itself a signal before one of its changes to files: which, from 1, and signal.
            fresh: Start a whole interpreter in place of forking one.
        """
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        context: Any = multiprocessing.get_context("spawn" if fresh else METHOD)
        if METHOD == "forkserver":
            context.set_forkserver_preload(["tests.faults.preload", __name__])
        process = context.Process(target=_carry_out, args=(self, at_write), daemon=False)
        process.start()
        try:
            yield Started(process, logs)
        finally:
            if process.is_alive():
                process.kill()
                process.join()


class Started:
    """A process under way."""

    def __init__(self, process: Any, logs: Path) -> None:
        self._process, self._logs, self._begun = process, logs, time.monotonic()

    def send(self, number: int) -> bool:
        """Send it a signal; False where it has ended."""
        if not self._process.is_alive():
            return False
        os.kill(self._process.pid, number)
        return True

    def wait(self, seconds: float) -> None:
        """Let it work for so long, or to its end."""
        self._process.join(seconds)

    def has_begun(self) -> None:
        """Wait until its command line is being carried out."""
        while not (self._logs / "begun").exists() and self._process.is_alive():
            time.sleep(0.002)

    def ended(self) -> Outcome:
        """Wait for its end; one that takes too long is killed."""
        self._process.join(max(MOST_SECONDS - (time.monotonic() - self._begun), 0.1))
        if overdue := self._process.is_alive():
            self._process.kill()
            self._process.join()
        seconds = time.monotonic() - self._begun
        told = [self._said(name) for name in ("stdout", "stderr", "memory", "writes")]
        (self._logs / "begun").unlink(missing_ok=True)
        memory, writes = float(told[2] or 0), int(told[3] or 0)
        return Outcome(self._process.exitcode, told[0], told[1], seconds, memory, writes, overdue)

    def _said(self, name: str) -> str:
        path = self._logs / name
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        path.unlink(missing_ok=True)
        return text


def _carry_out(command: Command, at_write: tuple[int, int] | None) -> None:
    """In the new process: the command line, with its streams in files."""
    logs = command.folder / "logs"
    for number, name in ((1, "stdout"), (2, "stderr")):
        with (logs / name).open("wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", encoding="utf-8", closefd=False) for n in (1, 2))
    os.environ.update(command.environment)
    os.chdir(command.folder)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    command.prepare()
    memory, writes = _Memory(), _Writes(*(at_write or (0, 0)))
    (logs / "begun").touch()
    sys.addaudithook(writes.count)
    try:
        cropmap(list(command.arguments), prog_name="cropmap")
    finally:
        writes.at = 0
        (logs / "memory").write_text(str(memory.more()))
        (logs / "writes").write_text(str(writes.made))
        sys.stdout.flush()
        sys.stderr.flush()


_CHANGES: Final = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"})


class _Writes:
    """Counts the changes to files that Python makes, and sends this process a signal before one of them."""

    def __init__(self, at: int, number: int) -> None:
        self.made, self.at, self._signal = 0, at, number

    def count(self, event: str, arguments: tuple[Any, ...]) -> None:
        """A hook for `sys.addaudithook`."""
        if event in _CHANGES or (event == "open" and _opens_to_write(*arguments)):
            self.made += 1
            if self.made == self.at:
                os.kill(os.getpid(), self._signal)


def _opens_to_write(path: Any, mode: Any, flags: int) -> bool:
    return isinstance(path, str) and bool(flags & (os.O_WRONLY | os.O_RDWR)) and "/dev/" not in path


class _Memory:
    """A bound of this process' memory, on Linux: what is claimed beyond it fails, as on a small machine."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            return
        import resource

        words = Path("/proc/self/statm").read_text().split()
        page = resource.getpagesize()
        limit = int(words[0]) * page + MOST_CLAIMED
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        self._before = int(words[1]) * page / 2**20

    def more(self) -> float:
        """MiB at the peak above those at the beginning."""
        if sys.platform != "linux":
            return 0.0
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - self._before
