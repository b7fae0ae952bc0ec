"""Which of a teacher's answers to unlabelled series are believed: three gates, and what each refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from training.adaptation.options import AdaptationOptions

NOT_ACCEPTED: Final = -1
"""In the place of a class."""


@dataclass(frozen=True)
class GateLog:
    """What became of the series in one round; each is counted once, by the first gate that refused it."""

    series: int
    """All."""
    unsure: int
    """The class was not likely enough."""
    uncertain: int
    """Changed copies were answered too differently, compared with others of the class."""
    unstable: int
    """The class was another in a former round, or there were too few rounds."""
    surplus: int
    """The class had enough more certain ones."""
    accepted: tuple[int, ...]
    """Accepted series by class."""

    @property
    def share(self) -> float:
        """Share of the series that was accepted, 0 to 1."""
        return sum(self.accepted) / self.series

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return asdict(self) | {"accepted": list(self.accepted)}


def normalised_entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """`(series,)`: entropy in shares of the largest possible, 0 to 1.

    Args:
        probabilities: `(series, class)`, at least two classes.
    """
    found: NDArray[np.float64] = entr(probabilities.astype(np.float64)).sum(axis=1)
    return found / np.log(probabilities.shape[1])


def accept(
    probabilities: NDArray[np.floating],
    entropy: NDArray[np.floating],
    former: Sequence[NDArray[np.integer]],
    options: AdaptationOptions,
) -> tuple[NDArray[np.int64], GateLog]:
    """The class of each series that passes all gates, `NOT_ACCEPTED` for the others, and how many did not.

    Args:
        probabilities: `(series, class)`, the teacher's, calibrated.
        entropy: `(series,)` of the mean answer to changed copies, 0 to 1.
        former: Classes `(series,)` that the teacher gave in former rounds, the latest last.
        options: The limits.
    """
    classes = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1) >= options.confidence
    certain = sure & (entropy <= _limits(classes, entropy, options.certainty)[classes])
    stable = certain & _as_before(classes, former, options.stability)
    kept = stable & _most_certain(classes, entropy, stable, options.most_of_class)
    passed = [len(classes), *(int(one.sum()) for one in (sure, certain, stable, kept))]
    unsure, uncertain, unstable, surplus = (before - after for before, after in pairwise(passed))
    by_class = np.bincount(classes[kept], minlength=probabilities.shape[1])
    log = GateLog(len(classes), unsure, uncertain, unstable, surplus, tuple(by_class.tolist()))
    return np.where(kept, classes, NOT_ACCEPTED), log


def _limits(classes: NDArray[np.integer], entropy: NDArray[np.floating], share: float) -> NDArray[np.float64]:
    """`(class,)`: the quantile of the entropy within each class."""
    found = np.zeros(int(classes.max()) + 1)
    for one in np.unique(classes):
        found[one] = np.quantile(entropy[classes == one], share)
    return found


def _as_before(
    classes: NDArray[np.integer], former: Sequence[NDArray[np.integer]], rounds: int
) -> NDArray[np.bool_]:
    """`(series,)`: whether the class was the same in as many rounds, this one among them."""
    if len(former) < rounds - 1:
        return np.zeros(len(classes), bool)
    same = np.ones(len(classes), bool)
    for one in former[len(former) - (rounds - 1) :]:
        same &= one == classes
    return same


def _most_certain(
    classes: NDArray[np.integer], entropy: NDArray[np.floating], among: NDArray[np.bool_], most: int
) -> NDArray[np.bool_]:
    """`(series,)`: the ones of each class with the least entropy, at most so many."""
    kept = np.zeros(len(classes), bool)
    for one in np.unique(classes):
        rows = np.flatnonzero(among & (classes == one))
        kept[rows[np.argsort(entropy[rows], kind="stable")[:most]]] = True
    return kept
