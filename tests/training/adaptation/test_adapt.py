"""A checkpoint that says what it was adapted to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gee_pipeline.errors import MismatchError
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.model_card import describe
from inference.models.predictor import Predictor
from training.adaptation.adapt import NO_LABELS, Target, adapt
from training.adaptation.options import METHODS
from training.adaptation.time_shift import moved
from training.fit.options import SplitRule, TrainingOptions
from training.samples.samples import Samples

torch.set_num_threads(1)

QUICK = TrainingOptions(
    preset="small-8", epochs=4, batch_size=16, learning_rate=1e-2, augmentation="paper", device="cpu"
)
EASY = replace(METHODS["teacher"], confidence=0.4, certainty=1.0, stability=1, rounds=3, views=2)


@pytest.fixture(scope="module")
def sides(made_samples: Any) -> tuple[Samples, Samples]:
    samples = made_samples(160)
    return samples.take(np.arange(100)), samples.take(np.arange(100, 160))


def run(sides: tuple[Samples, Samples], **more: Any) -> Any:
    target = [Target("here", sides[1].series[:40]), Target("there", sides[1].series[40:])]
    return adapt(sides[0], target, QUICK, EASY, SplitRule(), method="teacher", **more)


def in_window(samples: Samples) -> Any:
    window = samples.recipe.window
    return samples.series[:, :, window.start : window.stop]


def test_the_file_says_what_it_was_adapted_to_and_that_no_label_chose(
    sides: tuple[Samples, Samples], tmp_path: Path
) -> None:
    found = run(sides)
    save_checkpoint(tmp_path / "m.safetensors", found.checkpoint)
    read = load_checkpoint(tmp_path / "m.safetensors")
    facts = read.provenance["adapted"]
    assert [(one["name"], one["series"]) for one in facts["target"]] == [("here", 40), ("there", 20)]
    assert facts["method"] == "teacher"
    assert facts["adaptation"]["confidence"] == 0.4
    assert facts["caution"] == NO_LABELS
    last = facts["rounds"][-1]
    assert read.metrics["target"]["accepted"] == sum(last["accepted"]) / last["series"] == found.accepted
    assert read.provenance["best_epoch"] == QUICK.epochs
    assert read.metrics["chosen_by"] == "nothing: the last one is kept"
    assert "judged" not in read.metrics
    card = dict(describe(read))
    assert "40 series of here" in card["Adapted to"]
    assert "No label of the target" in card["Adapted to"]
    assert "Judged there" not in card


def test_the_figures_of_the_target_are_those_of_the_written_model(sides: tuple[Samples, Samples]) -> None:
    found = run(sides)
    given = Predictor(found.checkpoint, "cpu").probabilities(in_window(sides[1]))
    assert found.target.confidence == pytest.approx(given.max(axis=1).mean(), rel=1e-5)
    assert found.target.shares["corn"] == pytest.approx((given.argmax(axis=1) == 0).mean())


def test_labels_to_judge_by_change_nothing(sides: tuple[Samples, Samples]) -> None:
    plain, judged = run(sides), run(sides, judge=sides[1])
    pairs = [(plain.checkpoint.weights[name], one) for name, one in judged.checkpoint.weights.items()]
    assert all(torch.equal(*pair) for pair in pairs)
    assert plain.target == judged.target
    given = Predictor(judged.checkpoint, "cpu").logits(in_window(sides[1]))
    right = (given.argmax(axis=1) == sides[1].labels).mean()
    assert judged.judged.accuracy == pytest.approx(right)
    assert "Judged there" in dict(describe(judged.checkpoint))


def test_samples_to_judge_by_have_the_models_recipe(sides: tuple[Samples, Samples]) -> None:
    other = replace(sides[1], recipe=replace(sides[1].recipe, min_clear_bins=3))
    with pytest.raises(MismatchError, match="min_clear_bins"):
        run(sides, judge=other)


def test_a_folder_of_another_target_is_refused(sides: tuple[Samples, Samples], tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(step: Any) -> None:
        if step.last:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
        with pytest.raises(Stopped):
            run(sides, folder=tmp_path, progress=stop)
    with pytest.raises(MismatchError, match="target"):
        adapt(sides[0], [Target("here", sides[1].series)], QUICK, EASY, SplitRule(), folder=tmp_path)
    whole, continued = run(sides), run(sides, folder=tmp_path)
    assert whole.checkpoint.digest == continued.checkpoint.digest
    assert whole.checkpoint.provenance["adapted"] == continued.checkpoint.provenance["adapted"]


def test_a_later_season_is_found_and_the_source_moved(sides: tuple[Samples, Samples]) -> None:
    late = replace(sides[1], series=moved(sides[1].series, 3))
    quick = replace(QUICK, epochs=40)
    target = [Target("here", late.series)]
    found = adapt(sides[0], target, quick, EASY, SplitRule(), season_shift=20, judge=late)
    assert found.shift is not None
    assert found.shift.bins in (3, 4)  # to a bin: the humps are wide
    assert found.checkpoint.provenance["adapted"]["season_shift"]["days"] == found.shift.days
    assert dict(describe(found.checkpoint))["Season there"] == f"+{found.shift.days:g} days later"
    assert found.judged is not None
    assert found.judged.accuracy > 0.9
