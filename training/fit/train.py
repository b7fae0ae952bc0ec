"""From samples to a checkpoint that says what it was trained on and how good it is."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.observations import group_slices
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.networks.cropnet import CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import NetworkConfig, build_network, config_of, title_of
from inference.models.predictor import resolve_device
from training.fit.augment import Augmentation
from training.fit.loop import Choice, Fit, FitProgress, fit
from training.fit.options import Scaling, SplitRule, TrainingOptions
from training.fit.resume_state import ResumeState, samples_digest
from training.fit.split import Split, split_samples
from training.fit.training_data import origin_facts, season_of, with_groups
from training.fit.training_step import TrainingStep
from training.pretrained.start import Pretrained, started
from training.samples.crops import crop_classes
from training.samples.samples import Samples
from training.scores.applicability import with_applicability
from training.scores.calibration import Calibration, calibrate
from training.scores.class_curves import with_curves
from training.scores.prediction_sets import with_prediction_sets

UNNAMED: Final = {"class_weights": "balanced", "normalisation": "band"}
"""What a training of version 0.1.0 did without saying so."""

SMALLEST_BATCH: Final = 3
"""Smaller ones leave a batch of a single sample where their number is odd."""


@dataclass(frozen=True)
class Method:
    """Another way to train than supervised, and what it means for the file."""

    step: Callable[[Samples, Samples], TrainingStep]
    """Makes the step of samples that train and samples that are held out."""
    choose: Choice
    """Which epoch is kept."""
    decides: Mapping[str, Any]
    """What else decides the weights, as JSON values by name."""


def train_checkpoint(
    samples: Samples,
    options: TrainingOptions,
    split_rule: SplitRule,
    *,
    recipe: Recipe | None = None,
    year: int | None = None,
    model: str = "cropnet",
    config: CropNetConfig | None = None,
    progress: Callable[[FitProgress], None] = lambda step: None,
    folder: Path | None = None,
    method: Method | None = None,
    pretrained: Pretrained | None = None,
) -> Checkpoint:
    """A checkpoint fitted to one part of the samples and evaluated on the other.

    Its temperature is fitted to the other part too, which also chose the epoch, if any did.

    Args:
        samples: Labelled series.
        options: How to train.
        split_rule: Which samples are held out.
        recipe: How the series were made; None is what the samples say.
        year: Year of the series, for the provenance; None is what the samples say.
        model: Which network, a name of `inference.models.networks.specification.NAMES`.
        config: Shape of a CropNet; None takes the model and the preset of the options.
        progress: Called after each batch and each epoch, and once before where a training is resumed.
        folder: Where an unfinished training is stored and resumed, see `resume_state.forget`; None starts
            over and stores nothing.
        method: How to train; None is supervised, and keeps the best epoch.
        pretrained: The encoder that the network starts from; None draws all first weights.

    Raises:
        InputError: There was no imagery in that year, the samples cannot be split so, the encoder is of
            another network, or the training diverged.
        MismatchError: The folder is of a training with other options or samples.
    """
    season = season_of(samples, year)  # first of all: a wrong year must not cost a training
    recipe = recipe or samples.recipe
    classes = len(samples.class_names)
    shape = config or config_of(model, options.preset, classes, recipe, options.dimensions)
    _require_batches(shape, options)
    if pretrained:
        pretrained.require_for(model)
    samples = with_groups(samples)
    split = split_samples(samples, split_rule)
    training, validation = samples.take(split.training), samples.take(split.validation)
    normalisation = band_statistics(training, recipe, options.normalisation)
    decides = dict(method.decides) if method else {}
    if pretrained:
        decides["pretrained"] = pretrained.weights.sha256
    facts = _guards(samples, options, split_rule, shape, recipe, decides)
    choose: Choice = method.choose if method else "best"
    fitted = fit(
        lambda: started(build_network(shape, recipe, normalisation), pretrained),
        training,
        validation,
        options,
        recipe=recipe,
        normalisation=normalisation,
        augmentation=Augmentation.of(options.augmentation, options, recipe),
        progress=progress,
        resume_state=ResumeState(folder, facts, UNNAMED) if folder else None,
        method=method.step(training, validation) if method else None,
        choose=choose,
    )
    calibration = calibrate(fitted.logits, validation.labels)
    checkpoint = Checkpoint(
        config=shape,
        classes=crop_classes(samples.class_names, samples.colors),
        recipe=recipe,
        normalisation=normalisation,
        weights=fitted.weights,
        provenance=origin_facts(samples, year, season)
        | _training_facts(samples, options, split, fitted)
        | ({"pretrained": pretrained.weights.facts()} if pretrained else {}),
        metrics=_metrics(fitted, calibration, split, choose),
        temperature=calibration.temperature,
    )
    checkpoint = with_applicability(
        checkpoint, training, validation, device=options.device, seed=options.seed
    )
    checkpoint = with_curves(checkpoint, training)
    return with_prediction_sets(checkpoint, validation, device=options.device)


def _require_batches(shape: CropNetConfig | NetworkConfig, options: TrainingOptions) -> None:
    """Refuse batches of one sample where a network normalises over the samples of a batch."""
    if isinstance(shape, NetworkConfig) and options.batch_size < SMALLEST_BATCH:
        raise InputError(
            f"{title_of(shape)} normalises over the samples of a batch, which takes at least "
            f"{SMALLEST_BATCH}; got {options.batch_size}. Raise --batch-size."
        )


def band_statistics(samples: Samples, recipe: Recipe, scaling: Scaling = "band") -> Normalisation:
    """Mean and standard deviation of each band over the observations in the model window, in its unit.

    Args:
        samples: Those that train.
        recipe: Bands and window.
        scaling: `one` takes mean and deviation of all bands of a sensor together; `none` those by which
            values stay what is stored, 0 and one stored step.
    """
    window = samples.series[:, :, recipe.window.start : recipe.window.stop]
    scales = recipe.scales
    if scaling == "none":
        return Normalisation((0.0,) * len(scales), tuple(1 / one for one in scales))
    sizes = recipe.group_sizes if scaling == "one" else (1,) * len(scales)
    mean, std = [], []
    for rows in group_slices(sizes):
        bands = zip(window[:, rows].swapaxes(0, 1), scales[rows], strict=True)
        values = np.concatenate([band[band != NODATA] / one for band, one in bands])
        count = rows.stop - rows.start
        mean += [float(values.mean())] * count
        # one stored step at least, 1e-4 of reflectance, so that a constant band does not divide by 0
        std += [max(float(values.std()), 1 / one) for one in scales[rows]]
    return Normalisation(tuple(mean), tuple(std))


def _guards(
    samples: Samples,
    options: TrainingOptions,
    rule: SplitRule,
    config: CropNetConfig | NetworkConfig,
    recipe: Recipe,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that decides the weights, as JSON values by name."""
    chosen = asdict(options) | {"device": resolve_device(options.device).type}
    values = {
        **chosen,
        **{f"split {name}": value for name, value in asdict(rule).items()},
        "classes": ", ".join(samples.class_names),
        "samples": f"{len(samples):,} with digest {samples_digest(samples)}",
        "network": repr(config),
        "recipe": replace(recipe, clock="utc").digest,  # the series have their days already
        "cropmap": importlib.metadata.version("cropmap"),
        "torch": torch.__version__,
        **more,
    }
    return dict(json.loads(json.dumps(values)))


def _training_facts(samples: Samples, options: TrainingOptions, split: Split, fitted: Fit) -> dict[str, Any]:
    return {
        "training_samples": len(split.training),
        "duplicates_dropped": samples.duplicates_dropped,
        "sparse_dropped": samples.sparse_dropped,
        "split": split.facts,
        "options": asdict(options),
        "seed": options.seed,
        "epochs": len(fitted.history),
        "best_epoch": fitted.best_epoch,
        "cropmap_version": importlib.metadata.version("cropmap"),
        "torch_version": torch.__version__,
    }


CHOSEN_BY: Final[dict[Choice, str]] = {
    "best": "highest macro-F1 on these same held-out samples",
    "last": "nothing: the last one is kept",
}


def _metrics(fitted: Fit, calibration: Calibration, split: Split, choose: Choice) -> dict[str, Any]:
    return {
        **fitted.scores.to_dict(),
        "validation_samples": len(split.validation),
        "split": split.description,
        "chosen_by": CHOSEN_BY[choose],
        "calibration": calibration.to_dict() | {"fitted_to": "the held-out samples themselves"},
        "history": [asdict(epoch) for epoch in fitted.history],
    }
