"""How good a forest is under both votes: that of its trees, and that of their leaves' shares.

Earth Engine counts the votes of the trees (hard); scikit-learn takes the mean of the shares (soft). Where
leaves are pure both are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from inference.models.forest_model import ForestModel, Tree
from training.scores.metrics import Scores, score


@dataclass(frozen=True)
class Answers:
    """What the trees say of some samples."""

    votes: NDArray[np.int64]
    """`(sample, class)`, number of trees that vote for a class."""
    shares: NDArray[np.float64]
    """`(sample, class)`, sum of the shares of the leaves."""

    @property
    def hard(self) -> NDArray[np.intp]:
        """`(sample,)`: the class with most votes, of equal ones the first."""
        return self.votes.argmax(axis=1)

    @property
    def soft(self) -> NDArray[np.intp]:
        """`(sample,)`: the class with the largest sum of shares, of equal ones the first."""
        return self.shares.argmax(axis=1)

    @property
    def asked(self) -> NDArray[np.bool_]:
        """`(sample,)`: True where a tree has voted."""
        return np.asarray(self.votes.any(axis=1))


@dataclass(frozen=True)
class Evaluation:
    """How well a forest's answers agree with labels."""

    hard: Scores
    """Where each tree has a vote, as on Earth Engine."""
    soft: Scores
    """Where the shares of the leaves count, as in scikit-learn."""
    disagreement: float
    """Share of the samples that the two votes call differently, 0 to 1."""
    samples: int
    """Samples that were evaluated."""
    not_evaluated: int
    """Samples that no tree could evaluate, because all had seen them."""

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "samples": self.samples,
            "not_judged": self.not_evaluated,
            "disagreement": self.disagreement,
            "hard": self.hard.to_dict(),
            "soft": self.soft.to_dict(),
        }


def score_forest(answers: Answers, labels: NDArray[np.int64], names: tuple[str, ...]) -> Evaluation | None:
    """The scores under both votes; None where no tree has answered at all.

    Args:
        answers: What the trees say of the samples.
        labels: `(sample,)`, index into `names`.
        names: Class names in order.
    """
    asked = answers.asked
    if not asked.any():
        return None
    hard, soft, labels = answers.hard[asked], answers.soft[asked], labels[asked]
    return Evaluation(
        hard=score(labels, hard, names),
        soft=score(labels, soft, names),
        disagreement=float((hard != soft).mean()),
        samples=len(labels),
        not_evaluated=int((~asked).sum()),
    )


def answers_of(model: ForestModel, features: NDArray[np.float32]) -> Answers:
    """What all trees say of samples that none of them has seen."""
    return Answers(model.votes(features).astype(np.int64), model.soft(features) * len(model.trees))


def out_of_bag(
    forest: RandomForestClassifier, trees: Sequence[Tree], features: NDArray[np.float32]
) -> Answers:
    """What the trees say of the samples they were grown on, each of those that it has not drawn itself.

    Args:
        forest: Grown on these features.
        trees: Its trees, node by node as in scikit-learn.
        features: `(sample, feature)`, in the order in which they were given to it.
    """
    shape = len(features), trees[0].share.shape[1]
    answers = Answers(np.zeros(shape, np.int64), np.zeros(shape))
    for estimator, tree, drawn in zip(forest.estimators_, trees, forest.estimators_samples_, strict=True):
        rest = np.setdiff1d(np.arange(len(features)), drawn)
        if len(rest):  # a handful of samples may all be drawn
            leaf = estimator.tree_.apply(features[rest])
            answers.votes[rest, tree.leaf_class[leaf]] += 1
            answers.shares[rest] += tree.share[leaf]
    return answers
