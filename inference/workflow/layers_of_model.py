"""Layers that a model's own file decides: whether it says what they need, and whether a run had the same."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.layers import APPLICABILITY, OF_SETS
from inference.run.plan import MODEL_FILES, RUN_FILE, PlannedKind, load_plan
from inference.workflow.request import MapRequest, ServedRequest
from inference.workflow.trained_model import TrainedModel

TOLD: Final = {
    APPLICABILITY.name: ("applicability", "what its answers are like on its training samples"),
    **dict.fromkeys(
        (layer.name for layer in OF_SETS),
        ("prediction_sets", "how likely a class must be to be in a prediction set"),
    ),
}
"""By layer the part of a network's file that it needs, and what that says."""


def require_told(
    request: MapRequest | ServedRequest, model: TrainedModel, path: Path, kind: PlannedKind
) -> None:
    """Refuse layers that the model does not tell, or tells otherwise than when the run began with them.

    Args:
        request: Folder and layers.
        model: What labels the pixels.
        path: Its file.
        kind: What it is, and where it predicts.

    Raises:
        InputError: The file lacks what a layer needs.
        MismatchError: The run has such a layer by the same network with other limits.
    """
    for layer in request.layers:
        if layer in TOLD:
            _require(layer, model, path, kind)
    if "forest" not in kind and (request.folder / RUN_FILE).is_file():
        _require_same(request.folder, model, path)


def _require(layer: str, model: TrainedModel, path: Path, kind: PlannedKind) -> None:
    attribute, what = TOLD[layer]
    if "forest" in kind:
        raise InputError(
            f"--layers {layer} takes the file of a network, which says {what}; that of a forest does not. "
            "Omit it."
        )
    if getattr(model, attribute, None) is None:
        raise InputError(
            f"{path} does not say {what}, as files of older versions do not, so --layers {layer} cannot be "
            "made. Take a model that was trained since"
            + (", or let labelled samples say it: 'cropmap evaluate --calibrate'." if _sets(layer) else ".")
        )


def _sets(layer: str) -> bool:
    return TOLD[layer][0] == "prediction_sets"


def _require_same(folder: Path, model: TrainedModel, path: Path) -> None:
    """Refuse to mix: cells that have such a layer, and those that follow, are by the same limits."""
    told = [layer for layer in load_plan(folder).layers if layer in TOLD]
    if not told:
        return
    from inference.models.checkpoint import load_checkpoint  # loads torch, which maps of forests do without

    path_kept = folder / MODEL_FILES["checkpoint"]
    kept = load_checkpoint(path_kept)
    for layer in told:
        attribute, what = TOLD[layer]
        if kept.digest == model.digest and getattr(kept, attribute) != getattr(model, attribute, None):
            raise MismatchError(
                f"The run in {folder} has the layer {layer}, and {path} says otherwise {what}; a run never "
                f"mixes two. Choose another --out, or continue with --model {path_kept}."
            )
