"""What is known of a place while it is mapped: a trial made before, and the first cells that are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.aoi import read_aoi
from gee_pipeline.errors import CropmapError
from gee_pipeline.files import ODD_VALUES, read_json
from gee_pipeline.layers import AT_LIMIT
from inference.advice.advice import INSIDE
from inference.advice.squares import trial_folder
from inference.advice.trial import ADVICE, area_digest, series_by_cell
from inference.models.checkpoint import Checkpoint
from inference.models.pixel_model import load_model
from inference.models.predictor import Predictor
from inference.models.shipped import model_path
from inference.run.plan import RunPlan, load_plan
from inference.workflow.request import Listener, MapRequest

if TYPE_CHECKING:
    from inference.run.execute import Progress

CELLS: Final = 4
"""Finished cells that are looked at, and a quarter of those that a map has at least to be looked at early."""

LOOKED_FOR: Final = 256
"""Cells, from the first on, among which these are looked for."""

PIXELS: Final = 64
"""Pixels of each cell that are predicted once more: a second of a CPU in all."""


def trial_says(request: MapRequest) -> str | None:
    """What a trial of the same model, area and year found; None where `cropmap advise` left none here.

    Args:
        request: The map.
    """
    path = trial_folder(request) / ADVICE
    if not path.is_file():
        return None
    try:
        values = read_json(path)
        same = values["model_digest"] == load_model(model_path(request.model)).digest
        same = same and values["area"] == area_digest(read_aoi(request.aoi, request.layer))
        unlike = values["outside"]
        share = "" if unlike is None else f"{unlike:.1%} of the pixels are unlike the training samples. "
        return f"The trial in {path.parent} says: {share}{values['next']}" if same else None
    except (
        CropmapError,
        *ODD_VALUES,
    ):  # of something else; a wrong request is named later
        return None


class EarlyLook:
    """Says once, of the first finished cells of a map, that they are unlike the training samples."""

    def __init__(self, request: MapRequest, listener: Listener) -> None:
        """Nothing was looked at yet.

        Args:
            request: The map.
            listener: Receives a warning, and all that the map says.
        """
        self._folder, self._listener, self._done = request.folder, listener, False

    @property
    def listener(self) -> Listener:
        """What the map shall talk to."""
        return replace(self._listener, progress=self._progress)

    def _progress(self, progress: Progress) -> None:
        enough = CELLS <= progress.done < progress.planned and progress.planned >= 4 * CELLS
        if enough and not self._done:
            self._done = True
            self._look()
        if self._listener.progress:
            self._listener.progress(progress)

    def _look(self) -> None:
        try:
            share = unlike_of(self._folder)
        except CropmapError:  # a damaged file is named by those who need it
            return
        if share is not None and share > INSIDE:
            self._listener.warn(
                f"{share:.0%} of the pixels in the first cells are unlike what the model was trained on. The "
                "map goes on; what to expect of it, 'cropmap advise' says."
            )


def unlike_of(run: Path) -> float | None:
    """Share of some pixels of the first finished cells outside the model's area of applicability.

    None where the model does not tell, or no cell has a class yet.

    Args:
        run: Folder of a run.
    """
    plan = load_plan(run)
    if plan.model is None or plan.model.kind != "checkpoint":
        return None
    model = load_model(plan.model.path)
    if not isinstance(model, Checkpoint) or model.applicability is None:
        return None
    found = list(islice(_some(run, plan), CELLS))
    if not found:
        return None
    predictor = Predictor(model, "cpu", form=plan.network_form)
    said = predictor.probabilities(np.concatenate(found))
    return float((model.applicability.layer(said) > AT_LIMIT).mean())


def _some(run: Path, plan: RunPlan) -> Iterator[NDArray[np.int16]]:
    """`(pixel, band, bin)` of some pixels of each finished cell that has any."""
    chance = np.random.default_rng(1)
    for series in series_by_cell(run, plan, plan.recipe.window, most=LOOKED_FOR):
        if len(series):
            yield series[np.sort(chance.permutation(len(series))[:PIXELS])]
