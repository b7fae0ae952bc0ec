"""A model tried on a few squares of a place: mapped as a run, then looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from gee_pipeline.aoi import Aoi, read_aoi
from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json, write_json
from gee_pipeline.layers import AT_LIMIT, LayerName
from gee_pipeline.store import composite_path, read_composite
from inference.advice.advice import Advice, Shift, expected_of
from inference.advice.growth import Growth, growth_of
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
PICTURE: Final = "curves.png"

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
    make_map(replace(trial, layers=layers), listener, margin=max(_steps(model)))
    if listener:
        listener.notice(f"Trying the window moved by up to {max(DAYS)} days: as much work as the map again.")
    advice = _looked_at(trial.folder, model, path.name, request)
    if advice.growth and model.curves:
        from inference.advice.growth_picture import draw_growth  # matplotlib takes half a second

        draw_growth(folder / PICTURE, advice.growth, list(advice.classes), model.curves)
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
    plan = load_plan(run)
    tried = _Tried(model, _series_of(run, plan), plan.bins)
    aoi = read_aoi(request.aoi, request.layer)
    return Advice(
        model=name,
        model_digest=model.digest,
        area=area_digest(aoi),
        simulated=report["simulated"],
        pixels=pixels,
        classes={one["name"]: one["pixels"] / pixels for one in crops},
        confidence=sure / pixels / 100,
        outside=outside,
        shifts=tuple(map(tried.shifted, _steps(model))),
        growth=tried.growth(),
        gap=training_gap(model, aoi.lonlat) or "",
        own_accuracy=model.metrics.get("accuracy"),
        expected=expected_of(model.digest, outside),
    )


def area_digest(aoi: Aoi) -> str:
    """Sixteen hex digits that are equal where two areas are."""
    return hashlib.sha256(shapely.to_wkb(aoi.lonlat)).hexdigest()[:16]


def _series_of(run: Path, plan: RunPlan) -> NDArray[np.int16]:
    """`(pixel, band, bin)` of the composites' bins: some pixels with a class, evenly from all squares."""
    found = [series for series in series_by_cell(run, plan, plan.bins) if len(series)]
    each = -(-SERIES // len(found))
    chance = np.random.default_rng(1)
    drawn = [series[np.sort(chance.permutation(len(series))[:each])] for series in found]
    return np.concatenate(drawn)


def series_by_cell(
    run: Path, plan: RunPlan, bins: range, *, most: int | None = None
) -> Iterator[NDArray[np.int16]]:
    """`(pixel, band, bin)` of the pixels with a class, for each finished cell of a run that has a composite.

    Args:
        run: Folder of the run.
        plan: The run.
        bins: Bins that are wanted, among those of the composites.
        most: Cells of the plan that are looked for, from the first on; None looks for all.
    """
    for cell in plan.grid.cells(plan.cells[:most]):
        finished = read_finished(prediction_path(run, cell), cell, plan.digest)
        path = composite_path(run, cell)
        if finished is None or not path.is_file():
            continue
        known = has_class(finished.bands)
        values = read_composite(path, cell, plan.recipe, plan.season, bins).values
        yield np.ascontiguousarray(np.moveaxis(values[:, :, known], 2, 0).transpose(0, 2, 1))


def _steps(model: Checkpoint) -> tuple[int, ...]:
    """Whole bins by which the window is moved."""
    return tuple(dict.fromkeys(round(days / model.recipe.mean_bin_days) for days in DAYS))


class _Tried:
    """Series of a place and what a model says of them, its window moved or not."""

    def __init__(self, model: Checkpoint, series: NDArray[np.int16], bins: range) -> None:
        self._model, self._series, self._bins = model, series, bins
        self._predictor = Predictor(model, "cpu")
        self._answers = cache(lambda bins: self._predictor.probabilities(self._window(bins)))
        """Probabilities `(pixel, class)` with the window moved by whole bins."""

    def _window(self, bins: int) -> NDArray[np.int16]:
        """The series in the model's window, moved by whole bins; without pixels that have nothing in it."""
        window = self._model.recipe.window
        found = in_window(self._series, window.start + bins - self._bins.start, len(window))
        return found[(found != NODATA).any(axis=(1, 2))]

    def shifted(self, bins: int) -> Shift:
        """What the model says with its window moved by whole bins."""
        said, outside = self._answers(bins), None
        if self._model.applicability:
            outside = float((self._model.applicability.layer(said) > AT_LIMIT).mean())
        return Shift(round(bins * self._model.recipe.mean_bin_days), float(said.max(axis=1).mean()), outside)

    def growth(self) -> tuple[Growth, ...]:
        """The classes beside those of the training samples; nothing where the model's file has no curves."""
        model = self._model
        if model.curves is None:
            return ()
        series, names = self._window(0), [crop.name for crop in model.classes]
        said = self._answers(0).argmax(axis=1)
        return growth_of(series, said, names, model.curves, model.recipe)


def in_window(series: NDArray[np.int16], first: int, length: int) -> NDArray[np.int16]:
    """Some bins of series `(pixel, band, bin)`; gaps where the series have none.

    Args:
        series: Of any bins.
        first: Index of the first bin; below 0 before the first of the series.
        length: Number of bins.
    """
    out = np.full((*series.shape[:2], length), NODATA, np.int16)
    start, stop = max(first, 0), min(first + length, series.shape[2])
    out[:, :, start - first : stop - first] = series[:, :, start:stop]
    return out
