import numpy as np
import pytest

from gee_pipeline.errors import InputError
from tests.support.made_forests import grown, made_rows
from training.forest.from_sklearn import trees_of


def test_trees_keep_nodes_thresholds_and_shares():
    forest = grown(*made_rows(200), max_leaf_nodes=12)
    for tree, estimator in zip(trees_of(forest, 3), forest.estimators_, strict=True):
        nodes = estimator.tree_
        inner = nodes.feature >= 0
        assert np.array_equal(tree.left, nodes.children_left)
        assert np.array_equal(tree.right, nodes.children_right)
        assert np.array_equal(tree.feature, np.where(inner, nodes.feature, -1))
        assert np.array_equal(tree.threshold[inner], nodes.threshold[inner])
        np.testing.assert_allclose(tree.share, nodes.value[:, 0], rtol=0, atol=1e-15)
        assert tree.depth == nodes.max_depth


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [7, 7]])
def test_labels_that_are_no_classes_are_refused(labels):
    features, _ = made_rows(2)
    with pytest.raises(InputError, match="labels 0 to 2, got"):
        trees_of(grown(features, np.array(labels)), 3)
