"""The strings that are deployed say what scikit-learn's own trees say, whatever the forest's shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.deployment.forest_text import class_strings, forest_strings
from tests.support.ee_emulator.decision_trees import parse_tree, values_of
from tests.support.made_forests import NAMES, edge_rows, grown, hard_votes, made_rows, model_of, winner

pytestmark = [  # of scikit-learn's check of the largest numbers
    pytest.mark.filterwarnings("ignore:invalid value encountered in reduce:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:overflow encountered in reduce:RuntimeWarning"),
]

WIDTH = len(NAMES)


def _whole(rng, rows):
    return rng.integers(-300, 12_000, (rows, WIDTH))


def _few(rng, rows):
    return rng.integers(0, 2, (rows, WIDTH))


def _unit(rng, rows):
    return rng.random((rows, WIDTH))


def _neighbours(rng, rows):
    """Numbers next to each other among the 32-bit ones: the thresholds between them are none."""
    steps = rng.integers(0, 6, (rows, WIDTH))
    start = np.array([1, 1e-3, 2.0**24 - 3, -7e8, 3.3e38, -1e-2], np.float32)
    return start + steps * np.spacing(start)


def _wide(rng, rows):
    """From the largest 32-bit numbers to the smallest, both signs and both zeros."""
    edge = np.finfo(np.float32)
    known = [edge.max, -edge.max, edge.tiny, edge.smallest_subnormal, 0.0, -0.0, 1e-6, 1 / 3, 1e20]
    return rng.choice(np.array(known, np.float32), (rows, WIDTH))


SHAPES = st.one_of(
    st.just({}),
    st.builds(lambda n: {"max_depth": n}, st.integers(1, 6)),
    st.builds(lambda n: {"max_leaf_nodes": n}, st.integers(2, 20)),
    st.builds(lambda n: {"min_samples_leaf": n}, st.integers(2, 40)),
    st.builds(lambda a, b: {"max_leaf_nodes": a, "max_depth": b}, st.integers(2, 20), st.integers(1, 5)),
)

OPTIONS = st.fixed_dictionaries(
    {
        "trees": st.integers(1, 8),
        "class_weight": st.sampled_from([None, "balanced", "balanced_subsample"]),
        "criterion": st.sampled_from(["gini", "entropy", "log_loss"]),
        "bootstrap": st.booleans(),
        "seed": st.integers(0, 99),
    }
)


@st.composite
def forests(draw):
    """A trained forest, its number of classes, and rows that it was and was not trained on."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    make = draw(st.sampled_from([_whole, _few, _unit, _neighbours, _wide]))
    classes, rows = draw(st.integers(1, 7)), draw(st.integers(1, 50))
    occur = rng.permutation(classes)[: draw(st.integers(1, classes))]
    features = make(rng, 2 * rows).astype(np.float32)
    forest = grown(features[:rows], rng.choice(occur, rows), **draw(OPTIONS), **draw(SHAPES))
    return forest, classes, edge_rows(forest, features)[:400]


def _told(strings, rows):
    """`(row, tree)`: what each tree says, by the parser of the emulator."""
    return values_of([parse_tree(text) for text in strings], dict(zip(NAMES, rows.T, strict=True)))


@settings(max_examples=40, deadline=None)
@given(forests())
def test_the_strings_and_the_model_vote_as_the_trees_of_scikit_learn(grown_forest):
    forest, classes, rows = grown_forest
    model, expected = model_of(forest, classes), hard_votes(forest, rows, classes)
    told = _told(forest_strings(model), rows)
    assert [[int((row == k).sum()) for k in range(1, classes + 1)] for row in told] == expected.tolist()
    assert np.array_equal(model.votes(rows), expected)
    codes, percent = winner(expected, len(forest.estimators_))
    prediction = model.hard_prediction(rows)
    assert prediction.codes.tolist() == codes
    assert prediction.confidence.tolist() == percent


