"""A run whose map a network made, with the composites that it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.files import read_json
from inference.models.checkpoint import Checkpoint, load_checkpoint
from inference.models.model_file import FOREST, model_kind
from inference.run.plan import CONFIG_FILE, PlannedModel, RunPlan, load_plan
from training.pseudo_labels.candidates import require_finished, stems


@dataclass(frozen=True)
class NetworkRun:
    """A finished run whose pixels have a class and a series."""

    folder: Path
    """Its folder."""
    plan: RunPlan
    """Its plan."""
    model: PlannedModel
    """The plan's model."""
    checkpoint: Checkpoint
    """The same, read and compared."""
    composites: frozenset[str]
    """Names of the cells whose composite is kept."""


def open_network_run(folder: Path, purpose: str) -> NetworkRun:
    """A finished run, for those who need its classes and its series.

    Args:
        folder: Folder of the run.
        purpose: What is made from a map, for messages: `pseudo-labels are drawn from`.

    Raises:
        InputError: The run is of composites only, of a forest, or without composites.
        IncompleteRunError: It is not finished.
        MismatchError: Its copy of the model is another.
    """
    plan = load_plan(folder)
    model = _require_network(folder, plan, purpose)
    require_finished(folder, plan)
    composites = require_composites(folder)
    checkpoint = load_checkpoint(model.path)
    if checkpoint.digest != model.digest:
        raise MismatchError(
            f"The model's copy {model.path} has the digest {checkpoint.digest}, the map of this run was made "
            f"with {model.digest}. Copy that model there again, or continue the run with 'cropmap predict "
            f"--config {folder / CONFIG_FILE}', which copies it."
        )
    return NetworkRun(folder, plan, model, checkpoint, composites)


def _require_network(folder: Path, plan: RunPlan, purpose: str) -> PlannedModel:
    if plan.model is None:
        raise InputError(
            f"The run {folder} holds composites only, and {purpose} a map. Make it with "
            f"'cropmap predict --config {folder / CONFIG_FILE}'."
        )
    if model_kind(plan.model.path) == FOREST:
        raise InputError(
            f"The run {folder} is the map of a forest, which is made without composites, so there are no "
            "series to label. Name a run of 'cropmap predict'."
        )
    return plan.model


def require_composites(folder: Path) -> frozenset[str]:
    """Names of the cells whose composite a run keeps.

    Raises:
        InputError: It keeps none.
    """
    there = stems(folder / "composites")
    if not there:
        raise InputError(
            f"The run {folder} no longer has composites, so there are no series to label. Make the map "
            "again in another --out with 'cropmap predict', and keep its composites folder."
        )
    return there


def places_of(plan: RunPlan, pixels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude `(pixel,)` in EPSG:4326 of the centres of pixels.

    Args:
        plan: Of a run.
        pixels: `(pixel,)` with the fields `row`, `col`, `y` and `x` of `CANDIDATE`.
    """
    grid = plan.grid
    x = grid.geobox.transform.c + PIXEL_SIZE * (pixels["col"] * float(grid.cell_size) + pixels["x"] + 0.5)
    y = grid.geobox.transform.f - PIXEL_SIZE * (pixels["row"] * float(grid.cell_size) + pixels["y"] + 0.5)
    to_degrees = pyproj.Transformer.from_crs(str(grid.geobox.crs), "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(x, y)
    return np.asarray(lon), np.asarray(lat)


def series_text(folder: Path, plan: RunPlan) -> str:
    """Whence the series of a run's composites are, in a sentence for files that are made of them.

    Args:
        folder: Folder of the run. Whether its scenes are simulated is told by its map, if it has one.
        plan: The run's plan.
    """
    report = folder / "map" / "report.json"
    simulated = report.is_file() and read_json(report).get("simulated", False)
    return (
        f"Series of a run's composites (source: {plan.source.get('kind', 'unknown')})."
        f"{' Its scenes are SIMULATED.' if simulated else ''}"
    )
