import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from inference.models.series import fill_gaps
from training.models.features import features_of
from training.models.forest import Forest
from training.models.registry import MODELS


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 2, 3], 120, p=[0.8, 0.1, 0.1])  # class 1 does not occur
    features = rng.normal(size=(120, 6)).astype(np.float32)
    features[:, 2] += labels
    return features, labels


def test_the_registered_forests_have_500_trees():
    for name in ("rf", "rf-harmonic", "rf-presto"):
        forest = MODELS[name].build(3, 10, 43, seed=7)
        assert isinstance(forest, Forest)
        assert (forest.trees, forest.seed, forest.classes) == (500, 7, 3)


@pytest.mark.parametrize("weight", ["balanced", None, {0: 1.0, 2: 5.0, 3: 5.0}])
def test_a_forest_is_that_of_scikit_learn(known, weight):
    features, labels = known
    forest = Forest(5, trees=20, seed=3, jobs=1).fit(features, labels, weight)
    wanted = RandomForestClassifier(20, class_weight=weight, random_state=3).fit(features, labels)
    found = forest.predict_proba(features)
    assert found.shape == (120, 5)
    np.testing.assert_allclose(found[:, [0, 2, 3]], wanted.predict_proba(features), atol=1e-6)
    assert not found[:, [1, 4]].any()
    np.testing.assert_array_equal(forest.predict(features), wanted.predict(features))


def test_a_seed_repeats_a_forest(known):
    features, labels = known
    one, again, other = (Forest(4, trees=5, seed=s, jobs=1).fit(features, labels) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.predict_proba(features), again.predict_proba(features))
    assert not np.array_equal(one.predict_proba(features), other.predict_proba(features))


@pytest.mark.parametrize("name", ["rf", "rf-harmonic"])
def test_a_forest_tells_the_made_crops_apart(name, made_samples):
    training, unseen = made_samples(90), made_samples(60, seed=1)
    spec = MODELS[name]
    forest = Forest(3, trees=25, jobs=1)
    forest.fit(features_of(spec, fill_gaps(training.series), Recipe()), training.labels)
    found = forest.predict(features_of(spec, fill_gaps(unseen.series), Recipe()))
    assert (found == unseen.labels).mean() > 0.95


@pytest.mark.parametrize("labels", [[0, 1, 5], [-1, 0, 1], []])
def test_labels_that_are_no_class_are_refused(labels):
    with pytest.raises(InputError, match="labels 0 to 4"):
        Forest(5).fit(np.zeros((len(labels), 2), np.float32), np.array(labels, np.int64))


def test_an_untrained_forest_says_so():
    with pytest.raises(InputError, match="call fit first"):
        Forest(3).predict(np.zeros((2, 4), np.float32))
