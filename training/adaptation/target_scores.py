"""What can be said of a model on series without labels; none of it is an accuracy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, softmax

from training.adaptation.gates import normalised_entropy

SHARPNESS: Final = 0.05
"""Temperature of likeness between answers (Saito et al. 2021, section 3.2)."""

MOST: Final = 2_000
"""Series whose answers are compared with each other."""


@dataclass(frozen=True)
class TargetScores:
    """Figures of a model's answers to series without labels."""

    series: int
    """How many."""
    confidence: float
    """Mean probability of the likeliest class."""
    entropy: float
    """Mean entropy in shares of the largest possible, 0 to 1; also a model that is surely wrong has a low
    one."""
    neighbourhood_density: float
    """Soft neighbourhood density: larger where answers form dense groups."""
    shares: dict[str, float]
    """Class -> share of the series that gets it."""

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


def target_scores(probabilities: NDArray[np.floating], names: tuple[str, ...]) -> TargetScores:
    """The figures of a model's answers.

    Args:
        probabilities: `(series, class)`, in random order where there are more than `MOST`.
        names: Of the classes.
    """
    counts = np.bincount(probabilities.argmax(axis=1), minlength=len(names))
    return TargetScores(
        series=len(probabilities),
        confidence=float(probabilities.max(axis=1).mean()),
        entropy=float(normalised_entropy(probabilities).mean()),
        neighbourhood_density=neighbourhood_density(probabilities[:MOST]),
        shares=dict(zip(names, (counts / len(probabilities)).tolist(), strict=True)),
    )


def neighbourhood_density(probabilities: NDArray[np.floating]) -> float:
    """Soft neighbourhood density of answers, in nats (Saito et al. 2021, equations 1 to 3).

    The likeness of each answer to all others becomes a distribution, whose entropy is large where it has many
    near neighbours.

    Args:
        probabilities: `(series, class)`, at least two series.
    """
    p = probabilities.astype(np.float64)
    directions = p / np.linalg.norm(p, axis=1, keepdims=True)
    likeness = directions @ directions.T / SHARPNESS
    np.fill_diagonal(likeness, -np.inf)
    return float(entr(softmax(likeness, axis=1)).sum(axis=1).mean())
