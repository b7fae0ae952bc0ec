"""A Random Forest on the flat series, as a yardstick for the network on the same composites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from sklearn.ensemble import RandomForestClassifier

from gee_pipeline.recipe import Recipe
from inference.models.series import clear_bins, fill_gaps, pixel_series
from training.fit.augment import apply, transforms
from training.fit.options import TrainingOptions
from training.samples.samples import Samples

COPIES = 2
"""Copies of each sample with hidden and moved observations, so that the forest has seen clouds."""


def train_forest(
    samples: Samples, options: TrainingOptions, recipe: Recipe, trees: int
) -> RandomForestClassifier:
    """A forest on the filled window of all samples and of copies changed as in the network's training."""
    rng = np.random.default_rng(options.seed)
    changes = transforms(options, recipe)
    copies = [samples.series, *(apply(changes, samples.series, rng) for _ in range(COPIES))]
    window = slice(recipe.window.start, recipe.window.stop)
    features = _flat(np.concatenate(copies)[:, :, window])
    forest = RandomForestClassifier(trees, random_state=options.seed, n_jobs=-1)
    return forest.fit(features, np.tile(samples.labels + 1, len(copies)))


def forest_confusion(
    forest: RandomForestClassifier, run: Path, truth: Path, recipe: Recipe, classes: int
) -> NDArray[np.int64]:
    """`(true class, class)` of the field pixels of a run's composites that have enough observations."""
    table = np.zeros((classes, classes), np.int64)
    for series, codes in _labelled(run / "composites", truth, recipe):
        np.add.at(table, (codes - 1, forest.predict(_flat(series)) - 1), 1)
    return table


def _labelled(
    composites: Path, truth: Path, recipe: Recipe
) -> Iterator[tuple[NDArray[np.int16], NDArray[np.intp]]]:
    """Series `(pixel, band, bin)` and true codes of the field pixels of each composite."""
    for path in sorted(composites.glob("*.tif")):
        with rasterio.open(path) as file, rasterio.open(truth) as fields:
            grid = {"crs": file.crs, "transform": file.transform, "width": file.width, "height": file.height}
            with WarpedVRT(fields, resampling=Resampling.nearest, **grid) as aligned:
                codes = aligned.read(1)
            values = file.read().reshape(len(recipe.window), len(recipe.bands), *codes.shape)
        keep = (codes > 0) & (clear_bins(values) >= recipe.min_clear_bins)
        if keep.any():
            yield pixel_series(values, keep), codes[keep].astype(np.intp)


def _flat(series: NDArray[np.int16]) -> NDArray[np.float32]:
    return fill_gaps(series).reshape(len(series), -1)
