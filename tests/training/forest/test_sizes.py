import json

import numpy as np
import pytest

from inference.deployment.forest_text import class_strings, forest_strings
from tests.support.made_forests import NAMES, grown, made_rows, model_of
from training.forest.options import ForestOptions
from training.forest.sizes import drawn_at_most, expected_sizes, most_leaves, most_splits

CASES = [
    {"max_leaf_nodes": 8},
    {"max_leaf_nodes": 0, "max_depth": 4},
    {"max_leaf_nodes": 0, "max_depth": 30},
    {"max_leaf_nodes": 0, "max_depth": 30, "min_leaf": 7},
    {"max_leaf_nodes": 200, "max_depth": 1},
    {"max_leaf_nodes": 2},
    {"max_leaf_nodes": 0, "max_depth": 30, "min_leaf": 150},
]


def forest_of(options, rows, labels):
    return grown(
        rows,
        labels,
        options.trees,
        max_leaf_nodes=options.max_leaf_nodes or None,
        max_depth=options.max_depth,
        min_samples_leaf=options.min_leaf,
        class_weight="balanced",
    )


@pytest.mark.parametrize("shape", CASES)
@pytest.mark.parametrize("scale", [900, 30_000])
def test_no_forest_is_larger_than_expected(shape, scale):
    options = ForestOptions(trees=6, **shape)
    rows, labels = made_rows(300, classes=3, scale=scale)
    rows -= 2 * scale  # thresholds below 0 as well
    labels = np.random.default_rng(0).integers(
        0, 3, 300
    )  # nothing to learn: the trees grow as far as they may
    model = model_of(forest_of(options, rows, labels), 3)
    texts = {"votes": [forest_strings(model)], "probability": [class_strings(model, k) for k in (1, 2, 3)]}
    for confidence, ensembles in texts.items():
        expected = expected_sizes(options, rows, NAMES, 3, confidence)
        assert len(expected.ensembles) == len(ensembles)
        assert model.nodes <= expected.nodes
        assert max(tree.depth for tree in model.trees) <= most_splits(options, most_leaves(options, 300))
        for trees, most in zip(ensembles, expected.ensembles, strict=True):
            assert len(json.dumps(trees)) <= most
            assert max(map(len, trees)) <= expected.longest_tree


def test_a_forest_that_uses_its_leaves_has_nearly_the_expected_size():
    options = ForestOptions(trees=8, max_leaf_nodes=32, max_depth=8)
    rows, _ = made_rows(500, classes=3)
    labels = np.random.default_rng(0).integers(0, 3, 500)
    model = model_of(forest_of(options, rows, labels), 3)
    expected = expected_sizes(options, rows, NAMES, 3, "votes")
    assert model.nodes == expected.nodes
    assert 0.8 < len(json.dumps(forest_strings(model))) / expected.bytes <= 1


@pytest.mark.parametrize(
    ("shape", "samples", "leaves"),
    [
        ({"max_leaf_nodes": 200}, 5000, 200),
        ({"max_leaf_nodes": 0, "max_depth": 5}, 5000, 32),
        ({"max_leaf_nodes": 200, "max_depth": 30}, 10, 10),  # as many as there are samples
        (
            {"max_leaf_nodes": 0, "max_depth": 30, "min_leaf": 100},
            100,
            2,
        ),  # none splits, but a text has a split
    ],
)
def test_the_tightest_limit_counts(shape, samples, leaves):
    assert most_leaves(ForestOptions(**shape), samples) == leaves


@pytest.mark.parametrize("samples", [1, 2, 10, 1000])
def test_draws_with_replacement_seldom_find_more_than_told(samples):
    rng = np.random.default_rng(1)
    found = [len(np.unique(rng.integers(0, samples, samples))) for _ in range(400)]
    assert max(found) <= drawn_at_most(samples) <= samples
    assert drawn_at_most(samples) <= 1.2 * np.mean(found) + 4
