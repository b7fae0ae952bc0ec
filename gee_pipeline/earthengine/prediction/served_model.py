"""What a map on the servers asks of a model: where it is read from, and what it says of series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ee

from gee_pipeline.layers import LayerName, band_names
from gee_pipeline.recipe import Recipe

PREDICTION_BANDS = band_names((), 1)
"""Bands of a prediction, `class`, `confidence` and `clear`, all uint8; those of layers on request follow."""


class Classifier(Protocol):
    """Something that labels the pixels of composites on the servers."""

    @property
    def classes(self) -> int:
        """Number of classes; their codes are 1 to K."""

    def said(self, composites: Sequence[ee.Image], recipe: Recipe, layers: Sequence[LayerName]) -> ee.Image:
        """Class, confidence and the bands of layers, under any names, not yet uint8.

        They are masked where a series has no observation at all.

        Args:
            composites: As `filled_series.composites_of` gives them.
            recipe: How they were made.
            layers: Layers on request, in the order of the table.
        """


class ServedModel(Classifier, Protocol):
    """A model as the servers find it; small to pickle unless it goes with every request."""

    @property
    def kind(self) -> str:
        """What it is, in one word for messages: `forest`, `network`."""

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets that it is read from; none where it goes with every request."""

    @property
    def deploy_command(self) -> str:
        """What brings it to the servers: `cropmap forest deploy`."""

    @property
    def most_pixels(self) -> int | None:
        """Pixels that one request asks for at most, where arrays take the servers much memory."""

    def describe(self) -> dict[str, Any]:
        """What identifies how it is served, as JSON values; where its assets stand does not."""

    def require_own(self, ask: Callable[[ee.ComputedObject], Any]) -> None:
        """Refuse assets that are known to hold another model.

        Args:
            ask: The value of an expression.

        Raises:
            MismatchError: Naming both.
        """


def answer_bands(layers: Sequence[LayerName], classes: int) -> tuple[str, ...]:
    """Names of the bands that a model answers: all of a prediction but the clear observations."""
    return tuple(name for name in band_names(layers, classes) if name != PREDICTION_BANDS[2])
