"""A model that Earth Engine's servers run, and what this machine says of the same pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.prediction.served_model import ServedModel
from gee_pipeline.layers import LayerName
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH
from gee_pipeline.recipe import Recipe
from gee_pipeline.source import Composite
from inference.models.crop_class import CropClass
from inference.models.series import clear_bins


class ServerModel(Protocol):
    """One model on both sides."""

    @property
    def served(self) -> ServedModel:
        """The model as the servers find it."""

    @property
    def classes(self) -> tuple[CropClass, ...]:
        """What its codes mean."""

    @property
    def recipe(self) -> Recipe:
        """How its series are made."""

    @property
    def digest(self) -> str:
        """Of the model."""

    @property
    def deployment(self) -> Mapping[str, Any]:
        """How it came to the servers, as JSON values."""

    @property
    def confidence(self) -> str:
        """How the confidence of a pixel is made, in words; empty where the model says it itself."""

    @property
    def verify_command(self) -> str:
        """The command that compares cells."""

    @property
    def way_out(self) -> str:
        """What to do where the servers answer something else."""

    @property
    def exact(self) -> tuple[str, ...]:
        """Bands in which no pixel may differ, but for what is excused."""

    @property
    def tolerance(self) -> float:
        """Share of the pixels with a class that may differ in the other bands."""

    def predicted(self, composite: Composite, layers: Sequence[LayerName] = ()) -> NDArray[np.uint8]:
        """What the model says of a cell on this machine: the bands `(band, y, x)` of a prediction.

        Args:
            composite: The model window of a cell.
            layers: Layers on request, in the order of the table.
        """

    def excused(
        self,
        here: NDArray[np.uint8],
        servers: NDArray[np.uint8],
        composite: Composite,
        layers: Sequence[LayerName] = (),
    ) -> NDArray[np.bool_]:
        """`(band, y, x)`: values that differ for a reason that is known and stated.

        Args:
            here: The bands of this machine.
            servers: Those of the servers.
            composite: What both are made of.
            layers: Layers on request that the bands have.
        """

    def words_of_excused(self, count: int) -> str:
        """What is said of so many excused pixels, to follow a sentence."""


def known_pixels(composite: Composite, recipe: Recipe) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels `(y, x)` are to be mapped, and which of these have enough observations."""
    observed = clear_bins(composite.values, recipe.group_sizes)
    wanted = np.ones(observed.shape, np.bool_) if composite.cropland is None else composite.cropland
    return wanted, wanted & (observed >= max(recipe.min_clear_bins, 1))


def blank_prediction(
    composite: Composite, recipe: Recipe, bands: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The bands `(band, y, x)` of a cell before anything is labelled, and which pixels are to be.

    Args:
        composite: The model window of a cell.
        recipe: Of the model.
        bands: Number of bands.
    """
    found = np.full((bands, *composite.values.shape[2:]), NONE, np.uint8)
    wanted, known = known_pixels(composite, recipe)
    found[0] = np.where(wanted, NOT_ENOUGH, NOT_CROPLAND)
    found[2][wanted] = clear_bins(composite.values, recipe.group_sizes)[wanted]
    return found, known
