"""The trees of a scikit-learn forest as those of a forest model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from gee_pipeline.errors import InputError
from inference.models.forest_model import LEAF, Tree


def trees_of(forest: RandomForestClassifier, classes: int) -> tuple[Tree, ...]:
    """The trees of a trained forest, whose labels are 0 to `classes` less one.

    A class that did not occur in training has the share 0 everywhere. Label `k` is column `k` of the shares.

    Args:
        forest: Trained on labels 0 to `classes` less one, not all of which need occur.
        classes: Number of classes.

    Raises:
        InputError: The forest was trained on other labels.
    """
    labels = np.asarray(forest.classes_)
    if not np.isin(labels, np.arange(classes)).all():
        raise InputError(
            f"A forest of {classes} classes is trained on labels 0 to {classes - 1}, got {labels}."
        )
    return tuple(_tree(estimator, labels.astype(np.intp), classes) for estimator in forest.estimators_)


def _tree(estimator: DecisionTreeClassifier, labels: NDArray[np.intp], classes: int) -> Tree:
    nodes = estimator.tree_
    leaf = nodes.children_left == nodes.children_right  # both -1
    # A tree counts its classes among those of the forest, which count among the labels.
    columns = labels[np.asarray(estimator.classes_, np.intp)]
    share = np.zeros((nodes.node_count, classes))
    share[:, columns] = nodes.value[:, 0]  # as they are: a division could make unequal shares equal
    return Tree(
        left=nodes.children_left,
        right=nodes.children_right,
        feature=np.where(leaf, LEAF, nodes.feature),
        threshold=nodes.threshold,
        share=share,
    )
