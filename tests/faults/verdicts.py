"""What a command may do about a fault: give the undisturbed result, or end as documented."""

from __future__ import annotations

import re
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.commands import Outcome

MOST_MEMORY: Final = 600
"""MiB on top of a process' beginning that a command may hold; undisturbed ones hold up to 190."""

SECRETS: Final = ("PASSWORD", "TOKEN", "SIGNATURE", "PRIVATE KEY")
"""Words of the secrets that commands are given; none may be said or written."""

REFUSED: Final = (2, 3)
"""Exit codes of what has to be fixed, and of what the same command continues."""

_NOT_MEANT: Final = (
    ("Traceback (most recent call last)", "a traceback"),
    ("cropmap did not expect this", "an unexpected error"),
    ("memory of this machine", "memory claimed without bound"),
    ("Exception ignored", "an exception that nobody took"),
    ("Fatal Python error", "a crash"),
)

_PYTHON_WARNING: Final = re.compile(r"\.py:\d+: \w*Warning")


@dataclass(frozen=True)
class Verdict:
    """How a case ended."""

    words: str
    """`same`, `refused`, `other input`, ..., or what is wrong."""
    wrong: bool = False
    """Whether cropmap broke its word."""


def misbehaviour(outcome: Outcome, allowed: Collection[int] = (0, *REFUSED)) -> str | None:
    """What a command may never do, whatever it was given; None where it did nothing of it."""
    text = outcome.stdout + outcome.stderr
    if outcome.overdue:
        return f"not at its end after {outcome.seconds:.0f} s"
    for words, meaning in _NOT_MEANT:
        if words in text:
            return f"{meaning}: {_line_with(text, words)}"
    if outcome.code not in allowed:
        return f"exit code {outcome.code}: {_last_line(outcome.stderr)}"
    if found := _PYTHON_WARNING.search(text):
        return f"a warning of Python: {_line_with(text, found[0])}"
    if secrets := [word for word in SECRETS if word in text]:
        return f"a secret is said: {secrets[0]}"
    if outcome.memory > MOST_MEMORY:
        return f"{outcome.memory:.0f} MiB of memory"
    return _no_one_message(outcome) if outcome.code in REFUSED else None


def _no_one_message(outcome: Outcome) -> str | None:
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("Error: ")]
    if len(errors) != 1:
        return f"{len(errors)} messages of an error: {_last_line(outcome.stderr)}"
    return None if len(errors[0]) > 25 else f"a message that says nothing: {errors[0]}"


def left_behind(folder: Path, before: Collection[str]) -> str | None:
    """What lies half-written below a folder, or holds a secret."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name in before or not path.is_file() or path.is_symlink():
            continue
        if path.name.endswith((".part", ".tmp")) or ".part." in path.name:
            return f"{name} lies half-written"
        content = path.read_bytes()
        if any(word.encode() in content for word in SECRETS):
            return f"a secret is written to {name}"
    return None


def was_ended_by(number: int) -> tuple[int, ...]:
    """Exit codes after a signal: its own, that of an interrupt, or those of a command at its end already."""
    return (0, 130) if number == signal.SIGINT else (0, -number)


def _line_with(text: str, words: str) -> str:
    lines = [line for line in text.splitlines() if words in line] or [""]
    return _short(_last_line(text) if "Traceback" in words else lines[0])


def _last_line(text: str) -> str:
    return _short((text.strip().splitlines() or [""])[-1])


def _short(text: str) -> str:
    return text if len(text) < 400 else f"{text[:400]} ..."