@settings(max_examples=20, deadline=None)
@given(forests())
def test_the_soft_vote_is_predict_proba_and_its_strings_keep_four_digits(grown_forest):
    forest, classes, rows = grown_forest
    model, trees = model_of(forest, classes), len(forest.estimators_)
    expected = np.zeros((len(rows), classes))
    expected[:, forest.classes_] = forest.predict_proba(rows)
    np.testing.assert_allclose(model.soft(rows), expected, rtol=0, atol=1e-14)
    parts = np.stack([_told(class_strings(model, k), rows) for k in range(1, classes + 1)], axis=2)
    assert np.array_equal(parts, parts.round())
    np.testing.assert_allclose(parts.mean(axis=1) / 10_000, expected, rtol=0, atol=0.5001e-4)
    codes, percent = winner(parts.sum(axis=1).astype(int), 10_000 * trees)
    prediction = model.soft_prediction(rows)
    assert prediction.codes.tolist() == codes
    assert prediction.confidence.tolist() == percent


def _require_same_votes(forest, classes, rows):
    model, expected = model_of(forest, classes), hard_votes(forest, rows, classes)
    told = _told(forest_strings(model), rows)
    counted = np.stack([(told == k).sum(axis=1) for k in range(1, classes + 1)], axis=1)
    assert np.array_equal(counted, expected)
    assert np.array_equal(model.votes(rows), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, 400),
        ({"max_depth": 6}, 400),
        ({"max_leaf_nodes": 30}, 400),  # nodes in order of their gain, not of depth
        ({"max_depth": 1}, 400),
        ({"min_samples_leaf": 250}, 400),  # single leaves
        ({"max_leaf_nodes": 5, "trees": 500}, 60),
    ],
)
def test_larger_forests_of_each_shape_are_exact(options, rows):
    features, labels = made_rows(rows, classes=5)
    forest = grown(features, labels, **({"trees": 20} | options))
    _require_same_votes(forest, 5, made_rows(300, classes=5, seed=1)[0])


def test_leaf_limited_trees_are_not_in_the_order_of_depth():
    """Or the case above would not be one."""
    forest = grown(*made_rows(400, classes=5), max_leaf_nodes=30)
    trees = [tree.tree_ for tree in forest.estimators_]
    left = [t.children_left[i] != i + 1 for t in trees for i in range(t.node_count) if t.feature[i] >= 0]
    assert any(left)


def test_a_class_that_never_wins_keeps_its_place_and_that_of_the_others():
    """One row of class 0 among hundreds: no leaf of 20 rows is its own."""
    features, labels = made_rows(300, classes=2, seed=3)
    labels = labels + 1
    labels[0] = 0
    forest = grown(features, labels, min_samples_leaf=20, trees=10)
    assert hard_votes(forest, features, 3)[:, 0].sum() == 0
    _require_same_votes(forest, 3, features)


def test_one_class_gives_that_class_everywhere():
    features, labels = made_rows(30)
    model = model_of(grown(features, labels * 0), 1)
    assert set(_told(forest_strings(model), features).ravel()) == {1}
    assert model.hard_prediction(features).confidence.tolist() == [100] * 30


def test_classes_that_did_not_occur_get_no_votes():
    features, labels = made_rows(100, classes=2)
    forest = grown(features, np.array([2, 5])[labels])
    model = model_of(forest, 7)
    votes = model.votes(features)
    assert votes.sum(axis=0).nonzero()[0].tolist() == [2, 5]
    _require_same_votes(forest, 7, features)


def test_a_tie_of_the_trees_goes_to_the_smaller_code():
    """Two trees grown on different halves of rows that are alike: each is sure of its own class."""
    features, labels = made_rows(200, classes=2, scale=3000)
    forest = grown(features, labels, trees=2, max_depth=3)
    tied = hard_votes(forest, features, 2)[:, 0] == 1
    assert tied.sum() > 5
    prediction = model_of(forest, 2).hard_prediction(features[tied])
    assert set(prediction.codes) == {1}
    assert set(prediction.confidence) == {50}


def test_a_tie_within_a_leaf_goes_to_the_smaller_code():
    features = np.zeros((4, len(NAMES)), np.float32)
    forest = grown(features, np.array([2, 1, 1, 2]), bootstrap=False, trees=3)
    model = model_of(forest, 3)
    assert set(_told(forest_strings(model), features).ravel()) == {2}
    assert model.votes(features).tolist() == [[0, 3, 0]] * 4
