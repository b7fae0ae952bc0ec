"""Accuracies of classes on one line, as every command prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from assessment.estimation.accuracy import ClassAccuracy
    from assessment.estimation.intervals import Figure

HEAD: Final = f"{'user':>22} {'producer':>22} {'F1':>22}"
"""What stands above `class_text`."""


def class_text(one: ClassAccuracy) -> str:
    """User's accuracy, producer's accuracy and F1 of a class, each with its interval."""
    return " ".join(f"{share_text(figure):>22}" for figure in (one.users, one.producers, one.f1))


def share_text(figure: Figure | None) -> str:
    """A share with its 95 % interval."""
    return "none" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} {figure.high:.3f})"
