"""What interpreters answered: read, compared with the legend and with one another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from assessment.estimation.designs import listed
from assessment.sample.tables import Faults, Row, column, read_table
from assessment.sample.text_table import plain

IDS: Final = ("id", "plotid", "plot_id")
"""Usual names of the column of ids, in small letters; Collect Earth Online writes plotid."""

ANSWERS: Final = ("answer", "reference", "label", "class")
"""Usual names of the column of answers."""


@dataclass(frozen=True)
class AnswerFile:
    """The answers of one interpreter."""

    path: Path
    """Where they are from."""
    ids: tuple[str, ...]
    """Ids as they stand there."""
    answers: tuple[str, ...]
    """Answers as they stand there; empty where there is none."""
    rows: tuple[Row, ...]
    """All columns."""


def read_answers(path: Path, id_column: str | None = None, answer_column: str | None = None) -> AnswerFile:
    """The answers in a table.

    Args:
        path: CSV or a vector file.
        id_column: Column of the ids; None takes a usual one.
        answer_column: Column of the answers; None takes a usual one.

    Raises:
        InputError: It cannot be read or lacks a column.
    """
    rows = read_table(path)
    key = column(rows, id_column, IDS, path, "--id-column")
    said = column(rows, answer_column, ANSWERS, path, "--answer-column")
    return AnswerFile(path, tuple(r[key] for r in rows), tuple(r[said] for r in rows), tuple(rows))


@dataclass(frozen=True)
class Agreement:
    """How often two interpreters say the same of a point that both looked at."""

    points: int
    """Points that both answered."""
    same: float
    """Share of them with one answer."""
    kappa: float | None
    """Cohen's kappa; None where chance alone would agree always."""


@dataclass(frozen=True)
class Answers:
    """One answer a point."""

    by_id: Mapping[str, str]
    """Class by id; ids without an answer are not here."""
    agreement: Agreement | None
    """Of the first two interpreters; None where there is one."""
    notices: tuple[str, ...]
    """What was corrected, one sentence each."""


def settle(
    files: Sequence[AnswerFile],
    classes: Sequence[str],
    faults: Faults,
    adjudicated: AnswerFile | None = None,
) -> Answers:
    """One answer a point out of those of all interpreters; what cannot be settled is noted as a fault.

    Args:
        files: One a interpreter.
        classes: The legend. Answers that differ from it by case, blanks or the form of accents
            alone are taken for it.
        faults: Receives double ids, answers outside the legend and interpreters who differ.
        adjudicated: Third decisions on points of which interpreters say different things.
    """
    mended: list[str] = []
    read = [_by_id(file, classes, faults, mended) for file in files]
    decided = _by_id(adjudicated, classes, faults, mended) if adjudicated else {}
    said: dict[str, list[str]] = defaultdict(list)
    for answers in read:
        for unit, answer in answers.items():
            said[unit].append(answer)
    differing = [unit for unit, answers in said.items() if len(set(answers)) > 1 and unit not in decided]
    faults.add(
        [f"{unit} ({' / '.join(said[unit])})" for unit in differing],
        "interpreters differ on {n} points: {ids}, which a third decision settles (--adjudicated)",
    )
    found = {unit: answers[0] for unit, answers in said.items()}
    notices = [f"Case or blanks of answers were corrected for {listed(mended)}."] if mended else []
    replaced = [
        unit for unit, answer in decided.items() if len({*said[unit]}) == 1 and answer not in said[unit]
    ]
    if replaced:
        notices.append(
            f"Third decisions replace what interpreters agreed on at the points {listed(replaced)}."
        )
    agreement = _agreement(read[0], read[1]) if len(read) > 1 else None
    return Answers(found | decided, agreement, tuple(notices))


def _by_id(file: AnswerFile, classes: Sequence[str], faults: Faults, mended: list[str]) -> dict[str, str]:
    """Answers by id; double ids and answers outside the legend are noted."""
    pairs = list(zip(file.ids, file.answers, strict=True))
    counts = Counter(file.ids)
    several = {unit: [a for i, a in pairs if i == unit] for unit, n in counts.items() if n > 1}
    faults.add(
        [f"{unit} ({' / '.join(a or 'empty' for a in answers)})" for unit, answers in several.items()],
        f"{file.path.name} has several rows of the ids {{ids}}: each point counts once",
    )
    known = {plain(name): name for name in classes}
    out, unknown = {}, []
    for unit, answer in pairs:
        name = answer if answer in classes else known.get(plain(answer), "")
        if answer:
            out[unit] = name or answer  # one that is not known was given all the same
        if answer and not name:
            unknown.append(f"{answer!r} of id {unit}")
        if name and name != answer:
            mended.append(f"id {unit}")
    faults.add(unknown, f"{file.path.name} has answers outside the legend ({', '.join(classes)}): {{ids}}")
    return out


def _agreement(one: Mapping[str, str], other: Mapping[str, str]) -> Agreement | None:
    """Of two interpreters (Cohen 1960)."""
    both = [unit for unit in one if unit in other]
    if not both:
        return None
    n = len(both)
    same = sum(one[unit] == other[unit] for unit in both) / n
    first, second = Counter(one[u] for u in both), Counter(other[u] for u in both)
    chance = sum(first[name] * second[name] for name in first) / n**2
    return Agreement(n, same, None if chance == 1 else (same - chance) / (1 - chance))
