"""From a large model to a small one that maps alike: students by size, until one is good enough."""

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

from inference.models.checkpoint import Checkpoint
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.predictor import Predictor, resolve_device
from training.distillation.comparison import Comparison, JudgedSet, compare, with_half_hidden
from training.distillation.lessons import Distillation, Lessons, lessons
from training.distillation.options import DistillOptions
from training.distillation.teacher import Teacher
from training.fit.loop import FitProgress, fit
from training.fit.options import SplitRule, rule_for
from training.fit.resume_state import ResumeState, samples_digest
from training.fit.split import Split, in_blocks, split_samples
from training.fit.training_data import in_classes_of, with_groups
from training.samples.samples import Samples
from training.scores.applicability import with_applicability
from training.scores.calibration import calibrate
from training.scores.class_curves import with_curves
from training.scores.prediction_sets import with_prediction_sets

TAKEN_OVER: Final = ("data", "year", "season_start", "footprint", "samples", "caution")
"""What a student says of its origin: where its teacher learned is where it knows the crops."""

TEACHERS_OWN: Final = "the blocks that the teacher was not trained on"


@dataclass(frozen=True)
class Trial:
    """One student and how it compares."""

    channels: int
    """Its size."""
    checkpoint: Checkpoint
    """The student."""
    comparisons: tuple[Comparison, ...]
    """Beside its teacher, one a set."""
    passed: bool
    """Whether it is within the tolerance on every set."""


@dataclass(frozen=True)
class DistillProgress:
    """Where a distillation stands."""

    channels: int | None
    """Size of the student that is taught; None while the teacher answers."""
    done: int
    """Series answered, or batches done."""
    planned: int
    """Of so many."""
    last: FitProgress | None = None
    """The training, while there is one."""


Report = Callable[[DistillProgress], None]
Regions = Sequence[tuple[str, Samples]]


def distill(
    teacher: Teacher,
    samples: Samples,
    options: DistillOptions,
    *,
    rule: SplitRule | None = None,
    regions: Regions = (),
    unlabelled: Sequence[NDArray[np.int16]] = (),
    report: Report = lambda step: None,
    folder: Path | None = None,
) -> tuple[Trial, ...]:
    """Students by size up to the first that loses little enough; the last one is the one to take.

    Args:
        teacher: Whose answers they learn.
        samples: Labelled series; some are held out and teach nothing.
        options: Sizes, tolerance and how to train.
        rule: How they are held out; None takes the blocks that the teacher's file says were held out from it,
            and splits by blocks, or at random, where these samples do not lie in them.
        regions: Names and samples of other places, to compare on.
        unlabelled: Series `(series, band, bin)` of whole seasons without labels, to learn from as well.
        report: Receives the progress.
        folder: Where unfinished trainings are kept and continued; None keeps nothing.

    Raises:
        InputError: The samples cannot be split, or have none of the teacher's classes.
        MismatchError: Samples were made by another recipe than the teacher's, or the folder is of a
            distillation with other options.
    """
    samples = _in_classes_of(teacher, "The samples", samples)
    regions = [(name, _in_classes_of(teacher, name, some)) for name, some in regions]
    split = held_out(teacher, samples, rule, options.seed)
    judged = _judged(teacher, samples.take(split.validation), regions, options.seed)
    series = np.concatenate([samples.series[split.training], *unlabelled])
    taught = lessons(
        teacher,
        series,
        options.series,
        options.seed,
        lambda done, all_: report(DistillProgress(None, done, all_)),
    )
    facts = _guards(teacher, samples, split, taught, options)
    trials: list[Trial] = []
    for channels in options.channels:
        state = ResumeState(folder / f"small-{channels}", facts | {"channels": channels}) if folder else None
        trials.append(_trial(teacher, taught, judged, channels, options, split, report, state))
        if trials[-1].passed:
            break
    seen, unseen = (samples.take(part) for part in (split.training, split.validation))
    last = trials[-1]
    student = with_applicability(last.checkpoint, seen, unseen, device=options.device, seed=options.seed)
    student = with_prediction_sets(with_curves(student, seen), unseen, device=options.device)
    return (*trials[:-1], replace(last, checkpoint=student))


def _in_classes_of(teacher: Teacher, name: str, samples: Samples) -> Samples:
    return in_classes_of(teacher.class_names, teacher.recipe, samples, "The teacher", name)


