"""Students by size, taught by a network that is made here."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gee_pipeline.errors import InputError, MismatchError
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.model_card import describe
from training.distillation.distill import distill, held_out
from training.distillation.options import DistillOptions
from training.distillation.teacher import Teacher
from training.fit.options import SplitRule, TrainingOptions
from training.fit.split import in_blocks
from training.fit.train import train_checkpoint
from training.scores.applicability import with_applicability

QUICK = DistillOptions(channels=(8,), series=200, epochs=2, batch_size=32, device="cpu", learning_rate=1e-2)


@pytest.fixture(scope="module")
def samples(made_samples):
    return made_samples(96)


@pytest.fixture(scope="module")
def checkpoint(samples):
    options = TrainingOptions(preset="small-8", epochs=4, batch_size=16, learning_rate=1e-2, device="cpu")
    return train_checkpoint(samples, options, SplitRule(), year=2021)


@pytest.fixture(scope="module")
def teacher(checkpoint):
    return Teacher.of([("large", checkpoint)], "cpu")


@pytest.fixture(scope="module")
def trial(teacher, samples):
    return distill(teacher, samples, QUICK)[-1]


def test_a_student_gives_the_classes_of_its_teacher(trial):
    here, hidden = trial.comparisons
    assert here.name == "held out"
    assert hidden.name == "held out, half of the observations hidden"
    assert here.agreement > 0.8  # three classes: chance is a third
    assert here.samples == trial.checkpoint.metrics["validation_samples"]


def test_the_card_names_teacher_tolerance_and_figures(trial, checkpoint, tmp_path):
    save_checkpoint(tmp_path / "small.safetensors", trial.checkpoint)
    student = load_checkpoint(tmp_path / "small.safetensors")
    assert student.config.preset == "small-8"
    assert student.classes == checkpoint.classes
    assert student.normalisation == checkpoint.normalisation
    assert student.provenance["data"] == "Made samples."
    facts = student.provenance["distilled"]
    assert facts["teachers"] == [{"name": "large", "digest": checkpoint.digest, "network": "CropNet small-8"}]
    assert (facts["tolerance"], facts["agreement"], facts["series"]) == (0.1, 99.0, 200)
    card = dict(describe(student))
    assert "large (CropNet small-8" in card["Distilled from"]
    one = trial.comparisons[0]
    assert f"{one.accuracy:.2%}" in card["  held out"]
    assert f"{one.agreement:.2%} of {one.samples}" in card["  held out"]


def test_held_out_samples_teach_nothing(teacher, samples, checkpoint):
    split = held_out(teacher, samples, None, 1)
    inside = in_blocks(samples, checkpoint.provenance["split"])
    assert (np.flatnonzero(inside) == split.validation).all()
    assert not set(split.training) & set(split.validation)
    poisoned = samples.series.copy()
    poisoned[split.validation] = np.random.default_rng(9).integers(0, 9000, poisoned[split.validation].shape)
    other = replace(samples, series=poisoned)
    first, second = (distill(teacher, some, QUICK)[-1].checkpoint.weights for some in (samples, other))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_labels_of_the_training_part_teach_nothing(teacher, samples, trial):
    split = held_out(teacher, samples, None, 1)
    labels = samples.labels.copy()
    labels[split.training] = 0
    other = distill(teacher, replace(samples, labels=labels), QUICK)[-1].checkpoint
    assert all(torch.equal(other.weights[name], tensor) for name, tensor in trial.checkpoint.weights.items())


def test_a_split_of_the_users_own_wins(teacher, samples):
    split = held_out(teacher, samples, SplitRule(rule="random", share=0.25), 1)
    assert len(split.validation) == 24
    assert split.facts["rule"] == "random"


def test_samples_may_lack_a_class_of_the_teacher(teacher, samples):
    split = held_out(teacher, samples.take(samples.labels != 1), SplitRule(rule="random"), 1)
    assert len(split.training) + len(split.validation) == 64


def test_sizes_are_tried_until_one_is_good_enough(teacher, samples):
    easy = replace(QUICK, channels=(8, 16), tolerance=100, agreement=0)
    assert [one.channels for one in distill(teacher, samples, easy)] == [8]
    hard = replace(QUICK, channels=(8, 16), epochs=1, learning_rate=1e-6, agreement=100)
    trials = distill(teacher, samples, hard)
    assert [one.channels for one in trials] == [8, 16]
    assert not trials[-1].passed
    assert trials[-1].checkpoint.metrics["within_tolerance"] is False


def test_unlabelled_series_are_learned_from(teacher, samples, trial):
    more = distill(teacher, samples, QUICK, unlabelled=[samples.series[:5]])[-1]
    assert more.checkpoint.provenance["distilled"]["series"] == 200
    weights = more.checkpoint.weights
    assert not all(torch.equal(weights[name], tensor) for name, tensor in trial.checkpoint.weights.items())


def test_a_second_region_is_compared_by_the_teachers_classes(teacher, samples):
    elsewhere = replace(samples, class_names=("corn", "barley", "rice"))
    comparisons = distill(teacher, samples, QUICK, regions=[("elsewhere", elsewhere)])[-1].comparisons
    assert [one.name for one in comparisons[2:]] == [
        "elsewhere",
        "elsewhere, half of the observations hidden",
    ]
    assert comparisons[2].samples == 64  # barley has no place among corn, soybeans and rice


def test_what_does_not_fit_is_refused(teacher, samples, checkpoint):
    strange = replace(samples, class_names=("barley", "oats", "rye"))
    with pytest.raises(InputError, match="corn, soybeans, rice"):
        distill(teacher, strange, QUICK)
    monthly = replace(samples, recipe=replace(samples.recipe, min_clear_bins=3))
    with pytest.raises(MismatchError, match="min_clear_bins"):
        distill(teacher, monthly, QUICK)
    with pytest.raises(InputError, match="twice"):
        Teacher.of([("a", checkpoint), ("b", checkpoint)], "cpu")
    fewer = train_checkpoint(
        replace(samples.take(samples.labels < 2), class_names=("corn", "soybeans")),
        TrainingOptions(preset="small-8", epochs=1, device="cpu"),
        SplitRule(rule="random"),
    )
    with pytest.raises(MismatchError, match="same classes"):
        Teacher.of([("a", checkpoint), ("b", fewer)], "cpu")


def test_an_ensemble_answers_by_the_mean_of_its_logits(checkpoint, samples):
    head = {name: 1.5 * checkpoint.weights[name] for name in ("head.weight", "head.bias")}
    other = replace(checkpoint, weights=checkpoint.weights | head)
    single = [Teacher.of([("one", one)], "cpu").logits(samples.series) for one in (checkpoint, other)]
    both = Teacher.of([("a", checkpoint), ("b", other)], "cpu")
    assert np.allclose(both.logits(samples.series), (single[0] + single[1]) / 2, atol=1e-5)
    assert [one["name"] for one in both.facts] == ["a", "b"]


def test_a_stopped_distillation_goes_on_to_the_same_student(teacher, samples, trial, tmp_path, monkeypatch):
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)

    def stop(step):
        if step.last and step.last.done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(teacher, samples, QUICK, report=stop, folder=tmp_path)
    seen = []
    again = distill(teacher, samples, QUICK, report=seen.append, folder=tmp_path)[-1]
    assert min(step.done for step in seen if step.channels) >= 8
    assert all(
        torch.equal(again.checkpoint.weights[name], tensor)
        for name, tensor in trial.checkpoint.weights.items()
    )
    with pytest.raises(MismatchError, match="softness"):
        distill(teacher, samples, replace(QUICK, softness=3.0), folder=tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": (7,)},
        {"channels": ()},
        {"tolerance": -1.0},
        {"agreement": 101.0},
        {"series": 0},
        {"softness": 0.0},
        {"epochs": 0},
    ],
)
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match="got"):
        DistillOptions(**wrong)


def test_a_student_says_how_its_teacher_was_scaled(checkpoint, samples, trial):
    options = {**checkpoint.provenance["options"], "normalisation": "one"}
    scaled = replace(checkpoint, provenance={**checkpoint.provenance, "options": options})
    student = distill(Teacher.of([("large", scaled)], "cpu"), samples, QUICK)[-1].checkpoint
    assert student.band_statistics is None
    assert trial.checkpoint.band_statistics == checkpoint.normalisation


def test_a_student_has_an_area_of_applicability_of_its_own(teacher, samples, monkeypatch):
    monkeypatch.setattr("training.scores.applicability.FEWEST", 5)
    student = distill(teacher, samples, QUICK)[-1].checkpoint
    split = held_out(teacher, samples, None, QUICK.seed)
    parts = samples.take(split.training), samples.take(split.validation)
    expected = with_applicability(student, *parts, device="cpu", seed=QUICK.seed).applicability
    assert expected is not None
    assert student.applicability == expected
