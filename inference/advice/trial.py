"""A model tried on a few squares of a place: mapped as a run, then looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.aoi import read_aoi
from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json, write_json
from gee_pipeline.layers import AT_LIMIT, LayerName
from gee_pipeline.store import composite_path, read_composite
from inference.advice.advice import Advice, Shift, expected_of
from inference.advice.squares import trial_of
from inference.models.checkpoint import Checkpoint
from inference.models.pixel_model import load_model
from inference.models.predictor import Predictor
from inference.models.shipped import model_path
from inference.run.cell_layers import has_class
from inference.run.plan import RunPlan, load_plan
from inference.run.prediction import prediction_path, read_finished
from inference.workflow.crop_map import make_map
from inference.workflow.footprint import training_gap
from inference.workflow.request import Listener, MapRequest

ADVICE: Final = "advice.json"

SERIES: Final = 2_000
"""Pixels whose windows are moved: each is predicted once for every shift."""

DAYS: Final = (-20, -15, -10, -5, 0, 5, 10, 15, 20)
"""Days by which the window is moved; farther another crop of the same field comes into it."""


def advise(
    request: MapRequest, folder: Path, *, squares: int = 8, seed: int = 1, listener: Listener | None = None
) -> Advice:
    """What a few squares of an area say of a model; the same call continues what was stopped.

    Args:
        request: The map that is thought of: area, year, source and model.
        folder: Where the trial is kept, with `advice.json`.
        squares: How many squares are drawn.
        seed: Of the draw.
        listener: Receives notices and progress.

    Raises:
        InputError: The model is a forest, no square has a class, or something in the request cannot be used.
        MismatchError: The folder holds the trial of something else.
        IncompleteRunError: Squares failed; the same request continues.
    """
    path = model_path(request.model)
    model = load_model(path)
    if not isinstance(model, Checkpoint):
        raise InputError(
            f"{path} is a forest, whose votes do not tell how unlike its training samples a place is. "
            "Compare it with labels of the place: 'cropmap evaluate'."
        )
    layers: tuple[LayerName, ...] = ("applicability",) if model.applicability else ()
    trial = trial_of(request, folder, squares, seed)
    make_map(replace(trial, layers=layers), listener)
    advice = _looked_at(trial.folder, model, path.name, request)
    write_json(folder / ADVICE, advice.to_dict())
    return advice


def _looked_at(run: Path, model: Checkpoint, name: str, request: MapRequest) -> Advice:
    report = read_json(run / "map" / "report.json")
    crops = [one for one in report["classes"] if one["code"] <= len(model.classes)]
    pixels = sum(one["pixels"] for one in crops)
    if not pixels:
        raise InputError(
            f"None of the squares of {request.aoi} has a class: see {run / 'map' / 'report.json'}. Draw more "
            "(--squares), or others (--seed)."
        )
    sure = sum(one["mean_confidence"] * one["pixels"] for one in crops if one["pixels"])
    outside = report.get("outside_applicability")
    return Advice(
        model=name,
        simulated=report["simulated"],
        pixels=pixels,
        classes={one["name"]: one["pixels"] / pixels for one in crops},
        confidence=sure / pixels / 100,
        outside=outside,
        shifts=tuple(_shifted(model, _series_of(run, load_plan(run)))),
        gap=training_gap(model, read_aoi(request.aoi, request.layer).lonlat) or "",
        own_accuracy=model.metrics.get("accuracy"),
        expected=expected_of(model.digest, outside),
    )


def _series_of(run: Path, plan: RunPlan) -> NDArray[np.int16]:
    """`(pixel, band, bin)` of some pixels with a class, evenly from all squares."""
    found = [series for series in _by_cell(run, plan) if len(series)]
    each = -(-SERIES // len(found))
    chance = np.random.default_rng(1)
    drawn = [series[np.sort(chance.permutation(len(series))[:each])] for series in found]
    return np.concatenate(drawn)


def _by_cell(run: Path, plan: RunPlan) -> Iterator[NDArray[np.int16]]:
    for cell in plan.grid.cells(plan.cells):
        finished = read_finished(prediction_path(run, cell), cell, plan.digest)
        path = composite_path(run, cell)
        if finished is None or not path.is_file():
            continue
        known = has_class(finished.bands)
        values = read_composite(path, cell, plan.recipe, plan.season, plan.recipe.window).values
        yield np.ascontiguousarray(np.moveaxis(values[:, :, known], 2, 0).transpose(0, 2, 1))


def _shifted(model: Checkpoint, series: NDArray[np.int16]) -> Iterator[Shift]:
    """What the model says with its window moved by whole bins.

    Composites end with the model's window: bins beyond it are gaps, which the nearest observation fills.
    """
    predictor, bin_days = Predictor(model, "cpu"), model.recipe.mean_bin_days
    for bins in dict.fromkeys(round(days / bin_days) for days in DAYS):
        said = predictor.probabilities(moved(series, bins))
        outside = None
        if model.applicability:
            outside = float((model.applicability.layer(said) > AT_LIMIT).mean())
        yield Shift(round(bins * bin_days), float(said.max(axis=1).mean()), outside)


def moved(series: NDArray[np.int16], bins: int) -> NDArray[np.int16]:
    """Series `(pixel, band, bin)` in a window that begins some bins later; gaps where nothing is known.

    Args:
        series: Of the model's own window.
        bins: By how many bins the window is later; earlier where negative.
    """
    out = np.full_like(series, NODATA)
    length = series.shape[2]
    if bins >= 0:
        out[:, :, : length - bins] = series[:, :, bins:]
    else:
        out[:, :, -bins:] = series[:, :, :bins]
    return out
