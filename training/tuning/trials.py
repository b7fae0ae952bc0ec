"""What each way of tuning gives on labels that it did not see."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.models.checkpoint import Checkpoint
from inference.models.predictor import Predictor
from training.fit.loop import Fit, FitProgress, fit
from training.fit.resume_state import ResumeState
from training.samples.crops import OTHER
from training.samples.samples import Samples
from training.scores.calibration import fit_temperature, negative_log_likelihood
from training.scores.metrics import Scores, score
from training.tuning.folds import Folds
from training.tuning.options import TuneOptions
from training.tuning.start import RARER, network_of
from training.tuning.tuning_step import TuningStep
from training.tuning.ways import SHARES, WAYS, Candidate, last_layer

LEAST_PASSES: Final = 10
"""Times that each label is seen at least, however many there are."""

Answers = NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """One way of tuning and what it answers to labels that it was not tuned on."""

    candidate: Candidate
    """The way."""
    logits: Answers
    """`(sample, class)`: each sample's by the network of its fold."""
    temperature: float
    """What makes these logits frequencies."""
    loss: float
    """Mean negative log-likelihood at this temperature, in nats."""
    scores: Scores
    """Accuracy and F1 over all folds together."""

    @classmethod
    def of(cls, candidate: Candidate, logits: Answers, samples: Samples) -> Trial:
        """The figures of answers.

        Args:
            candidate: The way.
            logits: `(sample, class)`.
            samples: With their labels.
        """
        temperature = fit_temperature(logits, samples.labels)
        loss = negative_log_likelihood(logits, samples.labels, temperature)
        scores = score(samples.labels, logits.argmax(axis=1), samples.class_names)
        return cls(candidate, logits, temperature, loss, scores)

    def to_dict(self) -> dict[str, Any]:
        """Way and figures as JSON values."""
        return {
            "text": self.candidate.text,
            **asdict(self.candidate),
            "accuracy": self.scores.accuracy,
            "macro_f1": self.scores.macro_f1,
            "loss": self.loss,
        }

    def right(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """`(sample,)`: 1 where the answer is the label, else 0."""
        return (self.logits.argmax(axis=1) == labels).astype(np.float64)


@dataclass(frozen=True)
class Tuner:
    """Everything that tunes one model on some labels."""

    checkpoint: Checkpoint
    """The model, with the classes of the labels."""
    samples: Samples
    """The labels, by its classes."""
    options: TuneOptions
    """How."""
    name: str = "a model"
    """What the model is called."""
    source: NDArray[np.int16] | None = None
    """`(series, band, bin)` to rehearse, or None."""
    source_answers: Answers | None = None
    """`(series, class)`: the model's probabilities of them."""
    folder: Path | None = None
    """Where unfinished trainings are kept."""
    facts: dict[str, Any] | None = None
    """What decides the result, for unfinished trainings."""

    def try_on(self, folds: Folds, candidate: Candidate, report: Callable[[int, FitProgress], None]) -> Trial:
        """What a way answers to each fold after it was tuned on the others.

        Args:
            folds: The labels by fold.
            candidate: The way.
            report: Receives the number of the fold and the progress of its training.
        """
        logits = self.old_answers.copy()
        for number, (tuned, judged) in enumerate(folds.parts):
            training = self.samples.take(tuned)
            if candidate.way == SHARES:
                logits[judged] += share_offsets(self.checkpoint, training)
            elif WAYS[candidate.way].trains is not None:
                name = f"{_file_name(candidate)}-{number}"
                inform = partial(report, number)
                logits[judged] = self._fit(
                    candidate, training, self.samples.take(judged), name, inform
                ).logits
        return Trial.of(candidate, logits, self.samples)

    @cached_property
    def old_answers(self) -> Answers:
        """`(sample, class)`: logits of the model as it is."""
        window = self.checkpoint.recipe.window
        predictor = Predictor(self.checkpoint, self.options.device)
        return predictor.logits(self.samples.series[:, :, window.start : window.stop])

    def finish(self, candidate: Candidate, report: Callable[[FitProgress], None]) -> dict[str, Tensor]:
        """The weights after a way was tuned on all labels.

        Args:
            candidate: The way.
            report: Receives the progress.
        """
        if candidate.way == SHARES:
            return with_offsets(self.checkpoint, share_offsets(self.checkpoint, self.samples))
        if WAYS[candidate.way].trains is None:
            return self.checkpoint.weights
        name = f"{_file_name(candidate)}-final"
        return self._fit(candidate, self.samples, self.samples, name, report).weights

    def _fit(
        self,
        candidate: Candidate,
        training: Samples,
        judged: Samples,
        name: str,
        report: Callable[[FitProgress], None],
    ) -> Fit:
        batches = math.ceil(len(training) / self.options.batch_size)
        epochs = max(math.ceil(candidate.steps / batches), LEAST_PASSES)
        facts = (self.facts or {}) | {"training": name}
        return fit(
            lambda: network_of(self.checkpoint, candidate.way),
            training,
            judged,
            self.options.training(candidate.learning_rate, epochs),
            recipe=self.checkpoint.recipe,
            normalisation=self.checkpoint.normalisation,
            progress=report,
            resume_state=ResumeState(self.folder / name, facts) if self.folder else None,
            method=self._step(candidate),
            choose="last",
        )

    def _step(self, candidate: Candidate) -> TuningStep:
        if not candidate.rehearsed:
            return TuningStep(None, None, 0)
        return TuningStep(self.source, self.source_answers, self.options.rehearsal)


def share_offsets(checkpoint: Checkpoint, training: Samples) -> Answers:
    """`(class,)`: what to add to logits where classes are as common as among the labels.

    Bayes' rule for changed class shares (Saerens et al. 2002, "Adjusting the outputs of a classifier to new a
    priori probabilities", equation 2.4). One sample more of each class keeps shares of 0 away.

    Args:
        checkpoint: Its file says how many samples of each class it was trained on, or tuned on last; where it
            says nothing, all classes count as equally common.
        training: The labels.
    """
    origin = checkpoint.provenance
    told = origin.get("tuned", origin).get("samples") or {}
    names = training.class_names
    old = np.array([told.get(name, 0) for name in names], float) + 1
    if told:
        _give_added_classes_their_share(old, names, told)
    new = np.array([training.counts[name] for name in names], float) + 1
    offsets: Answers = (np.log(new / new.sum()) - np.log(old / old.sum())).astype(np.float32)
    return offsets


def _give_added_classes_their_share(
    old: NDArray[np.float64], names: tuple[str, ...], told: Mapping[str, int]
) -> None:
    """Let a class that was added have been as common as `training.tuning.start.with_classes` makes it."""
    added = np.array([name not in told for name in names])
    former = old[names.index(OTHER)] if OTHER in told else np.exp(np.log(old[~added]).mean())
    old[added] = former * math.exp(-RARER)


def with_offsets(checkpoint: Checkpoint, offsets: Answers) -> dict[str, Tensor]:
    """The weights of a model whose logits are larger by some offsets.

    Args:
        checkpoint: The model.
        offsets: `(class,)`.
    """
    bias = f"{last_layer(checkpoint.build())[0]}.bias"
    return checkpoint.weights | {bias: checkpoint.weights[bias] + torch.from_numpy(offsets)}


def _file_name(candidate: Candidate) -> str:
    rehearsed = "-rehearsed" if candidate.rehearsed else ""
    return f"{candidate.way}-{candidate.steps}-{candidate.learning_rate:g}{rehearsed}"
