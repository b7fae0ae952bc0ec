"""What a command says of its work: all of it in the log of its run, and with --verbose on stderr too."""

from __future__ import annotations

import logging
import os
import platform
import shlex
import shutil
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from gee_pipeline.errors import CropmapError
from gee_pipeline.incoming.addresses import without_secrets

if TYPE_CHECKING:
    from inference.record.log_file import LogFile

_KEY: Final = "cropmap.log"
"""Where the contexts of a command line keep its log."""

_OURS: Final = ("cropmap", "gee_pipeline", "inference", "training", "assessment")
"""Loggers whose messages are taken from INFO on; of all others, warnings and errors."""

_MOST_WAITING: Final = 10_000
"""Lines that are kept until there is a folder to write them to."""

_TOLD_VARIABLES: Final = (
    "AWS_",
    "CPL_",
    "CROPMAP_",
    "CUDA_",
    "DASK_",
    "GDAL_",
    "GOOGLE_",
    "MKL_",
    "OMP_",
    "PROJ_",
)
"""How the names of variables begin that can change what a run does. Their values may be secrets: not told."""

said: Final = logging.getLogger("cropmap.said")
"""Takes what a command tells its user on stderr by other ways."""
said.addHandler(logging.NullHandler())


class RunLog(logging.Handler):
    """Takes the messages of a command, first into memory; a run folder gets them once it is one.

    Every line is without secrets, by the rule for all texts that are shown (`without_secrets`). That the log
    cannot be written is said once, and nothing else happens.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Take nothing yet.

        Args:
            words: The command line after `cropmap`.
        """
        super().__init__(logging.INFO)
        self.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s"))
        self._words, self._start = words, time.time()
        self._waiting: deque[str] = deque(maxlen=_MOST_WAITING)
        self._folder: Path | None = None
        self._mark, self._quiet = "", False
        self._file: LogFile | None = None
        self.verbose = False
        """Whether each message is shown on stderr too."""

    def speak(self) -> None:
        """Show all messages on stderr from now on, the head first."""
        self.verbose = True
        for line in (*self._head(), *self._waiting):
            click.echo(line, err=True)

    def keep_in(self, folder: Path, mark: str, *, quiet: bool) -> None:
        """Write the messages to the log of a folder, as soon as it has a file that marks it as a run.

        Args:
            folder: Folder of the run.
            mark: Name of the file: before it is there, the command may still refuse to write anything.
            quiet: Whether it is not said that the log cannot be written.
        """
        self._folder, self._mark, self._quiet = folder.absolute(), mark, quiet

    def emit(self, record: logging.LogRecord) -> None:
        """Take a message; that it cannot be taken does not end the work."""
        try:
            self._take(record)
        except Exception:  # as every handler does
            self.handleError(record)

    def let_go(self) -> None:
        """Close the file."""
        if self._file:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _take(self, record: logging.LogRecord) -> None:
        """Show and keep a message; a warning that nobody else shows is shown as Python does without us."""
        line = self.format(record)
        if self.verbose:
            with suppress(OSError, ValueError):  # nobody listens any more
                click.echo(line, err=True)
        elif logging.lastResort and record.levelno >= logging.lastResort.level and not self._is_heard(record):
            logging.lastResort.handle(record)
        self._waiting.append(line)
        self._write()

    def _is_heard(self, record: logging.LogRecord) -> bool:
        """Whether another handler takes a message."""
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False

    def _write(self) -> None:
        if self._folder is None or not (self._file or (self._folder / self._mark).exists()):
            return
        try:
            file = self._file or self._open(self._folder)
            while self._waiting:
                file.write(self._waiting[0])
                self._waiting.popleft()
        except (OSError, CropmapError) as error:
            self._give_up(self._folder, error)

    def _open(self, folder: Path) -> LogFile:
        from inference.record.log_file import LogFile

        self._file = LogFile(folder)
        for line in self._head():
            self._file.write(line)
        return self._file

    def _give_up(self, folder: Path, error: Exception) -> None:
        self.let_go()
        self._folder = None
        why = without_secrets(str(getattr(error, "strerror", None) or error)).rstrip(".")
        if not self._quiet:
            click.echo(
                f"Warning: No log of this command is kept in {folder}: {why}. The work goes on.", err=True
            )

    def _head(self) -> Iterator[str]:
        from inference.workflow.doctor import versions

        command = shlex.join(("cropmap", *(without_secrets(word) for word in self._words)))
        for text in (f"Command: {command}", f"Versions: {versions()}", *_machine(self._folder or Path())):
            record = logging.makeLogRecord(
                {"msg": text, "levelno": logging.INFO, "levelname": "INFO", "created": self._start}
            )
            yield self.format(record)


