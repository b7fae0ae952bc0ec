"""One training of a benchmark: fitted to the source, asked about every region."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from torch import nn

from gee_pipeline.recipe import Recipe
from inference.models.networks.normalisation import Normalisation
from inference.models.predictor import resolve_device
from inference.models.series import fill_gaps
from training.adaptation.adaptation import Adaptation
from training.adaptation.options import METHODS
from training.fit.augment import Augmentation
from training.fit.batches import BatchMaker
from training.fit.loop import FitProgress, fit, logits_of
from training.fit.options import AugmentationPreset, TrainingOptions
from training.fit.resample import PAPER, Moves
from training.fit.resume_state import ResumeState, forget
from training.fit.train import band_statistics
from training.models.features import features_of
from training.models.forest import Forest
from training.models.registry import MODELS, ModelSpec
from training.pretrained.start import encoder_for, started
from training.samples.feature_table import FeatureTable
from training.samples.samples import Samples
from training.scores.metrics import score
from training.transfer.material import Labels, Material, Parts, parts_of
from training.transfer.protocol import MoveRanges, Protocol
from training.transfer.training_record import Evaluation, Job, TrainingRecord

Predict = Callable[[Any], NDArray[np.int64]]
"""Samples or features -> `(sample,)` index of the likeliest class of the model."""

STEPS: Final = {
    "paper-shift": replace(PAPER, scale_share=0.0, warp_share=0.0),
    "paper-shift-scale": replace(PAPER, warp_share=0.0),
}
"""Table 7 of Tong et al. 2025: the transforms one after the other."""


def train_once(
    job: Job,
    material: Material,
    protocol: Protocol,
    facts: Mapping[str, Any],
    *,
    folder: Path | None = None,
    progress: Callable[[FitProgress], None] = lambda step: None,
) -> TrainingRecord:
    """The record of one training.

    Args:
        job: Which model, augmentation and seed.
        material: The samples.
        protocol: How to train.
        facts: What decides the result, for the record.
        folder: Where an interrupted network is stored and resumed; None starts over.
        progress: Called after each batch of a network.

    Raises:
        InputError: The training diverged, or a package that the model needs is not installed.
        MismatchError: The folder holds another training.
    """
    start = time.monotonic()
    parts = parts_of(material.source_of(job.model), protocol, job.seed, in_region=job.in_region)
    resume_state = ResumeState(folder, {**facts, "training": job.name}) if folder else None
    spec = MODELS[job.model]
    if spec.kind == "forest":
        predict, best_epoch = _forest(spec, parts, protocol, job.seed), None
    else:
        target = material.targets[job.target].series if job.target else None
        predict, best_epoch = _network(spec, job, parts, protocol, resume_state, progress, target)
    if folder:
        forget(folder)
    names = material.source.class_names
    held_out = score(parts.validation.labels, predict(parts.validation), names)
    codes = job.regions_of(protocol.source, protocol.targets)
    regions = {protocol.source: parts.test, **material.targets_of(job.model)}
    return TrainingRecord(
        job=job,
        facts=facts,
        names=names,
        regions={
            code: evaluate(samples, predict, names, digest=material.digest_of(job.model, code))
            for code in codes
            if (samples := regions[code]) is not None
        },
        split=parts.split,
        training_samples=len(parts.training),
        held_out_accuracy=held_out.accuracy,
        held_out_macro_f1=held_out.macro_f1,
        best_epoch=best_epoch,
        seconds=time.monotonic() - start,
    )


def evaluate(samples: Labels, predict: Predict, names: tuple[str, ...], *, digest: str) -> Evaluation:
    """Counts of labels and predictions, before classes are aligned.

    Args:
        samples: Of a region.
        predict: The model.
        names: Its classes.
        digest: Of all samples of the region.
    """
    both = max(len(names), len(samples.class_names))
    counts = confusion_matrix(samples.labels, predict(samples), labels=range(both))
    cut = counts[: len(samples.class_names), : len(names)]
    return Evaluation(digest, samples.class_names, tuple(tuple(row) for row in cut.tolist()))


def augmentation_of(name: str, ranges: MoveRanges, options: TrainingOptions, recipe: Recipe) -> Augmentation:
    """An augmentation of `protocol.AUGMENTATIONS`, with other ranges where they are given.

    Args:
        name: One of them.
        ranges: What replaces its own values.
        options: How observations are changed, for `field`.
        recipe: Window of the model.
    """
    preset = cast(AugmentationPreset, "paper" if name in STEPS else name)
    plain = Augmentation.of(preset, options, recipe)
    if plain.moves is None:
        return plain
    return replace(plain, parameters=_with(STEPS.get(name, plain.moves), ranges))


def _with(moves: Moves, ranges: MoveRanges) -> Moves:
    given = {name: value for name, value in vars(ranges).items() if value is not None}
    return replace(moves, **given)


def _network(
    spec: ModelSpec,
    job: Job,
    parts: Parts,
    protocol: Protocol,
    resume_state: ResumeState | None,
    progress: Callable[[FitProgress], None],
    target: NDArray[np.int16] | None,
) -> tuple[Predict, int]:
    """The network of the best epoch; of the last one where it is adapted to the series of a target."""
    recipe, options = protocol.recipe, protocol.training_options(job.seed)
    assert isinstance(parts.training, Samples)  # networks look at series
    assert isinstance(parts.validation, Samples)
    normalisation = band_statistics(parts.training, recipe, options.normalisation)
    classes = len(parts.training.class_names)
    pretrained = encoder_for(spec.name, protocol.pretrained)

    def build() -> nn.Module:
        built = _build(spec, classes, protocol, job.seed, normalisation)
        assert isinstance(built, nn.Module)
        return started(built, pretrained)

    fitted = fit(
        build,
        parts.training,
        parts.validation,
        options,
        recipe=recipe,
        normalisation=normalisation,
        augmentation=augmentation_of(job.augmentation, protocol.moves, options, recipe),
        progress=progress,
        resume_state=resume_state,
        method=None
        if target is None
        else _adaptation(job, parts.training, parts.validation, target, options),
        choose="best" if target is None else "last",
    )
    device = resolve_device(options.device)
    with torch.random.fork_rng(devices=[]):
        network = build()
    network.load_state_dict(fitted.weights)
    network.to(device)
    maker = BatchMaker(recipe, normalisation, device)
    return lambda samples: logits_of(network, samples, maker).argmax(axis=1), fitted.best_epoch


def _adaptation(
    job: Job, training: Samples, held_out: Samples, target: NDArray[np.int16], options: TrainingOptions
) -> Adaptation:
    return Adaptation(training, held_out, target, METHODS[job.adaptation], options.class_weights)


def _forest(spec: ModelSpec, parts: Parts, protocol: Protocol, seed: int) -> Predict:
    """A forest, fitted to the same samples as a network; it has no epochs to choose from."""
    recipe = protocol.recipe
    forest = _build(spec, len(parts.training.class_names), protocol, seed, None)
    assert isinstance(forest, Forest)
    pretrained = encoder_for(spec.name, protocol.pretrained)

    def features(samples: Labels) -> NDArray[np.float32]:
        if isinstance(samples, FeatureTable):
            return samples.values
        window = samples.series[:, :, recipe.window.start : recipe.window.stop]
        return features_of(spec, fill_gaps(window, recipe.group_sizes), recipe, pretrained=pretrained)

    forest.fit(features(parts.training), parts.training.labels)
    return lambda samples: forest.predict(features(samples))


def _build(
    spec: ModelSpec, classes: int, protocol: Protocol, seed: int, normalisation: Normalisation | None
) -> nn.Module | Forest:
    recipe = protocol.recipe
    return spec.build(
        classes,
        len(recipe.bands),
        len(recipe.window),
        preset=protocol.preset,
        recipe=recipe,
        normalisation=normalisation,
        seed=seed,
    )
