"""How a model bears series that are observed otherwise than those it was trained on."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA, VALID_MAX, VALID_MIN
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.predictor import Predictor
from inference.models.series import fill_gaps
from training.fit.augment import Transform, by_sensor, drop_observations
from training.samples.samples import Samples
from training.scores.metrics import Scores, score

HALF_HIDDEN: Final = "50 % of the observations hidden"
"""The hardest change of observations that a model should bear."""


def robustness(checkpoint: Checkpoint, samples: Samples, *, seed: int = 1) -> dict[str, dict[str, float]]:
    """Accuracy and macro-F1 on samples as they are and changed in each way of `changes`.

    The samples go through the same predictor as in mapping.

    Args:
        checkpoint: The model.
        samples: Held-out samples.
        seed: Chooses what is hidden and the noise.
    """
    predictor = Predictor(checkpoint, device="cpu")
    results = {}
    for name, change in changes(checkpoint.recipe).items():
        scores = evaluate_series(predictor, change(samples.series, np.random.default_rng(seed)), samples)
        results[name] = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
    return results


def evaluate_series(predictor: Predictor, series: NDArray[np.int16], samples: Samples) -> Scores:
    """The scores of the map's own predictor on whole-season series that stand for the samples."""
    window = predictor.checkpoint.recipe.window
    codes = predictor.predict(series[:, :, window.start : window.stop]).codes
    return score(samples.labels, codes.astype(np.int64) - 1, samples.class_names)


def changes(recipe: Recipe) -> dict[str, Transform]:
    """What can differ where a model is used, by name."""
    return {
        "as observed": lambda series, rng: series,
        "30 % of the observations hidden": _hide(recipe, 0.3),
        HALF_HIDDEN: _hide(recipe, 0.5),
        "one bin later": lambda series, rng: _later(series),
        "every bin observed, noisy": partial(_every_bin, recipe=recipe),
        "every bin observed, noisy, 50 % hidden": _both(
            partial(_every_bin, recipe=recipe), _hide(recipe, 0.5)
        ),
    }


def _hide(recipe: Recipe, share: float) -> Transform:
    least = recipe.min_clear_bins
    drop = partial(drop_observations, shares=(share, share), window=recipe.window, at_least=least)
    return by_sensor(drop, recipe)


def _both(first: Transform, second: Transform) -> Transform:
    return lambda series, rng: second(first(series, rng), rng)


def _later(series: NDArray[np.int16]) -> NDArray[np.int16]:
    """Each observation one bin later: where every second bin is observed, the other half."""
    later = np.roll(series, 1, axis=2)
    later[:, :, 0] = NODATA
    return later


def _every_bin(series: NDArray[np.int16], rng: np.random.Generator, *, recipe: Recipe) -> NDArray[np.int16]:
    """Gaps filled and noise on top: five-day sampling by single days instead of ten-day medians."""
    noise = np.array(
        [group.sensor.noise * group.sensor.scale for group in recipe.sensors for _ in group.bands]
    )
    noisy = fill_gaps(series, recipe.group_sizes) + noise[:, None] * rng.normal(size=series.shape)
    return noisy.round().clip(VALID_MIN, VALID_MAX).astype(np.int16)
