"""A student beside its teacher, on samples that neither was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.fit.robustness import HALF_HIDDEN, changes
from training.samples.samples import Samples
from training.scores.metrics import score

_EXACT: Final = 1e-9
"""Percentage points by which rounding may exceed a tolerance."""


@dataclass(frozen=True)
class JudgedSet:
    """Labelled series, and the teacher's answers to them."""

    name: str
    """What it is called in tables."""
    samples: Samples
    """The series."""
    logits: NDArray[np.float32]
    """`(sample, class)`, the teacher's."""


@dataclass(frozen=True)
class Comparison:
    """Figures of one set; shares within 0 to 1."""

    name: str
    """The set."""
    samples: int
    """Its samples."""
    teacher_accuracy: float
    """Overall accuracy of the teacher."""
    accuracy: float
    """Of the student."""
    teacher_macro_f1: float
    """Macro-F1 of the teacher."""
    macro_f1: float
    """Of the student."""
    agreement: float
    """Share of the samples that both give the same class."""

    def within(self, tolerance: float, agreement: float) -> bool:
        """Whether the student loses little enough.

        Args:
            tolerance: Percentage points that accuracy and macro-F1 may lie below the teacher's.
            agreement: Percent of the samples that must get the same class.
        """
        lost = max(self.teacher_accuracy - self.accuracy, self.teacher_macro_f1 - self.macro_f1)
        return 100 * lost <= tolerance + _EXACT and 100 * self.agreement >= agreement - _EXACT

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


def compare(one: JudgedSet, logits: NDArray[np.float32]) -> Comparison:
    """The figures of a student on a set.

    Args:
        one: The set.
        logits: `(sample, class)`, the student's.
    """
    labels, names = one.samples.labels, one.samples.class_names
    theirs, own = one.logits.argmax(axis=1), logits.argmax(axis=1)
    teacher, student = score(labels, theirs, names), score(labels, own, names)
    return Comparison(
        name=one.name,
        samples=len(labels),
        teacher_accuracy=teacher.accuracy,
        accuracy=student.accuracy,
        teacher_macro_f1=teacher.macro_f1,
        macro_f1=student.macro_f1,
        agreement=float((theirs == own).mean()),
    )


def with_half_hidden(name: str, samples: Samples, seed: int) -> Sequence[tuple[str, Samples]]:
    """A set as it is, and with half of the observations hidden, as by clouds.

    Args:
        name: What the set is called.
        samples: Its samples.
        seed: Chooses what is hidden.
    """
    hidden = changes(samples.recipe)[HALF_HIDDEN](samples.series, np.random.default_rng(seed))
    return (name, samples), (f"{name}, half of the observations hidden", replace(samples, series=hidden))
