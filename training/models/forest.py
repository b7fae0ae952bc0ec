"""A Random Forest with the classes of a legend, also of those that did not train."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from gee_pipeline.errors import InputError

TREES: Final = 500
"""Number of trees (Tong et al. 2025, section 4.1)."""

ClassWeight = Literal["balanced"] | dict[int, float] | None


class Forest:
    """Trees on features; class `k` of the labels is column `k` of the probabilities."""

    def __init__(self, classes: int, *, trees: int = TREES, seed: int = 1, jobs: int = -1) -> None:
        """An untrained forest.

        Args:
            classes: Number of classes; labels are 0 to one less.
            trees: Number of trees.
            seed: Random state.
            jobs: Processor cores; -1 takes all.
        """
        self.classes, self.trees, self.seed, self.jobs = classes, trees, seed, jobs
        self._trained: RandomForestClassifier | None = None

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
            InputError: A label is no class.
        """
        if len(labels) == 0 or not 0 <= labels.min() <= labels.max() < self.classes:
            raise InputError(
                f"A forest of {self.classes} classes takes labels 0 to {self.classes - 1}, got "
                f"{np.unique(labels)}."
            )
        forest = RandomForestClassifier(
            self.trees, class_weight=class_weight, random_state=self.seed, n_jobs=self.jobs
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
        if self._trained is None:
            raise InputError("A forest must be trained before it predicts: call fit first.")
        known = self._trained.predict_proba(features)
        all_classes = np.zeros((len(known), self.classes), np.float32)
        all_classes[:, self._trained.classes_] = known
        return all_classes
