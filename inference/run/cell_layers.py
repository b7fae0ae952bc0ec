"""Layers on request in the bands of a cell's prediction: where they stand, filled and taken over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.layers import LayerName, placed
from gee_pipeline.map_codes import NOT_CROPLAND, OUTSIDE
from inference.models.class_layers import layer_values
from inference.models.pixel_prediction import ScoredPrediction
from inference.run.plan import RunPlan
from inference.run.prediction import BANDS, Finished, blank, with_layers


def blank_bands(area: NDArray[np.bool_], plan: RunPlan) -> NDArray[np.uint8]:
    """The bands `(band, y, x)` of a cell in which nothing of the area is mapped.

    Args:
        area: `(y, x)`: pixels inside the area.
        plan: The run.
    """
    return with_layers(blank(area), plan.layers, plan.classes)


def bands_with_room(finished: Finished, plan: RunPlan) -> NDArray[np.uint8]:
    """What a finished cell has, in its places among the bands of the plan; layers that it lacks are empty."""
    bands = with_layers(finished.bands[: len(BANDS)], plan.layers, plan.classes)
    former = {one.layer.name: one.bands for one in placed(finished.layers, plan.classes)}
    for one in placed(plan.layers, plan.classes):
        if one.layer.name in former:
            bands[list(one.bands)] = finished.bands[list(former[one.layer.name])]
    return bands


def fill_layers(
    bands: NDArray[np.uint8],
    known: NDArray[np.bool_],
    layers: Sequence[LayerName],
    scored: ScoredPrediction,
    plan: RunPlan,
) -> None:
    """Write layers of some pixels into the bands of a prediction.

    Args:
        bands: `(band, y, x)` of the plan.
        known: `(y, x)`: the pixels.
        layers: Which layers, in the order of the table.
        scored: What the model says of the pixels, in row order.
        plan: The run.
    """
    where = [one.bands for one in placed(plan.layers, plan.classes) if one.layer.name in layers]
    rows, cols = known.nonzero()
    bands[np.concatenate(where)[:, None], rows, cols] = layer_values(layers, scored)


def has_class(bands: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """`(y, x)`: pixels with the code of a class.

    Args:
        bands: `(band, y, x)` of a prediction.
    """
    return is_class(bands[0])


def is_class(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where codes, in an array of any shape, are those of classes."""
    found: NDArray[np.bool_] = (codes != OUTSIDE) & (codes < NOT_CROPLAND)
    return found
