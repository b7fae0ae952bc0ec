"""How alike two regions are to a model, before any network: t-SNE of their series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

from gee_pipeline.errors import InputError

COMPONENTS: Final = 50
"""Principal components that t-SNE sees; the rest is mostly noise (van der Maaten & Hinton 2008 take 30)."""

SCORED: Final = 2_000
"""Samples of a silhouette, whose cost grows with their square."""

AUGMENTED: Final = "source, augmented"
"""Name of the group of changed source series."""


@dataclass(frozen=True)
class Group:
    """Series of one panel."""

    name: str
    """`source`, `source, augmented` or `target`."""
    inputs: NDArray[np.float32]
    """`(sample, feature)`: the filled and normalised model window, flat."""
    labels: NDArray[np.int64]
    """`(sample,)`, index of the class."""


@dataclass(frozen=True)
class Plane:
    """Where the samples of a group lie in the common plane, and how its classes are spread."""

    name: str
    """Of the group."""
    points: NDArray[np.float32]
    """`(sample, 2)`, without unit: near is alike, far tells little."""
    labels: NDArray[np.int64]
    """`(sample,)`, index of the class."""
    silhouette: float | None
    """Of the classes in the model's input, -1 to 1 (Rousseeuw 1987); None for a single class."""
    silhouette_plane: float | None
    """The same in the plane."""
    spread: float
    """Standard deviation within a class, root mean square over features and classes, in the units of the
    normalised input."""


def embed(groups: Sequence[Group], *, perplexity: float = 30, seed: int = 1) -> list[Plane]:
    """All groups in one plane, so that they can be compared.

    Args:
        groups: With the same features; more samples in all than the perplexity.
        perplexity: About as many neighbours are kept near.
        seed: Of scikit-learn's random state; t-SNE starts from the first two principal components.

    Raises:
        InputError: There are too few samples for the perplexity.
    """
    inputs = np.concatenate([group.inputs for group in groups])
    if len(inputs) <= perplexity:
        raise InputError(
            f"t-SNE needs more samples than its perplexity; got {len(inputs)} samples and perplexity "
            f"{perplexity:g}. Give more samples, or a smaller --perplexity."
        )
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(_reduced(inputs, seed))
    parts = np.split(points.astype(np.float32), np.cumsum([len(group.inputs) for group in groups])[:-1])
    return [_plane(group, part, seed) for group, part in zip(groups, parts, strict=True)]


def _reduced(inputs: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    components = min(COMPONENTS, *inputs.shape)
    reduced: NDArray[np.float32] = PCA(components, random_state=seed).fit_transform(inputs)
    return reduced


def _plane(group: Group, points: NDArray[np.float32], seed: int) -> Plane:
    return Plane(
        name=group.name,
        points=points,
        labels=group.labels,
        silhouette=_silhouette(group.inputs, group.labels, seed),
        silhouette_plane=_silhouette(points, group.labels, seed),
        spread=within_class_spread(group.inputs, group.labels),
    )


def within_class_spread(inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Root mean square over features and classes of the standard deviation within a class."""
    variances = [inputs[labels == label].var(axis=0, dtype=np.float64).mean() for label in np.unique(labels)]
    return float(np.sqrt(np.mean(variances)))


def _silhouette(inputs: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> float | None:
    chosen = np.random.default_rng(seed).permutation(len(labels))[:SCORED]
    classes = len(np.unique(labels[chosen]))
    if not 2 <= classes < len(chosen):
        return None
    return float(silhouette_score(inputs[chosen], labels[chosen]))
