"""The training loop: samples in, the weights of the best epoch out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.predictor import resolve_device
from training.fit.augment import Augmentation
from training.fit.batches import BatchMaker
from training.fit.options import TrainingOptions
from training.fit.resume_state import ResumeState, intact
from training.fit.training_step import Batch, Forward, Supervised, TrainingStep
from training.samples.samples import Samples
from training.scores.calibration import negative_log_likelihood
from training.scores.metrics import Scores, score

EVALUATION_BATCH: Final = 256
"""Samples of a batch without gradients; larger ones leave the cache of a CPU."""

KEEP_SECONDS: Final = 20.0
"""Seconds between kept states, the most that a kill loses; writing 16 MB of `compact` takes 0.1 s."""

CHECK_BATCHES: Final = 16
"""The loss is read after this many batches, so that a GPU need not wait for the CPU after each."""

Choice = Literal["best", "last"]
"""Which epoch's weights a training returns: the best on the held-out samples, or the last."""


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
    held_out_loss: float | None = None
    """Mean negative log-likelihood on the held-out samples, in nats, each sample of the same weight."""


@dataclass(frozen=True)
class FitProgress:
    """Where a training run stands, after each batch and each epoch."""

    done: int
    """Batches done."""
    total: int
    """Batches of all epochs."""
    last: Epoch | None
    """The last whole epoch."""
    start: int = 0
    """Batches done by an earlier start of the same training."""


@dataclass(frozen=True)
class Fit:
    """The result of a training run."""

    weights: dict[str, Tensor]
    """State of the network after the chosen epoch, on the CPU."""
    best_epoch: int
    """The epoch of these weights, counted from 1."""
    scores: Scores
    """Of that epoch, on the held-out samples."""
    history: tuple[Epoch, ...]
    """One entry an epoch."""
    logits: NDArray[np.float32]
    """`(sample, class)` of the chosen epoch, on the held-out samples."""


def fit(
    shape: CropNetConfig | Callable[[], nn.Module],
    training: Samples,
    validation: Samples,
    options: TrainingOptions,
    *,
    recipe: Recipe,
    normalisation: Normalisation,
    augmentation: Augmentation | None = None,
    progress: Callable[[FitProgress], None] = lambda step: None,
    resume_state: ResumeState | None = None,
    method: TrainingStep | None = None,
    choose: Choice = "best",
) -> Fit:
    """The weights of the epoch with the best macro-F1 on samples that did not train, or of the last one.

    On a CPU the same arguments and the same number of threads give the same bits, whether the training ran
    through or was killed and resumed.

    Args:
        shape: Shape of a CropNet, or what makes another network, which takes `(sample, 1, band, bin)`.
        training: Samples the weights are fitted to.
        validation: Samples that choose the epoch.
        options: How to train.
        recipe: Window of the model.
        normalisation: How the input is scaled.
        augmentation: How training samples are changed, each time they are seen; None is not at all.
        progress: Called after each batch and each epoch, and once before where a training is resumed.
        resume_state: Where the training is stored and resumed; None starts over and stores nothing.
        method: What a batch's loss is and what follows it; None is supervised, by the options' class weights.
        choose: `best` or `last`: which epoch's weights are returned.

    Raises:
        InputError: The loss is no longer a number.
        MismatchError: The state is of another training.
        CorruptFileError: The state is damaged.
    """
    maker = BatchMaker(recipe, normalisation, resolve_device(options.device), augmentation)
    with random_state_apart(maker.device):
        torch.manual_seed(options.seed)
        network = CropNet(shape) if isinstance(shape, CropNetConfig) else shape()
        method = method or Supervised(training, options.class_weights)
        run = _Run(network, training, validation, options, maker, method, choose)
        kept = time.monotonic()
        if resume_state and (state := resume_state.read()) is not None:
            with intact(resume_state.path):
                run.resume(state)
            progress(run.step)
        while not run.is_over:
            run.train_batch()
            progress(run.step)
            if run.epoch_is_whole:
                run.validate()
                progress(run.step)
            if resume_state and (run.is_over or time.monotonic() - kept >= KEEP_SECONDS):
                resume_state.keep(run.state())
                kept = time.monotonic()
    assert run.best is not None  # there is at least one epoch
    return replace(run.best, history=tuple(run.history))


def logits_of(network: nn.Module, samples: Samples, maker: BatchMaker) -> NDArray[np.float32]:
    """Logits `(sample, class)` of samples as they are, in full precision, without transforms or dropout."""
    network.eval()
    starts = range(0, len(samples), EVALUATION_BATCH)
    with torch.inference_mode():
        parts = [network(maker.inputs(samples.series[s : s + EVALUATION_BATCH])) for s in starts]
    logits: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return logits


