"""The step of an adaptation: its teacher, its parts, and that a stopped training continues unchanged."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.mlp import MLP
from inference.models.networks.normalisation import Normalisation
from training.adaptation.adaptation import Adaptation, risen
from training.adaptation.gates import NOT_ACCEPTED
from training.adaptation.options import GHCA, METHODS, AdaptationOptions
from training.fit.augment import Augmentation
from training.fit.batches import BatchMaker
from training.fit.loop import Fit, fit
from training.fit.options import TrainingOptions
from training.fit.resume_state import ResumeState
from training.fit.training_step import Batch, Forward, Supervised, follow
from training.samples.samples import Samples

TINY = CropNetConfig("tiny", (8, 8), (2, 1), (0.0, 0.0), 10, 3)
SCALED = Normalisation((0.2,) * 10, (0.1,) * 10)
OPTIONS = TrainingOptions(batch_size=16, learning_rate=0.01, augmentation="none", device="cpu")
EASY = replace(GHCA, confidence=0.4, certainty=1.0, stability=2, rounds=4, views=2, warm_up=0.25, levels=2)


@pytest.fixture
def sides(made_samples: Any) -> tuple[Samples, Samples, Samples]:
    samples = made_samples(120)
    return samples.take(np.arange(60)), samples.take(np.arange(60, 90)), samples.take(np.arange(90, 120))


def method(sides: Any, options: AdaptationOptions = EASY) -> Adaptation:
    return Adaptation(sides[0], sides[1], sides[2].series, options, "balanced")


def trained(sides: Any, step: Any, epochs: int = 4, **more: Any) -> Fit:
    return fit(
        TINY,
        sides[0],
        sides[1],
        replace(OPTIONS, epochs=epochs),
        recipe=Recipe(),
        normalisation=SCALED,
        augmentation=Augmentation("paper"),
        method=step,
        choose="last",
        **more,
    )


def test_a_teacher_is_the_exact_moving_average_and_takes_buffers_as_they_are() -> None:
    """After n steps of a student that stands still: s + r^n (t - s)."""
    teacher, student = CropNet(TINY).double(), CropNet(TINY).double()
    student.blocks[0][1].running_mean += 3
    first = copy.deepcopy(teacher)
    for _ in range(5):
        follow(teacher, student, keep=0.9)
    triples = zip(teacher.parameters(), first.parameters(), student.parameters(), strict=True)
    for now, then, goal in triples:
        torch.testing.assert_close(now, goal + 0.9**5 * (then - goal), rtol=1e-12, atol=1e-12)
    for now, goal in zip(teacher.buffers(), student.buffers(), strict=True):
        assert torch.equal(now, goal)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_the_source_is_still_learned(name: str, sides: Any) -> None:
    options = replace(
        METHODS[name], confidence=0.4, certainty=1.0, stability=1, rounds=4, views=2, warm_up=0.8, levels=2
    )
    step = method(sides, options)
    found = trained(sides, step, epochs=20)
    assert found.best_epoch == 20
    assert found.scores.accuracy > 0.6
    assert len(step.log) == (0 if name == "mmd" else 4)
    for one in step.log:
        refused = one.unsure + one.uncertain + one.unstable + one.surplus
        assert refused + sum(one.accepted) == one.series == 30


def test_the_warm_up_is_the_training_without_a_target(sides: Any) -> None:
    """All but the last step are of the warm-up, so that only that one may differ."""
    own = trained(sides, method(sides, replace(METHODS["mmd"], warm_up=0.9, levels=2)))
    plain = trained(sides, Supervised(sides[0], "balanced"))
    assert own.history[:-1] == plain.history[:-1]
    assert own.history[-1] != plain.history[-1]


def test_labels_come_from_the_teacher_and_never_from_the_target(sides: Any) -> None:
    """Whatever the labels of the target are, nothing of them reaches the step."""
    step = method(sides)
    assert not hasattr(step.target, "labels")
    trained(sides, step)
    accepted = step.state()["labels"].numpy()
    assert (accepted != NOT_ACCEPTED).sum() == sum(step.log[-1].accepted) > 0


class Stopped(Exception):
    """The process ends here."""


@pytest.mark.parametrize("name", ["ghca", "prototypes"])
def test_stopped_and_resumed_it_is_the_same_to_the_bit(
    name: str, sides: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(
        METHODS[name], confidence=0.4, certainty=1.0, stability=2, rounds=4, views=2, warm_up=0.25, levels=2
    )
    whole_step = method(sides, options)
    whole = trained(sides, whole_step)
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
    state = ResumeState(tmp_path / "m.progress", {"epochs": 4})

    def stop(progress: Any) -> None:
        if progress.done == 11 and progress.start == 0:  # the second round is over, not the third
            raise Stopped

    with pytest.raises(Stopped):
        trained(sides, method(sides, options), progress=stop, resume_state=state)
    step = method(sides, options)
    found = trained(sides, step, resume_state=state)
    assert all(torch.equal(found.weights[key], whole.weights[key]) for key in whole.weights)
    assert step.log == whole_step.log


def test_apart_each_domain_is_normalised_by_itself(sides: Any) -> None:
    """Features of the target do not depend on the source then."""
    network = CropNet(TINY).train()
    maker = BatchMaker(Recipe(), SCALED, torch.device("cpu"))
    inputs = [maker.inputs(one.series[:16]) for one in sides[::2]]
    found = {}
    for batches in ("joint", "apart"):
        step = method(sides, replace(EASY, batches=batches))
        step.begin(network, maker)
        parts = [step._levels(Forward(network), [source, inputs[1]]) for source in (inputs[0], inputs[0] * 3)]
        found[batches] = torch.equal(parts[0][1][1], parts[1][1][1])
    assert found == {"joint": False, "apart": True}


def test_the_loss_is_the_weighted_sum_of_its_parts(sides: Any) -> None:
    """Twice a weight adds the part once more; the ramp has ended."""

    def loss(**weights: float) -> float:
        torch.manual_seed(1)
        network = CropNet(TINY).eval()
        maker = BatchMaker(Recipe(), SCALED, torch.device("cpu"))
        step = method(sides, replace(EASY, **weights))
        step.begin(network, maker)
        step._labels = np.arange(30) % 3
        rng = np.random.default_rng(1)
        rows = torch.arange(16)
        batch = Batch(
            maker.inputs(sides[0].series[:16]), torch.from_numpy(sides[0].labels[:16]), rows, 9, 12, rng
        )
        source, aligned = step._parts(Forward(network), batch)
        return float((source + risen(1) * aligned).detach())

    none = {"discrepancy_weight": 0.0, "pseudo_weight": 0.0, "contrast_weight": 0.0}
    least = loss(**{**none, "contrast_weight": 1e-12})  # draws are the same throughout
    parts = {name: loss(**{**none, name: 1.0}) - least for name in none}
    whole = loss(discrepancy_weight=0.5, pseudo_weight=2.0, contrast_weight=0.1)
    expected = least + 0.5 * parts["discrepancy_weight"] + 2 * parts["pseudo_weight"]
    assert whole == pytest.approx(expected + 0.1 * parts["contrast_weight"], rel=1e-5)
    assert parts["pseudo_weight"] > 0
    assert parts["contrast_weight"] > 0


def test_weights_rise_from_nothing_to_all() -> None:
    found = [risen(share) for share in (0, 0.1, 0.5, 1, 2)]
    assert found[0] == 0
    assert found[3:] == [1, 1]
    assert found == sorted(found)


def test_a_teacher_remembers_a_tenth_of_the_steps() -> None:
    assert GHCA.kept_in(200) == pytest.approx(1 - 10 / 200)
    assert GHCA.kept_in(100_000) == 0.999
    assert replace(GHCA, keep=0.5).kept_in(200) == 0.5
    assert GHCA.kept_in(3) == 0


@pytest.mark.parametrize(
    "given",
    [
        {"discrepancy_weight": 0, "pseudo_weight": 0, "contrast_weight": 0},
        {"pseudo_weight": -1},
        {"discrepancy": "local"},
        {"batches": "both"},
        {"warm_up": 1.0},
        {"keep": 1.0},
        {"confidence": 1.1},
        {"views": 0},
        {"stability": 9},
        {"temperature": 0},
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(GHCA, **given)


def test_a_network_without_levels_is_refused(sides: Any) -> None:
    with pytest.raises(InputError, match="MLP does not show"):
        method(sides).begin(MLP(430, 3), BatchMaker(Recipe(), SCALED, torch.device("cpu")))


def test_one_series_cannot_be_adapted_to(sides: Any) -> None:
    with pytest.raises(InputError, match="two series"):
        Adaptation(sides[0], sides[1], sides[2].series[:1], GHCA, "balanced")
