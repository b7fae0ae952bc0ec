"""From labelled samples of one place and series of another to a checkpoint that says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.models.checkpoint import Checkpoint
from inference.models.predictor import Predictor
from training.adaptation.adaptation import Adaptation
from training.adaptation.options import AdaptationOptions
from training.adaptation.target_scores import MOST, TargetScores, target_scores
from training.adaptation.time_shift import TimeShift, estimate_shift, moved, shares_of
from training.fit.loop import FitProgress
from training.fit.options import SplitRule, TrainingOptions
from training.fit.resume_state import samples_digest
from training.fit.train import Method, train_checkpoint
from training.fit.training_data import in_classes_of
from training.samples.samples import Samples
from training.scores.metrics import Scores, score

NO_LABELS: Final = (
    "No label of the target trained or chose anything: the last epoch is kept, and its accuracy there is not "
    "known. Held-out figures and the temperature are of the source."
)


@dataclass(frozen=True)
class Target:
    """Series without labels of the place that is to be mapped."""

    name: str
    """What it is called, such as the name of its file."""
    series: NDArray[np.int16]
    """`(series, band, bin)` of whole seasons, gaps nodata."""


@dataclass(frozen=True)
class Adapted:
    """An adapted model, and what can be said of it."""

    checkpoint: Checkpoint
    """The model."""
    accepted: float
    """Share of the asked series that were accepted in the last round, 0 to 1; 0 where none is asked."""
    target: TargetScores
    """Its answers in the target."""
    shift: TimeShift | None
    """By how much the target was found to be later, where that was asked for."""
    judged: Scores | None
    """Its accuracy there, where labels were given to judge it by when it was finished."""


def adapt(
    source: Samples,
    targets: Sequence[Target],
    training: TrainingOptions,
    adaptation: AdaptationOptions,
    rule: SplitRule,
    *,
    method: str = "ghca",
    model: str = "cropnet",
    year: int | None = None,
    judge: Samples | None = None,
    season_shift: int | None = None,
    progress: Callable[[FitProgress], None] = lambda step: None,
    folder: Path | None = None,
) -> Adapted:
    """A model for a place without labels.

    Args:
        source: Labelled series of other places.
        targets: Series of the place, in one or more parts.
        training: How to train.
        adaptation: What is aligned, and how.
        rule: Which samples of the source are held out; they calibrate, and choose nothing.
        method: What the adaptation is called in the model's file.
        model: Which network, one that shows its features at several depths.
        year: Year of the source, for the provenance.
        judge: Labelled series of the target, looked at when all is done.
        season_shift: Days by which the target may be earlier or later than the source: a model of the source
            is trained first and tells by how many, and the source is moved so; None takes the seasons as
            alike.
        progress: Called after each batch and each epoch.
        folder: Where an unfinished training is stored and resumed; None starts over and stores nothing.

    Raises:
        InputError: The samples cannot be split so, the network cannot be adapted, there are too few series,
            or the training diverged.
        MismatchError: The folder is of a training with other options or samples, or the samples to judge by
            were made by another recipe.
    """
    if judge is not None:
        judge = _in_classes_of(source, judge)
    series = np.concatenate([one.series for one in targets])
    shift = _shift(source, series, training, rule, model, season_shift, progress) if season_shift else None
    if shift:
        source = _later(source, shift.bins)
    made: list[Adaptation] = []

    def step(part: Samples, held_out: Samples) -> Adaptation:
        made.append(Adaptation(part, held_out, series, adaptation, training.class_weights))
        return made[0]

    decides = {
        "adaptation": asdict(adaptation),
        "target": [_facts(one, source) for one in targets],
        **({"season_shift": shift.to_dict()} if shift else {}),
    }
    checkpoint = train_checkpoint(
        source,
        training,
        rule,
        year=year,
        model=model,
        progress=progress,
        folder=folder,
        method=Method(step, choose="last", decides=decides),
    )
    log = [one.to_dict() for one in made[0].log]
    accepted = made[0].log[-1].share if log else 0.0
    found = target_scores(_probabilities(checkpoint, _shuffled(series, training.seed)), source.class_names)
    judged = _judged(checkpoint, judge)
    adapted = {"method": method, **decides, "rounds": log, "caution": NO_LABELS}
    metrics = {"target": found.to_dict() | {"accepted": accepted}}
    if judged:
        metrics["judged"] = judged.to_dict()
    checkpoint = replace(
        checkpoint,
        provenance={**checkpoint.provenance, "adapted": adapted},
        metrics={**checkpoint.metrics, **metrics},
    )
    return Adapted(checkpoint, accepted, found, shift, judged)


def _shift(
    source: Samples,
    series: NDArray[np.int16],
    training: TrainingOptions,
    rule: SplitRule,
    model: str,
    most_days: int,
    progress: Callable[[FitProgress], None],
) -> TimeShift:
    """By a model of the source alone, which augmentation has not taught to overlook time."""
    plain = replace(training, augmentation="none")
    predictor = Predictor(train_checkpoint(source, plain, rule, model=model, progress=progress), "cpu")
    some = _shuffled(series, training.seed)[:MOST]
    return estimate_shift(some, source.recipe, predictor.probabilities, shares_of(source), most_days)


def _later(source: Samples, bins: int) -> Samples:
    """The source with its seasons moved; samples that lose all observations of the window are left out."""
    there = replace(source, series=moved(source.series, bins))
    return there.take(there.observed_bins(there.recipe.window) >= max(1, there.recipe.min_clear_bins))


def _in_classes_of(source: Samples, judge: Samples) -> Samples:
    return in_classes_of(source.class_names, source.recipe, judge, "The model", "The samples to judge by")


def _facts(target: Target, source: Samples) -> dict[str, Any]:
    labels = np.zeros(len(target.series), np.int64)
    as_samples = Samples(target.series, labels, ("none",), recipe=source.recipe)
    return {"name": target.name, "series": len(labels), "digest": samples_digest(as_samples)}


def _shuffled(series: NDArray[np.int16], seed: int) -> NDArray[np.int16]:
    return series[np.random.default_rng(seed).permutation(len(series))]


def _probabilities(checkpoint: Checkpoint, series: NDArray[np.int16]) -> NDArray[np.float32]:
    """By the predictor that maps."""
    window = checkpoint.recipe.window
    return Predictor(checkpoint, "cpu").probabilities(series[:, :, window.start : window.stop])


def _judged(checkpoint: Checkpoint, judge: Samples | None) -> Scores | None:
    if judge is None:
        return None
    classes = _probabilities(checkpoint, judge.series).argmax(axis=1)
    return score(judge.labels, classes, judge.class_names)
