"""What a method of training asks of a network, batch by batch; the loop stays the same for all methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from inference.models.networks.levels import Levelled
from training.fit.batches import BatchMaker
from training.fit.class_weights import class_weights
from training.fit.options import ClassWeights
from training.samples.samples import Samples


@dataclass(frozen=True)
class Forward:
    """The network in the precision of the training."""

    network: nn.Module
    """What is trained."""
    half: torch.dtype | None = None
    """What is computed in 16 bits where they do; None is full precision throughout."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Float32 logits `(sample, class)` of inputs."""
        with torch.autocast(inputs.device.type, self.half, enabled=self.half is not None):
            logits: Tensor = self.network(inputs)
        return logits.float()

    def levels(self, inputs: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Features at every depth, float32 `(sample, feature)`, and the logits; of a `Levelled` network."""
        assert isinstance(self.network, Levelled), "the network was looked at before the training"
        with torch.autocast(inputs.device.type, self.half, enabled=self.half is not None):
            levels = self.network.levels(inputs)
            logits: Tensor = self.network.head(levels[-1])
        return tuple(level.float() for level in levels), logits.float()


@dataclass(frozen=True)
class Batch:
    """What one step is computed from."""

    inputs: Tensor
    """Float32 `(sample, 1, band, bin)`, changed as the augmentation says, on the device."""
    labels: Tensor
    """`(sample,)`, on the device."""
    rows: Tensor
    """`(sample,)`: which of the training samples these are, on the device."""
    number: int
    """Batches done before in the whole training."""
    total: int
    """Batches of the whole training."""
    rng: np.random.Generator
    """Where a method draws from: its state is kept with the training."""


class TrainingStep(Protocol):
    """A method of training. Whatever it keeps from batch to batch goes into its state."""

    def begin(self, network: nn.Module, maker: BatchMaker) -> None:
        """Called once before the first batch, or before a training is resumed.

        Args:
            network: What is trained, on the device.
            maker: How samples of the method's own reach the device.
        """

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """The loss of a batch, a number with its gradient.

        Args:
            forward: The network.
            batch: Labelled samples.
        """

    def finish(self, network: nn.Module) -> None:
        """Called after each step of the optimiser: a teacher follows here."""

    def state(self) -> dict[str, Any]:
        """Tensors, numbers and texts from which `resume` continues; empty where nothing is kept."""

    def resume(self, state: dict[str, Any]) -> None:
        """Continue where another run of the same training stopped."""


class Supervised:
    """Weighted cross-entropy of the labelled samples: one network, one set of samples, nothing to keep."""

    def __init__(self, training: Samples, weights: ClassWeights) -> None:
        """Prepare the loss.

        Args:
            training: Samples the weights are fitted to.
            weights: How much a class counts.
        """
        self.weights = class_weights(training, weights)
        self._loss: nn.Module | None = None

    def begin(self, network: nn.Module, maker: BatchMaker) -> None:
        """Bring the weights to the device."""
        self._loss = nn.CrossEntropyLoss(self.weights.to(maker.device))

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Mean over the samples, each by the weight of its class."""
        return self.of_logits(forward(batch.inputs), batch.labels)

    def of_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The same of logits `(sample, class)` that are there already."""
        assert self._loss is not None, "begin has been called"
        found: Tensor = self._loss(logits, labels)
        return found

    def finish(self, network: nn.Module) -> None:
        """Nothing follows."""

    def state(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Nothing was kept."""


def follow(teacher: nn.Module, student: nn.Module, keep: float) -> None:
    """Move a teacher towards its student: the exponential moving average of its weights.

    Buffers that count or average, such as those of batch normalisation, are taken as they are.

    Args:
        teacher: Changed in place.
        student: What it follows.
        keep: Share of the teacher that stays, 0 to 1 (Tarvainen and Valpola 2017).
    """
    with torch.no_grad():
        for weight, other in zip(teacher.parameters(), student.parameters(), strict=True):
            weight.lerp_(other, 1 - keep)
        for buffer, newest in zip(teacher.buffers(), student.buffers(), strict=True):
            buffer.copy_(newest)
