"""A forest on this machine: the classes that Earth Engine's servers give of the same composites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.recipe import Recipe
from inference.models.crop_class import CropClass
from inference.models.forest_features import forest_features
from inference.models.forest_model import ForestModel
from inference.models.pixel_prediction import ClassParts, Prediction, ScoredPrediction

HOW: Final = "share of the votes of {trees:,} trees"
"""How the confidence of a pixel is made."""

_COPIES: Final = 4
"""Arrays as large as the features that are alive at once: filled, fitted, in 64 and in 32 bits."""


class ForestPredictor:
    """A forest ready to label series by the votes of its trees; threads may share it."""

    def __init__(self, model: ForestModel, *, memory_budget: int) -> None:
        """Prepare the forest.

        Args:
            model: The forest.
            memory_budget: Bytes that the features of one batch may take.
        """
        self.model = model
        values = len(model.recipe.bands) * len(model.recipe.window) + len(model.feature_names)
        self.batch_size = max(1, memory_budget // (8 * _COPIES * values))

    @property
    def classes(self) -> tuple[CropClass, ...]:
        """What its codes mean."""
        return self.model.classes

    @property
    def recipe(self) -> Recipe:
        """How the series are made."""
        return self.model.recipe

    def predict(self, series: NDArray[np.int16]) -> Prediction:
        """The class with most votes, of equal ones the smaller code, and its share of the votes.

        Args:
            series: `(pixel, band, bin)` of the model window, gaps nodata; each with an observation.
        """
        parts = [self.model.hard_prediction(features) for features in self._features(series)]
        if not parts:
            return Prediction(np.empty(0, np.uint8), np.empty(0, np.uint8))
        return Prediction(
            np.concatenate([part.codes for part in parts]),
            np.concatenate([part.confidence for part in parts]),
        )

    def scored(self, series: NDArray[np.int16]) -> ScoredPrediction:
        """What `predict` says, and the votes of each class.

        Args:
            series: As for `predict`.
        """
        votes = [self.model.votes(features) for features in self._features(series)]
        none = np.empty((0, len(self.classes)), np.uint16)
        parts = ClassParts(np.concatenate([none, *votes]), len(self.model.trees))
        return ScoredPrediction(parts.largest(), parts)

    def probabilities(self, series: NDArray[np.int16]) -> NDArray[np.float32]:
        """`(pixel, class)`: share of the votes.

        Args:
            series: As for `predict`.
        """
        out = np.empty((len(series), len(self.classes)), np.float32)
        start = 0
        for features in self._features(series):
            votes = self.model.votes(features)
            out[start : start + len(votes)] = votes / np.float32(len(self.model.trees))
            start += len(votes)
        return out

    def _features(self, series: NDArray[np.int16]) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(series), self.batch_size):
            part = series[start : start + self.batch_size]
            yield forest_features(part, self.model.recipe, self.model.features)
