"""What the training samples of each class look like, kept with the model."""

from __future__ import annotations

from dataclasses import replace

from inference.models.checkpoint import Checkpoint
from inference.models.series import greenness, has_ndvi
from inference.models.told.class_curves import curves_of
from training.samples.samples import Samples


def with_curves(checkpoint: Checkpoint, training: Samples) -> Checkpoint:
    """The same model with the curves of NDVI of the samples that trained it, where these have such.

    Args:
        checkpoint: The model.
        training: Samples that trained it.
    """
    recipe = checkpoint.recipe
    if not has_ndvi(recipe):
        return checkpoint
    values = greenness(training.series[:, :, recipe.window.start : recipe.window.stop], recipe)
    return replace(checkpoint, curves=curves_of(values, training.labels, len(checkpoint.classes)))
