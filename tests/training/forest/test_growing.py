import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from inference.models.crop_class import CropClass
from inference.models.forest_features import forest_features
from inference.models.forest_model import Tree, load_forest, save_forest
from training.fit.options import SplitRule
from training.forest.growing import grow, plan_growing, with_whole_limits
from training.forest.options import ForestOptions

SMALL = ForestOptions(trees=8, max_leaf_nodes=6, seed=4)
RULE = SplitRule(share=0.3, seed=2)


@pytest.fixture(scope="module")
def noisy(made_samples):
    """Three classes of unlike size, whose labels are wrong here and there: trees and votes disagree."""
    samples = made_samples(240)
    rng = np.random.default_rng(8)
    labels = np.where(rng.random(240) < 0.6, rng.integers(0, 3, 240), samples.labels)
    kept = (labels != 2) | (rng.random(240) < 0.5)
    return replace(samples, labels=labels).take(kept)


@pytest.fixture(scope="module")
def grown(noisy):
    plan = plan_growing(noisy, SMALL, RULE, year=2021)
    return plan, grow(plan, jobs=1)


def features_of(samples):
    return forest_features(np.ascontiguousarray(samples.series[:, :, 24:67]), Recipe(), "median")


def scikit_learn(samples, rows, **options):
    """The forest of scikit-learn on these rows."""
    forest = RandomForestClassifier(
        SMALL.trees,
        max_leaf_nodes=SMALL.max_leaf_nodes,
        max_depth=SMALL.max_depth,
        class_weight="balanced",
        random_state=SMALL.seed,
        n_jobs=1,
        **options,
    )
    return forest.fit(features_of(samples)[rows], samples.labels[rows])


def hard_vote(forest, features, classes=3):
    """Each row's class by a plain count of the trees' classes, of equal counts the smaller code."""
    counts = np.zeros((len(features), classes), int)
    for tree in forest.estimators_:
        for row, label in enumerate(tree.predict(features).astype(int)):
            counts[row, label] += 1
    return np.array([max(range(classes), key=lambda k: (c[k], -k)) for c in counts])


def test_the_forest_is_that_of_scikit_learn_with_balanced_classes(noisy, grown):
    plan, model = grown
    forest, features = scikit_learn(noisy, plan.split.training), features_of(noisy)
    np.testing.assert_allclose(model.soft(features), forest.predict_proba(features), atol=1e-12)
    np.testing.assert_array_equal(model.hard_prediction(features).codes, hard_vote(forest, features) + 1)


def test_scores_on_held_out_places_are_those_of_scikit_learn(noisy, grown):
    plan, model = grown
    rows = plan.split.validation
    forest, features = scikit_learn(noisy, plan.split.training), features_of(noisy)[rows]
    labels = noisy.labels[rows]
    found = model.metrics["held_out"]
    predicted = {"hard": hard_vote(forest, features), "soft": forest.predict(features)}
    for vote, codes in predicted.items():
        assert found[vote]["accuracy"] == pytest.approx(accuracy_score(labels, codes))
        assert found[vote]["macro_f1"] == pytest.approx(f1_score(labels, codes, average="macro"))
        assert found[vote]["confusion"] == confusion_matrix(labels, codes).tolist()
    assert found["disagreement"] == pytest.approx(np.mean(predicted["hard"] != predicted["soft"]))
    assert 0 < found["disagreement"] < 0.5
    assert found["samples"] == len(rows)


def test_the_figures_of_the_maps_own_vote_stand_where_those_of_a_checkpoint_do(grown):
    _, model = grown
    hard = model.metrics["held_out"]["hard"]
    for key in ("accuracy", "macro_f1", "confusion", "classes"):
        assert model.metrics[key] == hard[key]
    assert "hard" in model.metrics["vote"]
    assert model.metrics["validation_samples"] == sum(map(sum, hard["confusion"]))
    assert model.metrics["split"].startswith("blocks of 0.5 degrees")


