"""Series without labels: pixels of the composites that a run keeps."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.grid import Cell
from gee_pipeline.observations import least_observed
from gee_pipeline.recipe import Recipe
from gee_pipeline.store import composite_path, read_composite
from inference.run.plan import RunPlan, load_plan
from inference.run.prediction import bounded_gdal

MOST_CELLS: Final = 200
"""Composites that are read of a run at most: their pixels stand for it."""


def series_of_run(
    folder: Path, recipe: Recipe, wanted: int, seed: int, *, option: str = "--run"
) -> NDArray[np.int16]:
    """`(series, band, bin)` of whole seasons, gaps nodata: pixels at random that a model would map.

    Args:
        folder: Folder of a run, finished or not, with composites.
        recipe: The model's.
        wanted: Series; fewer where the composites hold fewer.
        seed: Chooses cells and pixels.
        option: What names the run, for messages.

    Raises:
        InputError: The run has no composites, or none of their pixels has enough observations.
        MismatchError: It has another recipe.
        CorruptFileError: A composite is damaged.
    """
    plan = load_plan(folder)
    recipe.require_same(
        plan.recipe, "The model", f"the run {folder}", "Name a run whose composites are of its recipe."
    )
    rng = np.random.default_rng(seed)
    cells = _cells_with_composites(folder, plan, rng, option)
    each = -(-wanted // len(cells))
    with bounded_gdal():
        parts = [_of_cell(folder, plan, cell, each, rng) for cell in cells]
    series = np.concatenate(parts)[:wanted]
    if not len(series):
        raise InputError(
            f"No pixel in the composites of {folder} has {recipe.min_clear_bins} observed bins in the model's"
            f" window. Name another {option}."
        )
    return series


def _cells_with_composites(folder: Path, plan: RunPlan, rng: np.random.Generator, option: str) -> list[Cell]:
    drawn = plan.grid.cells(plan.cells[rng.permutation(len(plan.cells))])
    kept = list(islice((cell for cell in drawn if composite_path(folder, cell).is_file()), MOST_CELLS))
    if not kept:
        raise InputError(f"The run {folder} keeps no composites, so it has no series. Name another {option}.")
    return kept


def _of_cell(
    folder: Path, plan: RunPlan, cell: Cell, wanted: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    recipe = plan.recipe
    values = read_composite(composite_path(folder, cell), cell, recipe, plan.season, plan.bins).values
    pixels = values.reshape(*values.shape[:2], -1).transpose(2, 1, 0)  # (pixel, band, bin)
    drawn = pixels[rng.permutation(len(pixels))[: 4 * wanted]]  # many have too few observations
    series = np.full((len(drawn), len(recipe.bands), recipe.bins_in_season), NODATA, np.int16)
    series[:, :, plan.bins.start : plan.bins.stop] = drawn
    window = series[:, :, recipe.window.start : recipe.window.stop]
    enough = least_observed(window, recipe.group_sizes) >= max(recipe.min_clear_bins, 1)
    return series[enough][:wanted]