def held_out(teacher: Teacher, samples: Samples, rule: SplitRule | None, seed: int) -> Split:
    """Which samples teach and which compare; apart by place where places are known.

    Args:
        teacher: Its file may say which blocks did not train it.
        samples: All samples.
        rule: How the user wants them split; None leaves it to the teacher and the samples.
        seed: Chooses blocks where the teacher names none.

    Raises:
        InputError: The samples cannot be split so.
    """
    if rule is not None:
        return split_samples(_splittable(samples), rule)
    facts = teacher.members[0].provenance.get("split") or {}
    if samples.lon is not None and "held_out_blocks" in facts:
        out = in_blocks(samples, facts)
        if 0 < out.sum() < len(samples):
            return Split(np.flatnonzero(~out), np.flatnonzero(out), facts)
    chosen = SplitRule(rule_for(None, places=samples.lon is not None), seed=seed)
    return split_samples(_splittable(samples), chosen)


def _splittable(samples: Samples) -> Samples:
    """The samples by the classes that occur: a student may meet fewer than its teacher."""
    occurring, labels = np.unique(samples.labels, return_inverse=True)
    names = tuple(samples.class_names[index] for index in occurring)
    return with_groups(replace(samples, labels=labels.astype(np.int64), class_names=names))


def _judged(teacher: Teacher, validation: Samples, regions: Regions, seed: int) -> tuple[JudgedSet, ...]:
    sets = [
        pair
        for name, some in (("held out", validation), *regions)
        for pair in with_half_hidden(name, some, seed)
    ]
    return tuple(JudgedSet(name, some, teacher.logits(some.series)) for name, some in sets)


def _trial(
    teacher: Teacher,
    taught: Lessons,
    judged: tuple[JudgedSet, ...],
    channels: int,
    options: DistillOptions,
    split: Split,
    report: Report,
    state: ResumeState | None,
) -> Trial:
    first = teacher.members[0]
    config = CropNetConfig.of(f"small-{channels}", len(teacher.class_names), len(teacher.recipe.bands))
    fitted = fit(
        lambda: CropNet(config),
        taught.samples,
        judged[0].samples,
        options.training(channels),
        recipe=teacher.recipe,
        normalisation=teacher.normalisation,
        progress=lambda step: report(DistillProgress(channels, step.done, step.total, step)),
        resume_state=state,
        method=Distillation(taught.logits, options.softness),
        choose="last",
    )
    calibration = calibrate(fitted.logits, judged[0].samples.labels)
    student = Checkpoint(
        config=config,
        classes=first.classes,
        recipe=teacher.recipe,
        normalisation=teacher.normalisation,
        weights=fitted.weights,
        temperature=calibration.temperature,
    )
    comparisons = _comparisons(student, judged)
    passed = all(one.within(options.tolerance, options.agreement) for one in comparisons)
    student = replace(
        student,
        provenance=_origin(teacher, taught, options, split),
        metrics={
            **fitted.scores.to_dict(),
            "validation_samples": len(judged[0].samples),
            "split": split.description,
            "calibration": calibration.to_dict() | {"fitted_to": "the held-out samples themselves"},
            "history": [asdict(epoch) for epoch in fitted.history],
            "beside_teacher": [one.to_dict() for one in comparisons],
            "within_tolerance": passed,
        },
    )
    return Trial(channels, student, comparisons, passed)


def _comparisons(student: Checkpoint, judged: tuple[JudgedSet, ...]) -> tuple[Comparison, ...]:
    """By the predictor that maps, so that the figures are those of maps."""
    predictor, window = Predictor(student, "cpu"), student.recipe.window
    series = (one.samples.series[:, :, window.start : window.stop] for one in judged)
    return tuple(compare(one, predictor.logits(some)) for one, some in zip(judged, series, strict=True))


def _origin(teacher: Teacher, taught: Lessons, options: DistillOptions, split: Split) -> dict[str, Any]:
    first = teacher.members[0]
    own = first.provenance
    scaled = {} if first.band_statistics else {"options": {"normalisation": own["options"]["normalisation"]}}
    return {
        **{key: own[key] for key in TAKEN_OVER if key in own},
        **scaled,
        "split": split.facts,
        "distilled": {
            "teachers": teacher.facts,
            "series": len(taught.samples),
            **{name: getattr(options, name) for name in ("tolerance", "agreement", "softness")},
        },
        "seed": options.seed,
        "epochs": options.epochs,
        "cropmap_version": importlib.metadata.version("cropmap"),
        "torch_version": torch.__version__,
    }


def _guards(
    teacher: Teacher, samples: Samples, split: Split, taught: Lessons, options: DistillOptions
) -> dict[str, Any]:
    """Everything that decides a student's weights, as JSON values by name."""
    judging = ("channels", "tolerance", "agreement")
    values = {
        **{name: value for name, value in asdict(options).items() if name not in judging},
        "device": resolve_device(options.device).type,
        "teachers": [one["digest"] for one in teacher.facts],
        "samples": samples_digest(samples),
        "split": split.facts,
        "lessons": samples_digest(taught.samples),
        "cropmap": importlib.metadata.version("cropmap"),
        "torch": torch.__version__,
    }
    return dict(json.loads(json.dumps(values)))