def test_no_held_out_sample_grows_the_forest(noisy, grown):
    plan, model = grown
    labels = noisy.labels.copy()
    labels[plan.split.validation] = (labels[plan.split.validation] + 1) % 3
    other = grow(replace(plan, samples=replace(noisy, labels=labels)), jobs=1)
    assert other.digest == model.digest
    assert other.metrics["accuracy"] != model.metrics["accuracy"]


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")  # a few, as the test says
def test_out_of_bag_scores_by_the_soft_vote_are_those_of_scikit_learn(noisy, grown):
    plan, model = grown
    rows = plan.split.training
    forest = scikit_learn(noisy, rows, oob_score=True)
    decision = np.nan_to_num(forest.oob_decision_function_)
    decided = decision.any(axis=1)
    found = model.metrics["out_of_bag"]
    assert (found["samples"], found["not_judged"]) == (decided.sum(), (~decided).sum())
    right = decision.argmax(axis=1)[decided] == noisy.labels[rows][decided]
    assert found["soft"]["accuracy"] == pytest.approx(right.mean())
    assert "optimistic" in found["caution"]


def test_all_samples_grow_the_delivered_forest_and_another_one_is_evaluated(noisy, grown):
    plan, part = grown
    whole = grow(replace(plan, options=replace(SMALL, all_samples=True)), jobs=1)
    features = features_of(noisy)
    forest = scikit_learn(noisy, np.arange(len(noisy)))
    np.testing.assert_allclose(whole.soft(features), forest.predict_proba(features), atol=1e-12)
    assert whole.metrics["held_out"] == part.metrics["held_out"]
    assert whole.metrics["judged"] == (
        f"a forest grown likewise on {len(plan.split.training)} samples without the held-out ones; this one "
        f"was grown on all {len(noisy)}"
    )
    assert "did not grow it" in part.metrics["judged"]
    assert whole.provenance["training_samples"] == len(noisy)
    assert part.provenance["training_samples"] == len(plan.split.training)
    bag = whole.metrics["out_of_bag"]
    assert bag["samples"] + bag["not_judged"] == len(noisy)


def test_the_file_says_what_the_forest_was_grown_on(noisy, grown, tmp_path):
    plan, model = grown
    save_forest(tmp_path / "forest.safetensors", model)
    loaded = load_forest(tmp_path / "forest.safetensors")
    facts = loaded.provenance
    assert (facts["data"], facts["year"], facts["season_start"]) == ("Made samples.", 2021, "2021-01-01")
    assert facts["samples"] == dict(
        zip(("corn", "soybeans", "rice"), np.bincount(noisy.labels).tolist(), strict=True)
    )
    assert facts["footprint"]["type"] == "Polygon"
    assert facts["split"]["held_out_blocks"] == plan.split.facts["held_out_blocks"]
    assert facts["options"] == asdict(SMALL)
    assert (facts["seed"], facts["class_weight"]) == (4, "balanced")
    assert facts["cropmap_version"]
    assert facts["scikit_learn_version"]
    assert loaded.metrics == json.loads(json.dumps(model.metrics))
    assert loaded.digest == model.digest
    assert loaded.classes[0] == CropClass(1, "corn", "#ffd300")


def test_a_seed_repeats_a_forest_on_any_number_of_cores(grown):
    plan, model = grown
    assert grow(plan, jobs=2).digest == model.digest
    other = replace(plan, options=replace(SMALL, seed=5))
    assert grow(other, jobs=1).digest != model.digest


@pytest.mark.parametrize("features", ["median", "harmonic"])
def test_a_forest_tells_the_made_crops_apart(made_samples, features):
    plan = plan_growing(made_samples(120), ForestOptions(features=features, trees=15), RULE)
    model = grow(plan, jobs=1)
    assert model.features == features
    assert model.metrics["accuracy"] > 0.9


def test_the_season_of_the_samples_themselves_is_kept(made_samples):
    samples = replace(made_samples(64), season=SUMMER.season(2019, "north"))
    model = grow(plan_growing(samples, replace(SMALL, trees=2), RULE), jobs=1)
    assert (model.provenance["year"], model.provenance["season_start"]) == (2019, "2019-01-01")


def test_limits_are_kept(made_samples):
    samples = made_samples(200)
    rng = np.random.default_rng(1)
    samples = replace(samples, labels=rng.integers(0, 3, 200))
    options = ForestOptions(trees=4, max_leaf_nodes=0, max_depth=3, min_leaf=10)
    plan = plan_growing(samples, options, RULE)
    model = grow(plan, jobs=1)
    assert max(tree.depth for tree in model.trees) == 3
    leaves = [(tree.feature < 0).sum() for tree in model.trees]
    assert max(leaves) <= 8
    few = grow(replace(plan, options=replace(options, max_leaf_nodes=3)), jobs=1)
    assert [(tree.feature < 0).sum() for tree in few.trees] == [3] * 4