class _Run:
    """Everything that changes from batch to batch: what must be kept to continue unchanged."""

    def __init__(
        self,
        network: nn.Module,
        training: Samples,
        validation: Samples,
        options: TrainingOptions,
        maker: BatchMaker,
        method: TrainingStep,
        choose: Choice,
    ) -> None:
        self.training, self.validation, self.options = training, validation, options
        self.method, self.choose = method, choose
        self.maker, self.augmentation = maker, maker.augmentation or Augmentation()
        self.network = network.to(maker.device)
        self.batches = math.ceil(len(training) * (1 + self.augmentation.copies) / options.batch_size)
        self.rng = np.random.default_rng(options.seed)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
        self.rate = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, _falling(options, self.batches * options.epochs)
        )
        self.forward = Forward(self.network, _half(options, maker.device))
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.forward.half is torch.float16)
        self.history: list[Epoch] = []
        self.best: Fit | None = None
        self.order: NDArray[np.int64] = np.empty(0, np.int64)
        """Samples of the epoch that is trained."""
        self.original: NDArray[np.bool_] = np.empty(0, bool)
        """Which of them are seen as they are."""
        self.losses: list[Tensor] = []
        """Of the batches of that epoch that are done."""
        self.start = 0
        method.begin(self.network, maker)

    @property
    def step(self) -> FitProgress:
        """Where the run stands."""
        done = len(self.history) * self.batches + len(self.losses)
        last = self.history[-1] if self.history else None
        return FitProgress(done, self.batches * self.options.epochs, last, self.start)

    @property
    def epoch_is_whole(self) -> bool:
        """Whether all batches of the epoch are done and it waits to be validated."""
        return len(self.losses) == self.batches

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or the last ones did not get better."""
        if len(self.history) == self.options.epochs:
            return True
        stale = len(self.history) - self.best.best_epoch if self.best else 0
        return self.options.patience is not None and stale >= self.options.patience

    def train_batch(self) -> None:
        """One step of the optimiser; at the start of an epoch the samples get a new order."""
        if not self.losses:
            self.order, self.original = self.augmentation.epoch(len(self.training), self.rng)
        self.network.train()
        part = _part(len(self.order), len(self.losses), self.batches)
        batch = self.order[part]
        inputs = self.maker.training_inputs(
            self.training.series[batch], self.rng, original=self.original[part]
        )
        labels = self.maker.labels(self.training.labels[batch])
        rows = self.maker.labels(batch)
        step = self.step
        loss = self.method.loss(self.forward, Batch(inputs, labels, rows, step.done, step.total, self.rng))
        self.losses.append(loss.detach())
        if len(self.losses) % CHECK_BATCHES == 0 or self.epoch_is_whole:
            _require_finite(self.losses)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.rate.step()
        self.method.finish(self.network)

    def validate(self) -> None:
        """End the epoch: score the held-out samples and keep the weights if they are the best so far."""
        logits = logits_of(self.network, self.validation, self.maker)
        scores = self._scores(logits)
        loss = float(np.mean([float(one) for one in self.losses]))
        held_out = negative_log_likelihood(logits, self.validation.labels)
        number = len(self.history) + 1
        self.history.append(Epoch(number, loss, scores.accuracy, scores.macro_f1, held_out))
        self.losses = []
        if self.best is None or self.choose == "last" or scores.macro_f1 > self.best.scores.macro_f1:
            self.best = Fit(_copy_of(self.network), number, scores, (), logits)

    def state(self) -> dict[str, Any]:
        """Tensors, numbers and texts from which `resume` continues."""
        _require_finite(self.losses)
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rate": self.rate.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": _random_state(self.rng, self.maker.device),
            "history": [asdict(epoch) for epoch in self.history],
            "order": torch.from_numpy(self.order),
            "original": torch.from_numpy(self.original),
            "losses": torch.tensor([float(one) for one in self.losses], dtype=torch.float64),
            **({"method": kept} if (kept := self.method.state()) else {}),
            "best": self.best
            and {
                "weights": self.best.weights,
                "epoch": self.best.best_epoch,
                "logits": torch.from_numpy(self.best.logits),
            },
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue where another run of the same training stopped."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rate.load_state_dict(state["rate"])
        self.scaler.load_state_dict(state["scaler"])
        _set_random_state(state["random"], self.rng, self.maker.device)
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.order, self.original = state["order"].numpy(), state["original"].numpy()
        self.losses = list(state["losses"])
        self.method.resume(state.get("method", {}))
        if best := state["best"]:
            logits = best["logits"].numpy()
            self.best = Fit(best["weights"], best["epoch"], self._scores(logits), (), logits)
        self.start = self.step.done

    def _scores(self, logits: NDArray[np.float32]) -> Scores:
        return score(self.validation.labels, logits.argmax(axis=1), self.validation.class_names)


def _part(samples: int, number: int, parts: int) -> slice:
    """One of some parts of an epoch, as equal as can be."""
    size, larger = divmod(samples, parts)  # the first parts have one sample more
    start = number * size + min(number, larger)
    return slice(start, start + size + (number < larger))


def _half(options: TrainingOptions, device: torch.device) -> torch.dtype | None:
    """What batches are computed in where 16 bits do; None is full precision throughout."""
    cuda = device.type == "cuda"
    if options.precision == "float32" or (options.precision == "auto" and not cuda):
        return None
    return torch.float16 if cuda else torch.bfloat16


def _falling(options: TrainingOptions, total: int) -> Callable[[int], float]:
    """Share of the learning rate after some batches."""
    if options.schedule == "constant":
        return lambda done: 1.0
    return lambda done: 0.5 * (1 + math.cos(math.pi * min(done / total, 1)))


def _require_finite(losses: list[Tensor]) -> None:
    """Refuse a training whose last losses are not numbers."""
    if broken := [float(one) for one in losses if not torch.isfinite(one)]:
        raise InputError(
            f"The training diverged: its loss is {broken[0]}. Lower the learning rate (--learning-rate)."
        )


def _copy_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


@contextmanager
def random_state_apart(device: torch.device) -> Iterator[None]:
    """Leave the caller's random state as it is, and let a GPU choose algorithms that repeat themselves."""
    if device.type != "cuda":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    with (
        torch.random.fork_rng(devices=[device]),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        yield


def _random_state(rng: np.random.Generator, device: torch.device) -> dict[str, Any]:
    on_device = (
        torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.empty(0, dtype=torch.uint8)
    )
    numpy_state = json.dumps(rng.bit_generator.state)  # text, because its integers have 128 bits
    return {"numpy": numpy_state, "torch": torch.get_rng_state(), "device": on_device}


def _set_random_state(state: dict[str, Any], rng: np.random.Generator, device: torch.device) -> None:
    rng.bit_generator.state = json.loads(state["numpy"])
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
