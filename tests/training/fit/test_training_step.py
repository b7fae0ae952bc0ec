"""A method with two sets of samples and a teacher needs no change of the loop."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import CropNetConfig
from inference.models.networks.normalisation import Normalisation
from training.fit.batches import BatchMaker
from training.fit.loop import Fit, fit
from training.fit.options import TrainingOptions
from training.fit.resume_state import ResumeState
from training.fit.training_step import Batch, Forward, Supervised, follow
from training.samples.samples import Samples

TINY = CropNetConfig("tiny", (8,), (2,), (0.0,), 10, 3)
SCALED = Normalisation((0.2,) * 10, (0.1,) * 10)
OPTIONS = TrainingOptions(epochs=3, batch_size=16, learning_rate=0.01, augmentation="none", device="cpu")


@dataclass
class MeanTeacher:
    """A toy: labelled samples of one region, unlabelled ones of another, and a teacher that follows."""

    training: Samples
    unlabelled: Samples
    teacher: nn.Module | None = None
    drawn: int = 0

    def begin(self, network: nn.Module, maker: BatchMaker) -> None:
        self.supervised = Supervised(self.training, "balanced")
        self.supervised.begin(network, maker)
        self.teacher, self.maker = copy.deepcopy(network), maker

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        chosen = batch.rng.choice(len(self.unlabelled), 8, replace=False)
        inputs = self.maker.inputs(self.unlabelled.series[chosen])
        assert self.teacher is not None
        self.drawn += len(chosen)
        with torch.no_grad():
            wanted = self.teacher(inputs).softmax(dim=1)
        other = functional.mse_loss(forward(inputs).softmax(dim=1), wanted)
        return self.supervised.loss(forward, batch) + 0.5 * other

    def finish(self, network: nn.Module) -> None:
        assert self.teacher is not None
        follow(self.teacher, network, keep=0.9)

    def state(self) -> dict[str, Any]:
        assert self.teacher is not None
        return {"teacher": self.teacher.state_dict(), "drawn": self.drawn}

    def resume(self, state: dict[str, Any]) -> None:
        assert self.teacher is not None
        self.teacher.load_state_dict(state["teacher"])
        self.drawn = int(state["drawn"])


@pytest.fixture
def sides(made_samples: Any) -> tuple[Samples, Samples, Samples]:
    samples = made_samples(120)
    return samples.take(np.arange(60)), samples.take(np.arange(60, 90)), samples.take(np.arange(90, 120))


def trained(sides: tuple[Samples, Samples, Samples], method: Any, **more: Any) -> Fit:
    training, validation, _ = sides
    return fit(
        TINY, training, validation, OPTIONS, recipe=Recipe(), normalisation=SCALED, method=method, **more
    )


def test_a_method_with_two_sets_and_a_teacher_trains(sides: Any) -> None:
    method = MeanTeacher(sides[0], sides[2])
    found = trained(sides, method)
    plain = trained(sides, Supervised(sides[0], "balanced"))
    assert method.drawn == 3 * 4 * 8  # three epochs of four batches, eight samples each
    assert any(not torch.equal(found.weights[name], plain.weights[name]) for name in plain.weights)
    assert found.scores.accuracy > 0.5


class Stopped(Exception):
    """The process ends here."""


def test_stopped_and_resumed_it_is_the_same_to_the_bit(
    sides: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_method = MeanTeacher(sides[0], sides[2])
    whole = trained(sides, whole_method)
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
    state = ResumeState(tmp_path / "m.progress", {"epochs": 3})

    def stop(progress: Any) -> None:
        if progress.done == 7 and progress.start == 0:
            raise Stopped

    with pytest.raises(Stopped):
        trained(sides, MeanTeacher(sides[0], sides[2]), progress=stop, resume_state=state)
    method = MeanTeacher(sides[0], sides[2])
    found = trained(sides, method, resume_state=state)
    assert all(torch.equal(found.weights[name], whole.weights[name]) for name in whole.weights)
    assert found.history == whole.history
    assert method.drawn == whole_method.drawn
    assert method.teacher is not None
    assert whole_method.teacher is not None
    for mine, theirs in zip(method.teacher.parameters(), whole_method.teacher.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_teacher_is_the_moving_average_of_its_student() -> None:
    teacher, student = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        teacher.weight.fill_(1.0)
        student.weight.fill_(0.0)
    for _ in range(3):
        follow(teacher, student, keep=0.9)
    np.testing.assert_allclose(teacher.weight.detach().numpy(), 0.9**3, rtol=1e-6)
