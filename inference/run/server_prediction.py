"""What a server says of a whole cell, as a run keeps it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import MismatchError
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH
from inference.run.plan import RunPlan
from inference.run.prediction import blank

_WAY_OUT = "Deploy the forest of the run again with 'cropmap forest deploy --overwrite'."


def server_prediction(
    served: NDArray[np.uint8], area: NDArray[np.bool_], wanted: NDArray[np.bool_], plan: RunPlan
) -> tuple[NDArray[np.uint8], bool]:
    """The bands `(3, y, x)` of a prediction that a server made, and whether nothing of the cell was mapped.

    Pixels outside the area are marked as such, those that are not wanted as not cropland.

    Args:
        served: Class code, confidence and clear observations `(3, y, x)` of the whole square.
        area: `(y, x)`: pixels inside the area.
        wanted: `(y, x)`: pixels of these that are to be mapped.
        plan: The run.

    Raises:
        MismatchError: They hold what no prediction of the run's model holds.
    """
    _require_known(served[:, wanted], plan)
    bands = blank(area)
    bands[:, wanted] = served[:, wanted]
    return bands, bool((served[0, wanted] == NOT_CROPLAND).all())


def _require_known(pixels: NDArray[np.uint8], plan: RunPlan) -> None:
    """Refuse pixels `(3, pixel)` that the run's model cannot give."""
    if plan.model is None:
        raise AssertionError("a server classifies by the model of a run")
    classes = len(plan.model.classes)
    known = {*range(1, classes + 1), NOT_CROPLAND, NOT_ENOUGH}
    allowed = (known, {*range(101), NONE}, {*range(len(plan.recipe.window) + 1), NONE})
    for name, values, fine in zip(("code", "confidence", "number of bins"), pixels, allowed, strict=True):
        if foreign := set(np.unique(values).tolist()) - fine:
            raise MismatchError(
                f"Earth Engine gave the {name} {min(foreign)}, which the run's model with {classes} classes "
                f"and {len(plan.recipe.window)} bins never gives. {_WAY_OUT}"
            )
