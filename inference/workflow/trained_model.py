"""What a map takes from its model, be it a network or a forest, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from gee_pipeline.aoi import Aoi
from inference.run.planning import MapModel
from inference.workflow.footprint import training_gap
from inference.workflow.request import Listener


class TrainedModel(MapModel, Protocol):
    """A checkpoint or a forest, with what it says of itself."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What it was trained on."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """How good it was on places held back."""


def introduce(noun: str, model: TrainedModel, path: Path, listener: Listener) -> None:
    """Say what a model knows and what it was trained on.

    Args:
        noun: What it is.
        model: The model.
        path: Its file.
        listener: Receives notices.
    """
    classes = ", ".join(crop.name for crop in model.classes)
    data = model.provenance.get("data", "samples that its file does not name.")
    tuned = model.provenance.get("tuned")
    there = f" Tuned on {tuned['data']}" if tuned else ""
    listener.notice(f"{noun} {path.name} knows {classes}; trained on {data}{there}")


def warn_of_gap(model: TrainedModel, aoi: Aoi, listener: Listener) -> tuple[str, ...]:
    """A warning where the area lies outside the training places of a model; also for its map's report."""
    gap = training_gap(model, aoi.lonlat)
    if gap:
        listener.warn(gap)
    return (gap,) if gap else ()
