import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from training.forest.from_sklearn import trees_of
from training.forest.scoring import Answers, out_of_bag, score_forest

NAMES = ("corn", "soybeans", "rice")


@pytest.fixture(scope="module")
def bagged():
    rng = np.random.default_rng(5)
    features = rng.integers(0, 40, (150, 6)).astype(np.float32)
    labels = np.where(rng.random(150) < 0.4, rng.integers(0, 3, 150), (features[:, 1] // 14).astype(int))
    forest = RandomForestClassifier(
        30, max_leaf_nodes=5, class_weight="balanced", oob_score=True, random_state=2, n_jobs=1
    )
    return features, labels, forest.fit(features, labels)


def test_the_soft_vote_out_of_bag_is_that_of_scikit_learn(bagged):
    features, _, forest = bagged
    shares = out_of_bag(forest, trees_of(forest, 3), features).shares
    np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), forest.oob_decision_function_)


def test_the_hard_vote_out_of_bag_counts_the_trees_that_have_not_drawn_the_sample(bagged):
    features, _, forest = bagged
    counts = np.zeros((150, 3), int)
    for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        for row in set(range(150)) - set(drawn.tolist()):
            counts[row, int(tree.predict(features[[row]])[0])] += 1
    np.testing.assert_array_equal(out_of_bag(forest, trees_of(forest, 3), features).votes, counts)


def test_a_sample_that_every_tree_has_drawn_is_not_evaluated():
    features = np.arange(12, dtype=np.float32)[:, None]
    labels = np.arange(12) % 2
    forest = RandomForestClassifier(1, random_state=0).fit(features, labels)
    drawn = len(set(forest.estimators_samples_[0].tolist()))
    evaluation = score_forest(out_of_bag(forest, trees_of(forest, 2), features), labels, ("corn", "rice"))
    assert (evaluation.samples, evaluation.not_evaluated) == (12 - drawn, drawn)
    assert sum(map(sum, evaluation.hard.confusion)) == 12 - drawn


def test_where_nothing_can_be_evaluated_there_is_no_evaluation():
    nothing = Answers(np.zeros((4, 3), int), np.zeros((4, 3)))
    assert score_forest(nothing, np.zeros(4, int), NAMES) is None


def test_the_votes_are_told_apart_and_ties_go_to_the_smaller_code():
    answers = Answers(
        votes=np.array([[2, 2, 0], [0, 3, 1], [1, 0, 3], [0, 2, 2]]),
        shares=np.array([[1.5, 2.4, 0.1], [0.5, 2.5, 1.0], [1.0, 0.0, 3.0], [0.0, 2.0, 2.0]]),
    )
    np.testing.assert_array_equal(answers.hard, [0, 1, 2, 1])
    np.testing.assert_array_equal(answers.soft, [1, 1, 2, 1])
    evaluation = score_forest(answers, np.array([0, 1, 2, 2]), NAMES)
    assert evaluation.disagreement == 0.25
    assert (evaluation.hard.accuracy, evaluation.soft.accuracy) == (0.75, 0.5)


def test_the_disagreement_counts_the_evaluated_samples_only():
    votes = np.array([[2, 1, 0], [0, 0, 0], [0, 3, 0]])
    shares = np.array([[1.0, 2.0, 0.0], [0, 0, 0], [0.0, 3.0, 0.0]])
    evaluation = score_forest(Answers(votes, shares), np.array([0, 1, 1]), NAMES)
    assert (evaluation.disagreement, evaluation.samples, evaluation.not_evaluated) == (0.5, 2, 1)


def test_an_evaluation_is_json(bagged):
    import json

    features, labels, forest = bagged
    evaluation = score_forest(out_of_bag(forest, trees_of(forest, 3), features), labels, NAMES)
    values = json.loads(json.dumps(evaluation.to_dict()))
    assert set(values) == {"samples", "not_judged", "disagreement", "hard", "soft"}
    assert [one["name"] for one in values["hard"]["classes"]] == list(NAMES)
