"""From a model and a few labels to a model for their place, or to the answer that it is better left alone."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from gee_pipeline.errors import InputError
from inference.models.checkpoint import Checkpoint
from inference.models.predictor import Predictor, resolve_device
from inference.models.told.applicability import Applicability
from training.fit.loop import FitProgress
from training.fit.resume_state import samples_digest
from training.fit.training_data import (
    footprints_together,
    in_classes_of,
    origin_facts,
    season_of,
    with_groups,
)
from training.samples.samples import Samples
from training.scores.applicability import applicability_of
from training.scores.calibration import calibrate
from training.scores.class_curves import with_curves
from training.scores.prediction_sets import sets_of
from training.tuning.choice import Choice, choose
from training.tuning.folds import Folds, folds_of
from training.tuning.options import TuneOptions
from training.tuning.start import with_classes
from training.tuning.trials import Answers, Trial, Tuner
from training.tuning.ways import NOTHING, Candidate, candidates, ways_of

FOLDS: Final = "the labels, each answered by a network that was tuned on other folds"
"""What confidence and prediction sets of a tuned model rest on."""

FEWEST: Final = 10
"""Labels below which folds tell nothing."""


@dataclass(frozen=True)
class TuneProgress:
    """Where tuning stands."""

    candidate: Candidate
    """What is tried."""
    fold: int | None
    """The fold that judges it, from 0; None while the way that was chosen is tuned on all labels."""
    training: FitProgress
    """The training."""
    done: int
    """Trainings done before."""
    planned: int
    """Of so many at most."""


@dataclass(frozen=True)
class Tuned:
    """What tuning gave."""

    checkpoint: Checkpoint
    """The tuned model, or the one that was given where nothing proved to be better."""
    trials: tuple[Trial, ...]
    """All that was tried; the first changed nothing."""
    choice: Choice
    """What was taken, and the expected gain."""
    folds: Folds
    """How the labels were parted."""

    @property
    def kept(self) -> bool:
        """Whether the model was left as it is."""
        return self.choice.trial.candidate.way == NOTHING


Report = Callable[[TuneProgress], None]


def tune(
    checkpoint: Checkpoint,
    samples: Samples,
    options: TuneOptions,
    *,
    name: str = "a model",
    add_classes: Sequence[str] = (),
    source: Samples | None = None,
    report: Report = lambda step: None,
    folder: Path | None = None,
) -> Tuned:
    """A model changed as far as labels of a place support, which folds over places tell.

    What is tried is in `training.tuning.ways`: from nothing over the class shares and the last layer to
    everything. Each way is tuned on all folds but one and judged by that one; the best is tuned on all
    labels, if it is better than nothing by more than chance (`training.tuning.choice`).

    Args:
        checkpoint: The model.
        samples: Labelled series of the place, of all classes of their legend. What the model does not know is
            "other" to it, or left out where it has no such class. Their least number of observed bins becomes
            that of the tuned model.
        options: What to try.
        name: What the model is called, such as its file's name.
        add_classes: Classes of the legend that the model shall know too.
        source: Series that the model was trained on, to rehearse its answers; their labels are not looked at.
        report: Receives the progress.
        folder: Where unfinished trainings are kept and continued; None keeps nothing.

    Raises:
        InputError: The labels are too few, lie in one place, or have none of the classes.
        MismatchError: Samples were made by another recipe, or the folder is of a tuning with other options.
    """
    started = _for_the_bins_of(samples, with_classes(checkpoint, add_classes, samples))
    names = [one.name for one in started.classes]
    labels = in_classes_of(names, started.recipe, samples, "The model", "The samples")
    _require_enough(labels)
    source = _rehearsable(started, source) if source else None
    rule = options.split(places=labels.lon is not None)
    folds = folds_of(with_groups(labels), rule, options.folds, options.seed)
    tuner = Tuner(
        started,
        labels,
        options,
        name,
        source.series if source else None,
        _answers(started, source, options.device),
        folder=folder,
        facts=_guards(started, labels, folds, source, options),
    )
    tried = candidates(ways_of(started.build(), options.ways), source is not None)
    trials = _trials(tuner, folds, tried, report)
    chosen = choose(trials, labels.labels, folds.unit)
    found = Tuned(checkpoint, trials, chosen, folds)
    if found.kept:
        return found
    candidate = chosen.trial.candidate
    planned = _trainings(tried, folds)
    weights = tuner.finish(
        candidate, lambda step: report(TuneProgress(candidate, None, step, planned, planned))
    )
    return replace(found, checkpoint=_tuned(tuner, found, weights, source))


def _for_the_bins_of(samples: Samples, checkpoint: Checkpoint) -> Checkpoint:
    """The model, for pixels with as few observed bins as the labels have: no weight depends on the least."""
    least = samples.recipe.min_clear_bins
    return replace(checkpoint, recipe=replace(checkpoint.recipe, min_clear_bins=least))


def _require_enough(labels: Samples) -> None:
    if len(labels) < FEWEST or np.count_nonzero(list(labels.counts.values())) < 2:
        raise InputError(
            f"Tuning takes {FEWEST} labels or more, of two classes or more of the model; got {len(labels)}: "
            f"{', '.join(f'{count} {name}' for name, count in labels.counts.items() if count)}. Gather more "
            "(30 to 2,000 are usual), or map with the model as it is."
        )


def _rehearsable(checkpoint: Checkpoint, source: Samples) -> Samples:
    """Series of the source, which need no more observed bins than the labels."""
    own = checkpoint.recipe
    replace(own, clock="utc").require_same(
        replace(source.recipe, clock="utc", min_clear_bins=own.min_clear_bins),
        "The model",
        "The samples to rehearse",
        "Give samples that were made by its recipe.",
    )
    return replace(source, recipe=own)


def _answers(checkpoint: Checkpoint, source: Samples | None, device: str) -> Answers | None:
    """`(series, class)`: what the model says of the source."""
    if source is None:
        return None
    window = checkpoint.recipe.window
    return Predictor(checkpoint, device).probabilities(source.series[:, :, window.start : window.stop])


def _trainings(tried: Sequence[Candidate], folds: Folds) -> int:
    """Trainings of all folds, without the last one."""
    return sum(1 for one in tried if one.steps) * len(folds.parts)


def _trials(tuner: Tuner, folds: Folds, tried: Sequence[Candidate], report: Report) -> tuple[Trial, ...]:
    trials, done, planned = [], 0, _trainings(tried, folds)
    for candidate in tried:

        def inform(fold: int, step: FitProgress, candidate: Candidate = candidate, done: int = done) -> None:
            report(TuneProgress(candidate, fold, step, done + fold, planned))

        trials.append(tuner.try_on(folds, candidate, inform))
        done += len(folds.parts) if candidate.steps else 0
    return tuple(trials)


def _tuned(
    tuner: Tuner, found: Tuned, weights: dict[str, torch.Tensor], source: Samples | None
) -> Checkpoint:
    trial, labels = found.choice.trial, tuner.samples
    tuned = replace(
        tuner.checkpoint,
        weights=weights,
        temperature=trial.temperature,
        provenance=_origin(found, tuner, source),
        metrics={
            **trial.scores.to_dict(),
            "validation_samples": len(labels),
            "split": found.folds.description,
            "chosen_by": f"the likelihood of {FOLDS}",
            "calibration": calibrate(trial.logits, labels.labels).to_dict() | {"fitted_to": FOLDS},
        },
    )
    unseen = softmax(trial.logits.astype(np.float64) / trial.temperature, axis=1)
    return with_curves(
        replace(
            tuned,
            applicability=_applicability(tuned, unseen, labels, source, tuner.options.device),
            prediction_sets=sets_of(unseen, labels.labels, source=FOLDS),
        ),
        labels,
    )


def _applicability(
    tuned: Checkpoint, unseen: NDArray[np.float64], labels: Samples, source: Samples | None, device: str
) -> Applicability | None:
    """By the model's answers to what it was made from, and the folds' answers to what they did not see."""
    window, names = tuned.recipe.window, [one.name for one in tuned.classes]
    known = [labels]
    if source is not None:
        known.append(in_classes_of(names, tuned.recipe, source, "The model", "The samples to rehearse"))
    series = np.concatenate([one.series[:, :, window.start : window.stop] for one in known])
    answers = Predictor(tuned, device).probabilities(series)
    return applicability_of(answers, np.concatenate([one.labels for one in known]), unseen)


def _origin(found: Tuned, tuner: Tuner, source: Samples | None) -> dict[str, Any]:
    """Where the model came from, and where it was tuned: both are places that it knows."""
    former, labels = found.checkpoint.provenance, tuner.samples
    candidate = found.choice.trial.candidate
    local = origin_facts(labels, None, season_of(labels, None))
    return {
        **{key: value for key, value in former.items() if key != "split"},
        "footprint": footprints_together(former.get("footprint"), local["footprint"]),
        "seed": tuner.options.seed,
        "cropmap_version": importlib.metadata.version("cropmap"),
        "torch_version": torch.__version__,
        "tuned": {
            "from": tuner.name,
            "digest": found.checkpoint.digest,
            **local,
            **asdict(candidate),
            "text": candidate.text,
            "rehearsed_series": len(source) if source is not None and candidate.rehearsed else 0,
            "folds": found.folds.facts,
            "tried": [one.to_dict() for one in found.trials],
            "accuracy_gain": found.choice.accuracy.to_dict(),
        },
    }


def _guards(
    checkpoint: Checkpoint, labels: Samples, folds: Folds, source: Samples | None, options: TuneOptions
) -> dict[str, Any]:
    """Everything that decides the weights, as JSON values by name; more ways change those of none."""
    values = {
        **{name: value for name, value in asdict(options).items() if name != "ways"},
        "device": resolve_device(options.device).type,
        "model": checkpoint.digest,
        "samples": samples_digest(labels),
        "folds": folds.facts,
        "rehearsed": None if source is None else samples_digest(source),
        "cropmap": importlib.metadata.version("cropmap"),
        "torch": torch.__version__,
    }
    return dict(json.loads(json.dumps(values)))
