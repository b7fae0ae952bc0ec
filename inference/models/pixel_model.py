"""A model that labels pixels, whatever it is inside: what a worker asks of it, and how it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from inference.models.crop_class import CropClass
from inference.models.model_file import FOREST, model_kind
from inference.models.pixel_prediction import Prediction, ScoredPrediction

if TYPE_CHECKING:
    from inference.models.checkpoint import Checkpoint
    from inference.models.forest_model import ForestModel

MEMORY_BUDGET = 2**30
"""Bytes that one batch may take: 1 GiB."""


class PixelModel(Protocol):
    """A model ready to label series; threads may share it."""

    @property
    def classes(self) -> tuple[CropClass, ...]:
        """What its codes mean."""

    @property
    def recipe(self) -> Recipe:
        """How the series are made."""

    def predict(self, series: NDArray[np.int16]) -> Prediction:
        """The most likely class of each series and its confidence.

        Args:
            series: `(pixel, band, bin)` of the model window as stored, gaps nodata; each with an observation.
        """

    def scored(self, series: NDArray[np.int16]) -> ScoredPrediction:
        """The same as `predict`, with how likely each class is.

        Args:
            series: As for `predict`.
        """

    def probabilities(self, series: NDArray[np.int16]) -> NDArray[np.float32]:
        """`(pixel, class)`: how likely each class is; the confidence is that of the largest.

        Args:
            series: As for `predict`.
        """


def load_model(path: Path) -> Checkpoint | ForestModel:
    """The model of a file, a network or a forest, verified; no code of the file is run.

    Raises:
        InputError: The file does not exist.
        CorruptFileError: It is truncated, damaged or no model of cropmap.
        MismatchError: It was written by another version, or its parts do not belong together.
    """
    if model_kind(path) is FOREST:
        from inference.models.forest_model import load_forest

        return load_forest(path)
    from inference.models.checkpoint import load_checkpoint

    return load_checkpoint(path)


def device_of(model: Checkpoint | ForestModel, device: str) -> str:
    """The device that a model works on.

    Args:
        model: What `load_model` returned.
        device: What was asked for.

    Raises:
        InputError: A GPU was asked for, and the model is a forest.
    """
    from inference.models.forest_model import ForestModel

    if not isinstance(model, ForestModel):
        return device
    if device not in ("auto", "cpu"):
        raise InputError(f"A forest works on the CPU, got --device {device}. Omit it.")
    return "cpu"


def open_model(
    model: Checkpoint | ForestModel,
    device: str = "auto",
    *,
    memory_budget: int = MEMORY_BUDGET,
    form: str = "",
    threads: int | None = None,
) -> PixelModel:
    """A model ready to label series.

    Args:
        model: What `load_model` returned.
        device: `auto`, `cpu`, `cuda` or `cuda:1`, for a network; a forest works on the CPU.
        memory_budget: Bytes that one batch may take; each thread has one batch.
        form: Form of a network, as `inference.models.predictor.form_for` names it; empty takes the fastest.
        threads: Threads that work on batches of a network side by side, as `Predictor` takes them.
    """
    from inference.models.forest_model import ForestModel

    if isinstance(model, ForestModel):
        from inference.models.forest_predictor import ForestPredictor

        return ForestPredictor(model, memory_budget=memory_budget)
    from inference.models.predictor import Predictor

    return Predictor(model, device, memory_budget=memory_budget, form=form, threads=threads)
