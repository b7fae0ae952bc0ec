"""How good predictions are: overall accuracy, macro-F1, the confusion matrix and figures by class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support


@dataclass(frozen=True)
class ClassScore:
    """How well one class was found; each figure lies within 0 to 1."""

    name: str
    """Class name."""
    precision: float
    """Share of the samples called so that are so (user's accuracy)."""
    recall: float
    """Share of its samples that were found (producer's accuracy)."""
    f1: float
    """Harmonic mean of the two."""
    samples: int
    """Samples of the class."""


@dataclass(frozen=True)
class Scores:
    """How well predictions agree with labels."""

    accuracy: float
    """Overall accuracy, 0 to 1."""
    macro_f1: float
    """Mean F1 over the classes that occur among the labels, each of the same weight."""
    confusion: tuple[tuple[int, ...], ...]
    """`(label, predicted)` counts."""
    classes: tuple[ClassScore, ...]
    """One entry a class, in order."""

    @property
    def weighted_f1(self) -> float:
        """Mean F1 over the classes, each as many times as it has samples: near to the overall accuracy."""
        return sum(one.f1 * one.samples for one in self.classes) / sum(one.samples for one in self.classes)

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON values."""
        return {**asdict(self), "confusion": [list(row) for row in self.confusion]}


def score(labels: NDArray[np.integer], predicted: NDArray[np.integer], names: tuple[str, ...]) -> Scores:
    """The scores of predictions.

    Args:
        labels: `(sample,)` index of the true class, at least one sample.
        predicted: `(sample,)` index of the predicted class.
        names: Class names in order.
    """
    known = list(range(len(names)))
    confusion = confusion_matrix(labels, predicted, labels=known)
    figures = precision_recall_fscore_support(labels, predicted, labels=known, zero_division=0.0)
    classes = tuple(
        ClassScore(name, float(p), float(r), float(f), int(n))
        for name, p, r, f, n in zip(names, *figures, strict=True)
    )
    return Scores(
        accuracy=float(np.trace(confusion) / confusion.sum()),
        macro_f1=float(np.mean([c.f1 for c in classes if c.samples])),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        classes=classes,
    )
