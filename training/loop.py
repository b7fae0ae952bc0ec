"""The training loop: samples in, the weights of the best epoch out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from inference.checkpoint import Normalisation
from inference.cropnet import CropNet, CropNetConfig
from inference.predictor import resolve_device
from training.augment import Transform, apply
from training.feed import Feed as Feed
from training.metrics import Scores, score
from training.options import TrainingOptions
from training.samples import Samples

EVALUATION_BATCH: Final = 256
"""Samples of a batch without gradients; larger ones leave the cache of a CPU."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training samples gave."""

    number: int
    """Counted from 1."""
    loss: float
    """Mean training loss, with transforms and dropout."""
    accuracy: float
    """Overall accuracy on the held-out samples."""
    macro_f1: float
    """Macro-F1 on the held-out samples."""


@dataclass(frozen=True)
class Step:
    """Where a training run stands, after each batch and each epoch."""

    done: int
    """Batches done."""
    total: int
    """Batches of all epochs."""
    last: Epoch | None
    """The last whole epoch."""


@dataclass(frozen=True)
class Fit:
    """The result of a training run."""

    weights: dict[str, Tensor]
    """State of the network after the best epoch, on the CPU."""
    best_epoch: int
    """Epoch with the highest macro-F1 on the held-out samples, counted from 1."""
    scores: Scores
    """Of that epoch, on the held-out samples."""
    history: tuple[Epoch, ...]
    """One entry an epoch."""


def fit(
    config: CropNetConfig,
    training: Samples,
    validation: Samples,
    options: TrainingOptions,
    *,
    recipe: Recipe,
    normalisation: Normalisation,
    transforms: Sequence[Transform] = (),
    progress: Callable[[Step], None] = lambda step: None,
) -> Fit:
    """The weights of the epoch with the best macro-F1 on samples that did not train.

    Args:
        config: Shape of the network.
        training: Samples the weights are fitted to.
        validation: Samples that choose the epoch.
        options: How to train.
        recipe: Window of the model.
        normalisation: How the input is scaled.
        transforms: Random changes of each training batch, in order.
        progress: Called after each batch and each epoch.

    Raises:
        InputError: The loss is no number any more.
    """
    feed = Feed(recipe, normalisation, resolve_device(options.device))
    with torch.random.fork_rng():  # the caller's random state stays as it is
        torch.manual_seed(options.seed)
        trainer = _Trainer(CropNet(config).to(feed.device), training, options, feed, tuple(transforms))
        history: list[Epoch] = []
        best: Fit | None = None
        for number in range(1, options.epochs + 1):
            loss = trainer.train_epoch(history, progress)
            scores = evaluate(trainer.network, validation, feed)
            history.append(Epoch(number, loss, scores.accuracy, scores.macro_f1))
            progress(Step(number * trainer.batches, trainer.total, history[-1]))
            if best is None or scores.macro_f1 > best.scores.macro_f1:
                best = Fit(_copy_of(trainer.network), number, scores, ())
            if options.patience and number - best.best_epoch >= options.patience:
                break
    assert best is not None  # there is at least one epoch
    return replace(best, history=tuple(history))


def evaluate(network: CropNet, samples: Samples, feed: Feed) -> Scores:
    """The scores of a network on samples as they are, without transforms or dropout."""
    network.eval()
    starts = range(0, len(samples), EVALUATION_BATCH)
    with torch.inference_mode():
        parts = [network(feed.inputs(samples.series[s : s + EVALUATION_BATCH])).argmax(1) for s in starts]
    return score(samples.labels, torch.cat(parts).cpu().numpy(), samples.class_names)


def class_weights(samples: Samples) -> Tensor:
    """`(class,)`: weights that give every class the same say, 1 on average over the samples."""
    counts = np.array(list(samples.counts.values()))
    return torch.tensor(len(samples) / (len(counts) * counts), dtype=torch.float32)


class _Trainer:
    """What a run changes from batch to batch: weights, optimiser, learning rate and random state."""

    def __init__(
        self,
        network: CropNet,
        samples: Samples,
        options: TrainingOptions,
        feed: Feed,
        transforms: tuple[Transform, ...],
    ) -> None:
        self.network, self.samples, self.feed, self.transforms = network, samples, feed, transforms
        self.batch_size = options.batch_size
        self.batches = math.ceil(len(samples) / options.batch_size)
        self.total = self.batches * options.epochs
        self.rng = np.random.default_rng(options.seed)
        self.loss_of = nn.CrossEntropyLoss(class_weights(samples).to(feed.device))
        self.optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
        self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimiser, _falling(options, self.total))

    def train_epoch(self, history: list[Epoch], progress: Callable[[Step], None]) -> float:
        """Mean loss of one pass over all samples, in a new order."""
        self.network.train()
        losses = []
        for batch in np.array_split(self.rng.permutation(len(self.samples)), self.batches):
            losses.append(self._train_batch(batch))
            done = len(history) * self.batches + len(losses)
            progress(Step(done, self.total, history[-1] if history else None))
        return float(np.mean(losses))

    def _train_batch(self, indices: NDArray[np.int64]) -> float:
        series = apply(self.transforms, self.samples.series[indices], self.rng)
        logits = self.network(self.feed.inputs(series))  # (sample, class)
        loss = self.loss_of(logits, self.feed.labels(self.samples.labels[indices]))
        _require_finite(loss)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.rate.step()
        return float(loss.item())


def _falling(options: TrainingOptions, total: int) -> Callable[[int], float]:
    """Share of the learning rate after some batches."""
    if options.schedule == "constant":
        return lambda done: 1.0
    return lambda done: 0.5 * (1 + math.cos(math.pi * min(done / total, 1)))


def _require_finite(loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise InputError(
            f"The training diverged: its loss is {loss.item()}. Lower the learning rate (--learning-rate)."
        )


def _copy_of(network: CropNet) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
