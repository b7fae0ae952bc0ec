"""The training step of an adaptation: labelled series of a source, series of a target, and a teacher.

Global, hierarchical and categorical alignment after Yang et al. (2026, EGU26-10174): the discrepancy of
features at several depths, pseudo-labels that pass three gates, and a contrast by class over both domains.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional

from gee_pipeline.errors import InputError
from inference.models.networks.levels import Levelled
from training.adaptation.contrast import supervised_contrast
from training.adaptation.discrepancy import class_wise_mk_mmd, mk_mmd
from training.adaptation.gates import NOT_ACCEPTED, GateLog, accept, normalised_entropy
from training.adaptation.options import AdaptationOptions
from training.adaptation.prototypes import Prototypes
from training.fit.batches import BatchMaker
from training.fit.loop import logits_of
from training.fit.options import ClassWeights
from training.fit.training_step import Batch, Forward, Supervised, follow
from training.samples.samples import Samples
from training.scores.calibration import fit_temperature

VIEW_BATCH: Final = 512
"""Changed copies answered at once."""


class Adaptation:
    """Adapts a network while it trains; without any label of the target."""

    def __init__(
        self,
        training: Samples,
        held_out: Samples,
        target: NDArray[np.int16],
        options: AdaptationOptions,
        weights: ClassWeights,
    ) -> None:
        """Prepare the step.

        Args:
            training: Labelled samples of the source.
            held_out: Others of the source, on which the teacher's confidence is calibrated.
            target: `(series, band, bin)` of whole seasons, gaps nodata.
            options: What is aligned, and how.
            weights: How much a class of the source counts.

        Raises:
            InputError: The target has fewer than two series, or there is one class only.
        """
        if len(target) < 2 or len(training.class_names) < 2:
            raise InputError(
                "An adaptation takes two classes and two series of the target or more, got "
                f"{len(training.class_names)} and {len(target)}. Give more --source or --target."
            )
        self.supervised = Supervised(training, weights)
        self.held_out, self.target, self.options = held_out, target, options
        self.classes = len(training.class_names)
        self.log: tuple[GateLog, ...] = ()
        """What the gates did, round by round."""
        self._pool: NDArray[np.int64] = np.empty(0, np.int64)
        self._former: list[NDArray[np.int64]] = []
        self._labels = np.full(len(target), NOT_ACCEPTED, np.int64)
        self._temperature = 1.0
        self._keep: float | None = None
        self._prototypes = Prototypes(self.classes, options.prototype_keep, options.temperature)

    def begin(self, network: nn.Module, maker: BatchMaker) -> None:
        """Make the teacher, which stands still until the adaptation begins.

        Raises:
            InputError: The network has no levels to align.
        """
        if not isinstance(network, Levelled):
            raise InputError(
                f"An adaptation aligns features at several depths, which {type(network).__name__} does not "
                "show. Choose another network, such as cropnet."
            )
        self.supervised.begin(network, maker)
        self.maker, self.student = maker, network
        self.teacher: nn.Module = copy.deepcopy(network).requires_grad_(False)

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Cross-entropy of the source, and after the warm-up what aligns the target with it."""
        start = math.ceil(self.options.warm_up * batch.total)
        if batch.number < start:
            return self.supervised.loss(forward, batch)
        done, steps = batch.number - start, batch.total - start
        if done == 0:
            self._begin_to_adapt(steps, batch.rng)
        if self.options.needs_labels and done % max(1, steps // self.options.rounds) == 0:
            self._label(batch.rng)
        parts = self._parts(forward, batch)
        return parts[0] + risen(done / (steps * self.options.ramp or 1)) * parts[1]

    def finish(self, network: nn.Module) -> None:
        """The teacher follows, once there is one."""
        if self._keep is not None:
            follow(self.teacher, network, self._keep)

    def state(self) -> dict[str, Any]:
        """The teacher, its former answers, the accepted labels, the log, the prototypes; who is asked."""
        return {
            "teacher": self.teacher.state_dict(),
            "pool": torch.from_numpy(self._pool),
            "former": [torch.from_numpy(one) for one in self._former],
            "labels": torch.from_numpy(self._labels),
            "temperature": self._temperature,
            "keep": self._keep,
            "log": [one.to_dict() for one in self.log],
            "prototypes": self._prototypes.state(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave."""
        self.teacher.load_state_dict(state["teacher"])
        self._pool = state["pool"].numpy()
        self._former = [one.numpy() for one in state["former"]]
        self._labels = state["labels"].numpy()
        self._temperature, self._keep = state["temperature"], state["keep"]
        self.log = tuple(GateLog(**one | {"accepted": tuple(one["accepted"])}) for one in state["log"])
        self._prototypes.resume(state["prototypes"])

    def _begin_to_adapt(self, steps: int, rng: np.random.Generator) -> None:
        """The student becomes its own teacher, calibrated on the source."""
        self.teacher.load_state_dict(self.student.state_dict())
        self._keep = self.options.kept_in(steps)
        self._pool = np.sort(rng.permutation(len(self.target))[: self.options.labelled])
        logits = logits_of(self.teacher, self.held_out, self.maker)
        self._temperature = fit_temperature(logits, self.held_out.labels)

    def _label(self, rng: np.random.Generator) -> None:
        """One round of the teacher over the target."""
        self.teacher.eval()
        asked = self.target[self._pool]
        plain = self._answers(asked, rng=None)
        views = [self._answers(asked, rng) for _ in range(self.options.views)]
        entropy = normalised_entropy(np.mean(views, axis=0))
        self._labels[self._pool], log = accept(plain, entropy, self._former, self.options)
        self.log = (*self.log, log)
        latest: NDArray[np.int64] = plain.argmax(axis=1)
        self._former = [*self._former, latest][-max(self.options.stability - 1, 1) :]

    def _answers(self, series: NDArray[np.int16], rng: np.random.Generator | None) -> NDArray[np.float64]:
        """The teacher's calibrated `(series, class)`, of changed copies where there is an rng."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(series), VIEW_BATCH):
                some = series[start : start + VIEW_BATCH]
                seen = self.maker.inputs(some) if rng is None else self.maker.training_inputs(some, rng)
                parts.append(self.teacher(seen).float().cpu().numpy())
        found: NDArray[np.float64] = softmax(
            np.concatenate(parts).astype(np.float64) / self._temperature, axis=1
        )
        return found

    def _parts(self, forward: Forward, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of the source, and the weighted sum of what aligns."""
        anyone = batch.rng.integers(0, len(self.target), len(batch.rows))
        chosen = self._draw_accepted(batch.rng, len(batch.rows))
        inputs = [batch.inputs, *(self._seen(rows, batch.rng) for rows in (anyone, chosen) if len(rows))]
        found = self._levels(forward, inputs)
        levels, logits = found[0]
        aligned = self._discrepancy(levels, batch.labels, found, chosen) * self.options.discrepancy_weight
        if len(chosen):
            aligned = aligned + self._by_class(levels[-1], batch.labels, found[-1], self._labels_of(chosen))
        return self.supervised.of_logits(logits, batch.labels), aligned

    def _levels(self, forward: Forward, inputs: list[Tensor]) -> list[tuple[tuple[Tensor, ...], Tensor]]:
        """Levels and logits of each input, normalised together or each by itself."""
        if self.options.batches == "apart":
            return [forward.levels(one) for one in inputs]
        sizes = [len(one) for one in inputs]
        levels, logits = forward.levels(torch.cat(inputs))
        split = [torch.split(level, sizes) for level in levels]
        return [(tuple(one[i] for one in split), part) for i, part in enumerate(torch.split(logits, sizes))]

    def _discrepancy(
        self,
        source: tuple[Tensor, ...],
        labels: Tensor,
        found: list[tuple[tuple[Tensor, ...], Tensor]],
        chosen: NDArray[np.int64],
    ) -> Tensor:
        """Mean over the deepest levels."""
        if not self.options.discrepancy_weight:
            return source[-1].sum() * 0
        deepest = slice(-self.options.levels, None)
        if self.options.discrepancy == "global":
            each = [
                mk_mmd(one, other) for one, other in zip(source[deepest], found[1][0][deepest], strict=True)
            ]
        elif len(chosen):
            theirs = self._labels_of(chosen)
            pairs = zip(source[deepest], found[-1][0][deepest], strict=True)
            each = [class_wise_mk_mmd(one, labels, other, theirs) for one, other in pairs]
        else:
            return source[-1].sum() * 0
        return torch.stack(each).mean()

    def _by_class(
        self, source: Tensor, labels: Tensor, target: tuple[tuple[Tensor, ...], Tensor], theirs: Tensor
    ) -> Tensor:
        """Cross-entropy of accepted series, and the contrasts by class."""
        options, features = self.options, target[0][-1]
        total = options.pseudo_weight * functional.cross_entropy(target[1], theirs)
        if options.contrast_weight:
            both = torch.cat([source, features]), torch.cat([labels, theirs])
            total = total + options.contrast_weight * supervised_contrast(*both, options.temperature)
        if options.prototype_weight:
            self._prototypes.follow(source, labels)
            total = total + options.prototype_weight * self._prototypes.contrast(features, theirs)
        return total

    def _seen(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        return self.maker.training_inputs(self.target[rows], rng)

    def _labels_of(self, rows: NDArray[np.int64]) -> Tensor:
        return self.maker.labels(self._labels[rows])

    def _draw_accepted(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Rows of accepted series, each class as likely as the others; none before any is accepted."""
        by_class = [rows for k in range(self.classes) if len(rows := np.flatnonzero(self._labels == k))]
        if not by_class:
            return np.empty(0, np.int64)
        parts = np.array_split(np.arange(count), len(by_class))
        drawn = [rng.choice(rows, len(part)) for rows, part in zip(by_class, parts, strict=True)]
        return np.concatenate(drawn)


def risen(share: float) -> float:
    """Share of a weight, 0 to 1 along a sigmoid (Ganin et al. 2016, with their slope of 10).

    Args:
        share: Of the ramp that is done; beyond 1 the weight is whole.
    """
    return 1.0 if share >= 1 else 2 / (1 + math.exp(-10 * share)) - 1
