"""Answers that are wanted, and a sample with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assessment.report.answers import Agreement, AnswerFile, read_answers
from assessment.report.sampled import Sampled
from assessment.sample.map_file import AssessedMap
from gee_pipeline.errors import InputError


@dataclass(frozen=True)
class Sourced:
    """A sample with its answers, and the map it was drawn from where that is at hand."""

    sampled: Sampled
    """The sample."""
    agreement: Agreement | None
    """Of the first two interpreters."""
    map: AssessedMap | None
    """The map, unchanged."""
    strata_by: str = ""
    """What its strata are; empty where it was drawn elsewhere."""


@dataclass(frozen=True)
class AnswerRequest:
    """Which answers to read, and how."""

    files: tuple[Path, ...]
    """One an interpreter."""
    adjudicated: Path | None = None
    """Third decisions."""
    id_column: str | None = None
    """Column of the ids."""
    answer_column: str | None = None
    """Column of the answers."""
    classes: tuple[str, ...] = ()
    """Legend of a sample that was drawn elsewhere; classes besides those of the map."""

    def read(self) -> list[AnswerFile]:
        """The answers of every interpreter.

        Raises:
            InputError: A file cannot be read, lacks a column, or is given twice.
        """
        paths = [path.resolve() for path in self.files]
        if twice := [str(path) for path in self.files if paths.count(path.resolve()) > 1]:
            raise InputError(
                f"Each file of answers is of an interpreter of its own; {twice[0]} is given twice, and would "
                "agree with itself. Give it once."
            )
        return [read_answers(path, self.id_column, self.answer_column) for path in self.files]

    def third(self) -> AnswerFile | None:
        """The third decisions."""
        return (
            read_answers(self.adjudicated, self.id_column, self.answer_column) if self.adjudicated else None
        )
