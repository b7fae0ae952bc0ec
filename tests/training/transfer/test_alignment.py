import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from gee_pipeline.errors import InputError
from training.transfer.alignment import RULES, align, aligned_scores

SEVEN = ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other")
FRANCE = ("corn", "soybeans", "rice", "wheat", "other")


def evaluated(labels, predicted, target_names, model_names, alignment):
    """Scores of lists of names, through the counts that a benchmark keeps."""
    counts = np.zeros((len(target_names), len(model_names)), int)
    for label, guess in zip(labels, predicted, strict=True):
        counts[target_names.index(label), model_names.index(guess)] += 1
    return aligned_scores(counts, target_names, model_names, alignment)


def test_predictions_outside_the_classes_of_a_binary_map_count_as_other():
    names = ("sugarcane", "cotton", "other")
    alignment = align("AUS", names, SEVEN)
    labels = ["sugarcane", "cotton", "other", "other", "cotton", "other"]
    predicted = ["sugarcane", "soybeans", "wheat", "cotton", "cotton", "other"]
    as_in_the_paper = [
        "sugarcane",
        "other",
        "other",
        "cotton",
        "cotton",
        "other",
    ]  # section 4.1, its own example
    scores = evaluated(labels, predicted, names, SEVEN, alignment)
    assert scores.accuracy == pytest.approx(accuracy_score(labels, as_in_the_paper))
    assert scores.macro_f1 == pytest.approx(f1_score(labels, as_in_the_paper, average="macro"))
    assert alignment.names == names


@pytest.mark.parametrize(
    ("target", "own"),
    [("ARG", ("soybeans", "other")), ("AUS", ("sugarcane", "cotton", "other")), ("CHN", ("rice", "other"))],
)
def test_the_rules_are_those_of_the_paper(target, own):
    assert RULES[target].names == own
    assert set(align(target, own, SEVEN).prediction_to.values()) == {*own}


def test_classes_that_the_source_lacks_are_left_out_and_not_called_other():
    alignment = align("USA", SEVEN, FRANCE)  # section 4.1: sugarcane and cotton are removed
    assert alignment.left_out == ("sugarcane", "cotton")
    labels = ["corn", "cotton", "wheat", "other", "sugarcane"]
    predicted = ["corn", "other", "corn", "other", "rice"]
    scores = evaluated(labels, predicted, SEVEN, FRANCE, alignment)
    kept, guessed = ["corn", "wheat", "other"], ["corn", "corn", "other"]
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.macro_f1 == pytest.approx(f1_score(kept, guessed, average="macro"))
    assert "sugarcane, cotton left out" in alignment.reason


def test_a_class_that_only_the_source_has_is_an_error_but_no_class_of_the_mean():
    names = ("corn", "wheat", "other")  # Belgium
    labels, predicted = ["corn", "corn", "wheat", "other"], ["corn", "soybeans", "wheat", "other"]
    scores = evaluated(labels, predicted, names, FRANCE, align("BEL", names, FRANCE))
    assert scores.accuracy == 0.75
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predicted, labels=[*names], average="macro"))


def test_classes_of_a_target_can_be_given():
    alignment = align("CAL", ("corn", "rice", "other"), ("corn", "rice", "other"), own=("rice", "other"))
    scores = evaluated(
        ["corn", "rice", "other"],
        ["other", "rice", "corn"],
        ("corn", "rice", "other"),
        ("corn", "rice", "other"),
        alignment,
    )
    assert scores.accuracy == 1
    assert alignment.names == ("rice", "other")


def test_given_classes_win_over_the_rule():
    own = ("corn", "rice", "other")
    assert set(align("CHN", ("rice", "other"), SEVEN, own=own).prediction_to.values()) == {*own}


def test_classes_merged_in_the_source_are_merged_in_the_target():
    alignment = align("FRA", FRANCE, ("rice", "other"), merged=True)
    assert alignment.label_to == {name: "rice" if name == "rice" else "other" for name in FRANCE}


@pytest.mark.parametrize(
    ("target", "target_names", "model_names"),
    [
        ("FRA", ("corn", "wheat"), ("rice", "cotton")),  # none in common
        ("FRA", ("corn", "other"), ("rice", "other")),  # one class is no classification
        ("AUS", ("sugarcane", "cotton", "other"), FRANCE),  # only other is left
    ],
)
def test_too_few_common_classes_are_refused(target, target_names, model_names):
    with pytest.raises(InputError, match="two or more classes that source and target share") as error:
        align(target, target_names, model_names)
    assert ", ".join(model_names) in str(error.value)


def test_given_classes_that_the_model_does_not_know_are_refused():
    with pytest.raises(InputError, match="--target-classes CAL has wheat"):
        align("CAL", ("rice", "other"), ("rice", "other"), own=("rice", "wheat", "other"))


def test_random_predictions_score_as_scikit_learn_says():
    rng = np.random.default_rng(3)
    labels, predicted = rng.choice(SEVEN, 500), rng.choice(SEVEN, 500)
    scores = evaluated(labels, predicted, SEVEN, SEVEN, align("USA", SEVEN, SEVEN))
    assert scores.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))


def test_what_is_labelled_is_told_apart_where_the_paper_would_merge_it():
    labelled = ("corn", "soybeans", "rice", "other")
    alignment = align("CHN", labelled, SEVEN, rules="labels")
    labels = ["corn", "soybeans", "rice", "other", "corn"]
    predicted = ["corn", "rice", "rice", "wheat", "soybeans"]
    scores = evaluated(labels, predicted, labelled, SEVEN, alignment)
    as_told = ["corn", "rice", "rice", "other", "soybeans"]  # wheat is not labelled there
    assert scores.accuracy == pytest.approx(accuracy_score(labels, as_told))
    assert scores.macro_f1 == pytest.approx(f1_score(labels, as_told, average="macro"))
    assert not alignment.as_published
    assert "corn, soybeans labelled there" in alignment.reason


def test_labels_of_the_papers_classes_alone_are_evaluated_as_in_the_paper():
    for target, rule in RULES.items():
        assert align(target, rule.names, SEVEN, rules="labels") == align(target, rule.names, SEVEN)
        assert align(target, rule.names, SEVEN).as_published


def test_the_rules_of_the_published_code_can_be_asked_for_by_name():
    china = align("CHN", ("rice", "other"), SEVEN, rules="code")
    assert china.prediction_to["soybeans"] == "soybeans"
    assert china.prediction_to["wheat"] == "other"
    argentina = align("ARG", ("soybeans", "other"), SEVEN, rules="code")
    assert {name for name, to in argentina.prediction_to.items() if to == "other"} == {"wheat", "other"}
    assert not china.as_published
    assert not argentina.as_published


def test_given_classes_that_are_the_papers_keep_the_published_number():
    assert align("CHN", SEVEN, SEVEN, own=("rice", "other")).as_published
    assert not align("CHN", SEVEN, SEVEN, own=("corn", "rice", "other")).as_published
    assert align("BEL", ("corn", "wheat", "other"), SEVEN).as_published
