"""What a student learns from: series and the teacher's answers to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gee_pipeline.observations import least_observed
from gee_pipeline.recipe import Recipe
from training.distillation.teacher import Teacher
from training.fit.augment import Transform, apply, transforms
from training.fit.batches import BatchMaker
from training.fit.options import TrainingOptions
from training.fit.training_step import Batch, Forward
from training.samples.samples import Samples


@dataclass(frozen=True)
class Lessons:
    """Series with answers."""

    samples: Samples
    """The series; their labels are the teacher's likeliest classes."""
    logits: NDArray[np.float32]
    """`(series, class)`, the teacher's answers."""


def lessons(
    teacher: Teacher,
    series: NDArray[np.int16],
    wanted: int,
    seed: int,
    report: Callable[[int, int], None] = lambda done, planned: None,
) -> Lessons:
    """The teacher's answers to series and to copies that the augmentation `field` changed.

    Args:
        teacher: Who answers.
        series: `(series, band, bin)` of whole seasons, gaps nodata.
        wanted: Series in all: each occurs once as it is and at least once changed.
        seed: Chooses the changes.
        report: Receives the answers so far and those planned.
    """
    steps = transforms(TrainingOptions(), teacher.recipe)
    bank = with_copies(series, wanted, steps, np.random.default_rng(seed))
    bank = bank[_answerable(bank, teacher.recipe)]
    logits = teacher.logits(bank, lambda done: report(done, len(bank)))
    answers = logits.argmax(axis=1).astype(np.int64)
    samples = Samples(bank, answers, teacher.class_names, recipe=teacher.recipe, pseudo=True)
    return Lessons(samples, logits)


def with_copies(
    series: NDArray[np.int16], wanted: int, steps: tuple[Transform, ...], rng: np.random.Generator
) -> NDArray[np.int16]:
    """Series as they are, then changed copies: at least one of each, and more until there are enough.

    Args:
        series: `(series, band, bin)`, gaps nodata, at least one.
        wanted: Series in all; there are `2 * len(series)` where that is more.
        steps: How a copy is changed.
        rng: Where the changes come from.
    """
    total = max(wanted, 2 * len(series))
    out = np.empty((total, *series.shape[1:]), np.int16)
    out[: len(series)] = series
    for start in range(len(series), total, len(series)):
        some = series[: total - start]
        out[start : start + len(some)] = apply(steps, some, rng)
    return out


def _answerable(series: NDArray[np.int16], recipe: Recipe) -> NDArray[np.bool_]:
    """`(series,)`: whether every sensor has an observation in the window."""
    window = recipe.window
    return least_observed(series[:, :, window.start : window.stop], recipe.group_sizes) > 0


class Distillation:
    """A training step: the divergence of the student's softened answers from the teacher's.

    Hinton et al. (2015), with the true labels left out: the gradient is scaled by the square of the
    temperature, as there.
    """

    def __init__(self, logits: NDArray[np.float32], softness: float) -> None:
        """Soften the answers.

        Args:
            logits: `(series, class)`, the teacher's, in the order of the training samples.
            softness: Temperature of both.
        """
        self._softness = softness
        self._answers = functional.log_softmax(torch.from_numpy(logits) / softness, dim=1)

    def begin(self, network: nn.Module, maker: BatchMaker) -> None:
        """Bring the answers to the device."""
        self._answers = self._answers.to(maker.device)

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Mean Kullback-Leibler divergence of a batch, in nats, times the squared temperature."""
        own = functional.log_softmax(forward(batch.inputs) / self._softness, dim=1)
        answers = self._answers[batch.rows]
        divergence = functional.kl_div(own, answers, reduction="batchmean", log_target=True)
        return divergence * self._softness**2

    def finish(self, network: nn.Module) -> None:
        """The teacher stays as it is."""

    def state(self) -> dict[str, Any]:
        """Nothing is kept: the answers are made again."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Nothing was kept."""
