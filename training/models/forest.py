"""A Random Forest with the classes of a legend, also of those that did not train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from gee_pipeline.errors import InputError

TREES: Final = 500
"""Number of trees (Tong et al. 2025, section 4.1)."""

ClassWeight = Literal["balanced"] | dict[int, float] | None


@dataclass(frozen=True)
class Limits:
    """How large a tree may become."""

    leaves: int | None = None
    """Most leaves, the best splits first; None sets no limit."""
    depth: int | None = None
    """Most splits above a leaf; None sets no limit."""
    samples_in_leaf: int = 1
    """Fewest training samples in a leaf."""


class Forest:
    """Trees on features; class `k` of the labels is column `k` of the probabilities."""

    def __init__(
        self, classes: int, *, trees: int = TREES, seed: int = 1, jobs: int = -1, limits: Limits | None = None
    ) -> None:
        """An untrained forest.

        Args:
            classes: Number of classes; labels are 0 to one less.
            trees: Number of trees.
            seed: Random state.
            jobs: Processor cores; -1 takes all.
            limits: How large a tree may become; None grows trees until their leaves are pure.
        """
        self.classes, self.trees, self.seed, self.jobs = classes, trees, seed, jobs
        self.limits = limits or Limits()
        self._trained: RandomForestClassifier | None = None

    @property
    def trained(self) -> RandomForestClassifier:
        """The forest of scikit-learn.

        Raises:
            InputError: The forest was not trained.
        """
        if self._trained is None:
            raise InputError("A forest must be trained before it predicts: call fit first.")
        return self._trained

    def fit(
        self,
        features: NDArray[np.float32],
        labels: NDArray[np.int64],
        class_weight: ClassWeight = "balanced",
    ) -> Forest:
        """Grow the trees; the forest itself.

        Args:
            features: `(sample, feature)`, without NaN.
            labels: `(sample,)`, 0 to the number of classes less one.
            class_weight: Weight of the samples of each class; `balanced` gives every class the same say, as
                in the authors' code; None weighs samples alike.

        Raises:
            InputError: A label is not a class.
        """
        if len(labels) == 0 or not 0 <= labels.min() <= labels.max() < self.classes:
            raise InputError(
                f"A forest of {self.classes} classes takes labels 0 to {self.classes - 1}, got "
                f"{np.unique(labels)}."
            )
        forest = RandomForestClassifier(
            self.trees,
            max_leaf_nodes=self.limits.leaves,
            max_depth=self.limits.depth,
            min_samples_leaf=self.limits.samples_in_leaf,
            class_weight=class_weight,
            random_state=self.seed,
            n_jobs=self.jobs,
        )
        self._trained = forest.fit(features, labels)
        return self

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """`(sample,)`: the likeliest class of each sample.

        Raises:
            InputError: The forest was not trained.
        """
        return self.predict_proba(features).argmax(axis=1)

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(sample, class)`: the mean over the trees; 0 for a class that did not occur in training.

        Raises:
            InputError: The forest was not trained.
        """
        trained = self.trained
        known = trained.predict_proba(features)
        all_classes = np.zeros((len(known), self.classes), np.float32)
        all_classes[:, trained.classes_] = known
        return all_classes
