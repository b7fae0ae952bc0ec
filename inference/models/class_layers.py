"""Layers on request (`gee_pipeline.layers`) of pixels, computed from how likely each class is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.layers import HALF_AND_MORE, LayerName
from gee_pipeline.map_codes import NONE
from inference.models.pixel_prediction import ClassParts, Prediction, ScoredPrediction, percent
from inference.models.told.applicability import Applicability
from inference.models.told.prediction_sets import PredictionSets


def layer_values(names: Sequence[LayerName], scored: ScoredPrediction) -> NDArray[np.uint8]:
    """The bands of layers, one behind the other, `(band, pixel)`.

    Args:
        names: Layers in the order of the table.
        scored: The class of each pixel and its confidence, as the map has them, and how likely each class is.
    """
    pixels = _Scored(scored.prediction, scored.scores, scored.applicability, scored.prediction_sets)
    return np.concatenate([COMPUTED[name](pixels) for name in names])


@dataclass(frozen=True)
class _Scored:
    """Pixels with a class, and how likely each class is."""

    prediction: Prediction
    scores: ClassParts
    applicability: Applicability | None
    prediction_sets: PredictionSets | None

    @property
    def classes(self) -> int:
        return self.scores.parts.shape[1]

    @cached_property
    def own(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where the parts of the map's own classes are."""
        codes = self.prediction.codes.astype(np.intp)
        return np.arange(len(codes)), codes - 1

    @cached_property
    def rivals(self) -> NDArray[np.int64]:
        """`(pixel, class)`: the parts, and -1 for the pixel's own class."""
        parts = self.scores.parts.astype(np.int64)
        parts[self.own] = -1
        return parts

    @cached_property
    def members(self) -> NDArray[np.bool_]:
        """`(class, pixel)`: whether a class is in the set of a pixel."""
        if self.prediction_sets is None:
            raise AssertionError("a model without limits of prediction sets was asked for them")
        return np.ascontiguousarray(self.prediction_sets.members(self.scores.shares).T)


def _second(pixels: _Scored) -> NDArray[np.uint8]:
    if pixels.classes == 1:
        return np.full((1, len(pixels.prediction.codes)), NONE, np.uint8)
    return (pixels.rivals.argmax(axis=1) + 1).astype(np.uint8)[None]  # of equal parts the first


def _margin(pixels: _Scored) -> NDArray[np.uint8]:
    own = pixels.scores.parts[pixels.own].astype(np.int64)
    ahead = own - np.maximum(pixels.rivals.max(axis=1), 0)
    # Not below 0, where the map's class is that of another device and both are nearly as likely.
    return percent(np.maximum(ahead, 0), pixels.scores.whole)[None]


def _entropy(pixels: _Scored) -> NDArray[np.uint8]:
    if pixels.classes == 1:
        return np.zeros((1, len(pixels.prediction.codes)), np.uint8)
    share = pixels.scores.shares
    nats = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=1)
    return np.floor(100 * nats / np.log(pixels.classes) + HALF_AND_MORE).astype(np.uint8)[None]


def _probabilities(pixels: _Scored) -> NDArray[np.uint8]:
    shares = percent(pixels.scores.parts, pixels.scores.whole)
    shares[pixels.own] = pixels.prediction.confidence
    return np.ascontiguousarray(shares.T)


def _applicability(pixels: _Scored) -> NDArray[np.uint8]:
    if pixels.applicability is None:
        raise AssertionError("a model without an area of applicability was asked for it")
    return pixels.applicability.layer(pixels.scores.shares)[None]


def _sets(pixels: _Scored) -> NDArray[np.uint8]:
    return pixels.members.sum(axis=0, dtype=np.uint8)[None]


def _members(pixels: _Scored) -> NDArray[np.uint8]:
    return pixels.members.astype(np.uint8)


COMPUTED: Final[dict[LayerName, Callable[[_Scored], NDArray[np.uint8]]]] = {
    "second": _second,
    "margin": _margin,
    "entropy": _entropy,
    "probabilities": _probabilities,
    "applicability": _applicability,
    "sets": _sets,
    "members": _members,
}
"""The bands `(band, pixel)` of each layer."""