class _Lines(logging.Formatter):
    """Lines with time in UTC, without secrets."""

    @staticmethod
    def converter(seconds: float | None) -> time.struct_time:
        """The time in UTC."""
        return time.gmtime(seconds)

    default_time_format = "%Y-%m-%dT%H:%M:%SZ"
    default_msec_format = ""

    def format(self, record: logging.LogRecord) -> str:
        """A line; with an error, its traceback below."""
        return without_secrets(super().format(record))


def _machine(folder: Path) -> Iterator[str]:
    """What of this machine a report of a fault needs."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), Path())
    with suppress(OSError):
        free = shutil.disk_usage(there).free / 2**30
        yield (
            f"Machine: {platform.machine()}, {os.cpu_count()} cores{_memory()}, {free:,.1f} GiB free on the "
            f"disk of the run; process {os.getpid()} in {Path.cwd()}"
        )
    if names := sorted(name for name in os.environ if name.startswith(_TOLD_VARIABLES)):
        yield f"Variables that are set: {', '.join(names)}"


def _memory() -> str:
    """The memory of this machine, where the system says."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return ""
    return f", {size / 2**30:,.1f} GiB of memory"


def start_log(ctx: click.Context, words: Sequence[str]) -> None:
    """Give a command line its log.

    Args:
        ctx: Context of the group of all commands.
        words: The command line after `cropmap`.
    """
    ctx.meta[_KEY] = RunLog(list(words))


def log_of(ctx: click.Context | None) -> RunLog | None:
    """The log of a command line; None where a command is called without its group, as tests do."""
    return ctx.meta.get(_KEY) if ctx else None


def keep_log(folder: Path, *, quiet: bool) -> None:
    """Write what the current command says to the log of a run folder.

    Args:
        folder: The run folder; there may be none yet.
        quiet: Whether it is not said that the log cannot be written.
    """
    from inference.run.plan import RUN_FILE

    if log := log_of(click.get_current_context(silent=True)):
        log.keep_in(folder, RUN_FILE, quiet=quiet)


def is_verbose() -> bool:
    """Whether all that the current command says is shown as it comes."""
    log = log_of(click.get_current_context(silent=True))
    return log is not None and log.verbose


def note(text: str) -> None:
    """Log a sentence that the user is told."""
    plain = text.removeprefix("Warning: ")
    said.log(logging.INFO if plain == text else logging.WARNING, "%s", plain)


def note_error(error: BaseException) -> None:
    """Log why a command ends, with its traceback, which the terminal does not show."""
    said.error("%s", type(error).__name__, exc_info=error)  # its words end the traceback


@contextmanager
def logged(ctx: click.Context) -> Iterator[None]:
    """Log what is said while a command works, and how it ends."""
    log = log_of(ctx)
    if log is None:
        raise AssertionError("the log of a command line is started before it is carried out")
    start = time.monotonic()
    code: Any = 1
    with _listening(log):
        try:
            yield
            code = 0
        except click.exceptions.Exit as error:
            code = error.exit_code
            raise
        except click.ClickException as error:
            code = error.exit_code
            said.error("%s", error.format_message())
            raise
        except BaseException as error:
            note_error(error)
            raise
        finally:
            said.info("Ended with exit code %s after %.1f s", code, time.monotonic() - start)


@contextmanager
def _listening(log: RunLog) -> Iterator[None]:
    """Give a log all messages and warnings of Python until the block is over."""
    root, show = logging.getLogger(), warnings.showwarning
    ours = [logging.getLogger(name) for name in _OURS]
    levels = [logger.level for logger in ours]

    def shown(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        said.warning("%s: %s (%s:%s)", category.__name__, message, filename, lineno)
        if file or not log.verbose:
            show(message, category, filename, lineno, file, line)

    root.addHandler(log)
    warnings.showwarning = shown
    for logger in ours:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(ours, levels, strict=True):
            logger.setLevel(level)
        warnings.showwarning = show
        root.removeHandler(log)
        log.let_go()
        log.close()
