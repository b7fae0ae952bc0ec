"""The trees of a forest as the strings that Earth Engine takes."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from gee_pipeline.earthengine.forest.tree_text import tree_text
from gee_pipeline.errors import InputError
from inference.models.forest_model import ForestModel, Tree, share_parts


def forest_strings(model: ForestModel) -> list[str]:
    """One string a tree whose leaves hold the code of the class that the tree votes for.

    Raises:
        InputError: A tree is too deep for Earth Engine.
    """
    return [_text(tree, tree.leaf_class + 1, model) for tree in model.trees]


def class_strings(model: ForestModel, code: int) -> list[str]:
    """One string a tree whose leaves hold the share of one class, in whole ten-thousandths.

    Args:
        model: The forest.
        code: Code of the class, 1 to K.

    Raises:
        InputError: There is no such class, or a tree is too deep for Earth Engine.
    """
    if not 1 <= code <= len(model.classes):
        raise InputError(f"The forest has the classes 1 to {len(model.classes)}, got {code}.")
    return [_text(tree, share_parts(tree.share[:, code - 1]), model) for tree in model.trees]


def _text(tree: Tree, value: NDArray[Any], model: ForestModel) -> str:
    return tree_text(tree.left, tree.right, tree.feature, tree.threshold, value, model.feature_names)
