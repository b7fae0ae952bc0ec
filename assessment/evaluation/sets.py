"""How often prediction sets hold the true class of samples, and limits of sets from these samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.designs import Clusters
from assessment.estimation.estimate import ratio
from assessment.estimation.intervals import Figure, share_interval
from training.scores.prediction_sets import sets_of

FOLDS: Final = 5
"""Parts into which places are divided where limits are tried on places that did not set them."""

ALL: Final = "all classes"
"""Name of the part that is all samples."""


@dataclass(frozen=True)
class ClassSets:
    """The sets of the samples of one class, or of all."""

    name: str
    """The class; `all classes` for all samples."""
    samples: int
    """How many they are."""
    coverage: Figure
    """Share of them whose set holds their class."""
    size: float
    """Mean number of classes in a set."""
    empty: float
    """Share of them whose set is empty."""


@dataclass(frozen=True)
class SetsOnSamples:
    """What prediction sets do on samples."""

    promised: float
    """Share of each class whose set is meant to hold it."""
    source: str
    """What the limits rest on."""
    parts: tuple[ClassSets, ...]
    """All samples first, then each class that occurs."""


def sets_on_samples(
    members: NDArray[np.bool_],
    labels: NDArray[np.integer],
    names: tuple[str, ...],
    design: Clusters,
    *,
    promised: float,
    source: str,
) -> SetsOnSamples:
    """How often sets hold the true class.

    Args:
        members: `(sample, class)`: whether a class is in the set of a sample.
        labels: `(sample,)` index of the true class.
        names: Of the classes.
        design: What is independent of each other.
        promised: Share of each class whose set is meant to hold it.
        source: What the limits of the sets rest on.
    """
    held, sizes = members[np.arange(len(labels)), labels], members.sum(axis=1)
    some = [(ALL, np.ones(len(labels), bool))]
    some += [(name, labels == k) for k, name in enumerate(names) if (labels == k).any()]
    parts = []
    for name, inside in some:
        found = ratio(design, held & inside, inside)
        if found is not None:
            size, empty = float(sizes[inside].mean()), float((sizes[inside] == 0).mean())
            parts.append(ClassSets(name, int(inside.sum()), share_interval(found), size, empty))
    return SetsOnSamples(promised, source, tuple(parts))


def across_folds(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    block: NDArray[np.intp],
    *,
    coverage: float,
    source: str,
    seed: int = 1,
) -> NDArray[np.bool_] | None:
    """`(sample, class)`: sets of each sample by limits of samples in other places; None where these are few.

    Args:
        probabilities: `(sample, class)` that a model gives.
        labels: `(sample,)` index of the true class.
        block: `(sample,)` index of the place.
        coverage: Share of each class whose set shall hold it.
        source: What the samples are.
        seed: Of the draw of folds.
    """
    fold = (np.random.default_rng(seed).permutation(block.max() + 1) % FOLDS)[block]
    out = np.zeros(probabilities.shape, bool)
    for one in np.unique(fold):
        here = fold == one
        found = sets_of(probabilities[~here], labels[~here], coverage=coverage, source=source)
        if found is None:
            return None
        out[here] = found.members(probabilities[here])
    return out