def test_thresholds_stand_halfway_between_whole_numbers_and_part_them_as_before():
    rng = np.random.default_rng(3)
    for threshold in (-7.0, -6.5, -0.5, 0.0, 3.0, 4.5, 1234.0):
        tree = Tree([1, -1, -1], [2, -1, -1], [0, -1, -1], [threshold, -2, -2], np.eye(3)[[0, 1, 2]])
        moved = with_whole_limits(tree).threshold[0]
        assert moved % 1 == 0.5
        whole = rng.integers(-2000, 2000, 500)
        near = np.arange(np.floor(threshold) - 3, np.floor(threshold) + 4)
        for values in (whole, near):
            np.testing.assert_array_equal(values <= moved, values <= threshold)


def test_all_thresholds_of_a_grown_forest_are_halves(grown):
    for tree in grown[1].trees:
        inner = tree.feature >= 0
        np.testing.assert_array_equal(tree.threshold[inner] % 1, 0.5)


def test_a_class_with_one_sample_is_refused(made_samples):
    samples = made_samples(30)
    samples = samples.take((samples.labels != 2) | (np.arange(30) == 2))
    with pytest.raises(InputError, match=r"two samples or more.*rice has one"):
        plan_growing(samples, SMALL, RULE)


@pytest.mark.parametrize("kept", [[0, 1], [0]])
def test_a_class_without_samples_is_refused(made_samples, kept):
    samples = made_samples(60)
    samples = samples.take(np.isin(samples.labels, kept))
    with pytest.raises(InputError, match=r"two or more classes.*0 of rice.*--classes"):
        plan_growing(samples, SMALL, RULE)


def test_a_series_without_any_observation_in_the_window_is_refused(made_samples):
    samples = made_samples(60)
    series = samples.series.copy()
    series[7, :, 24:67] = -9999  # observations outside the window do not help
    with pytest.raises(InputError, match=r"1 of 60 have none, first sample 7"):
        plan_growing(replace(samples, series=series), SMALL, RULE)


def test_harmonic_features_without_their_bands_are_refused(made_samples):
    samples = made_samples(60)
    samples = replace(samples, series=samples.series[:, :2], recipe=Recipe.of(bands=("B2", "B3")))
    with pytest.raises(InputError, match="Harmonic features need the bands"):
        plan_growing(samples, ForestOptions(features="harmonic"), RULE)
    assert plan_growing(samples, SMALL, RULE).features.shape == (60, 86)


def test_a_year_that_is_none_is_refused_before_anything_else(made_samples):
    with pytest.raises(InputError, match="four digits"):
        plan_growing(made_samples(60), SMALL, RULE, year=99)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trees": 0}, "1 to 10,000 trees, got 0.*--trees"),
        ({"trees": 10_001}, "--trees"),
        ({"max_depth": 31}, "1 to 30 splits.*got 31.*--max-depth 30"),
        ({"max_depth": 0}, "--max-depth"),
        ({"max_leaf_nodes": 1}, "2 leaves or more.*--max-leaf-nodes"),
        ({"max_leaf_nodes": -1}, "--max-leaf-nodes"),
        ({"min_leaf": 0}, "--min-leaf"),
        ({"seed": -1}, "from 0 to 4294967295"),
        ({"features": "raw"}, "median, harmonic"),
    ],
)
def test_options_out_of_range_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        ForestOptions(**wrong)


def test_the_depth_limit_is_that_of_the_trees_text():
    from gee_pipeline.earthengine.forest import tree_text
    from training.forest import options

    assert options.DEEPEST == tree_text.DEEPEST


def test_arkansas_is_mapped_well_under_both_votes(arkansas):
    from training.samples.samples import read_samples

    samples = read_samples([arkansas], ("corn", "soybeans", "rice", "cotton", "other"))
    samples = samples.take(np.arange(0, len(samples), 5))
    plan = plan_growing(samples, ForestOptions(trees=10), SplitRule(block_size=0.1))
    held_out = grow(plan, jobs=1).metrics["held_out"]
    assert min(held_out[vote]["accuracy"] for vote in ("hard", "soft")) > 0.88
