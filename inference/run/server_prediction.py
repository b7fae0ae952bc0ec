"""What a server says of a whole cell, as a run keeps it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import MismatchError
from gee_pipeline.layers import MOST_UNLIKE, ON_REQUEST, Layer, placed
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH
from inference.run.cell_layers import blank_bands
from inference.run.plan import RunPlan

_WAY_OUT = "Deploy the model of the run again ('cropmap forest deploy' or 'cropmap deploy', --overwrite)."


def server_prediction(
    served: NDArray[np.uint8], area: NDArray[np.bool_], wanted: NDArray[np.bool_], plan: RunPlan
) -> tuple[NDArray[np.uint8], bool]:
    """The bands `(band, y, x)` of a prediction that a server made, and whether nothing of it was mapped.

    Pixels outside the area are marked as such, those that are not wanted as not cropland.

    Args:
        served: The bands `(band, y, x)` of the plan's predictions, of the whole square.
        area: `(y, x)`: pixels inside the area.
        wanted: `(y, x)`: pixels of these that are to be mapped.
        plan: The run.

    Raises:
        MismatchError: They hold what no prediction of the run's model holds.
    """
    _require_known(served[:, wanted], plan)
    bands = blank_bands(area, plan)
    bands[:, wanted] = served[:, wanted]
    return bands, bool((served[0, wanted] == NOT_CROPLAND).all())


def _require_known(pixels: NDArray[np.uint8], plan: RunPlan) -> None:
    """Refuse pixels `(band, pixel)` that the run's model cannot give."""
    classes = plan.classes
    codes, percents = {*range(1, classes + 1)}, {*range(101), NONE}
    layers = [one for one in placed(plan.layers, classes) if one.layer in ON_REQUEST]
    more = [(one.layer, band) for one in layers for band in one.layer.bands(classes)]
    names = ("code", "confidence", "number of bins", *(band for _, band in more))
    allowed = (
        {*codes, NOT_CROPLAND, NOT_ENOUGH},
        percents,
        {*range(len(plan.recipe.window) + 1), NONE},
        *(_allowed(layer, classes) for layer, _ in more),
    )
    for name, values, fine in zip(names, pixels, allowed, strict=True):
        if foreign := set(np.unique(values).tolist()) - fine:
            raise MismatchError(
                f"Earth Engine gave the {name} {min(foreign)}, which the run's model with {classes} classes "
                f"and {len(plan.recipe.window)} bins never gives. {_WAY_OUT}"
            )


def _allowed(layer: Layer, classes: int) -> set[int]:
    """Values that a layer on request may have."""
    if layer.is_class:
        return {*range(1, classes + 1), NONE}
    most = {"sets": classes, "members": 1, "applicability": MOST_UNLIKE}.get(layer.name, 100)
    return {*range(most + 1), NONE}
