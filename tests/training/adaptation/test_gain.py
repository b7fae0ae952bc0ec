"""What an adaptation gives where there is something to gain, and what it costs where there is nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from training.adaptation.adaptation import Adaptation
from training.adaptation.options import METHODS
from training.fit.augment import Augmentation
from training.fit.batches import BatchMaker
from training.fit.loop import fit, logits_of
from training.fit.options import TrainingOptions
from training.samples.samples import Samples

pytestmark = pytest.mark.slow

NAMES = ("early", "middle", "late")
SCALED = Normalisation((0.15,) * 10, (0.1,) * 10)
BINS = np.arange(73)


def samples(counts: tuple[int, ...], seed: int, *, later: float = 0.0, brighter: float = 1.0) -> Samples:
    """Humps of three crops that are green at different times and as high as each other.

    Args:
        counts: Samples by class.
        seed: Of the noise.
        later: Bins of five days by which all stand later.
        brighter: Factor of the humps.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    peak = 28 + 13 * labels[:, None] + later + rng.normal(0, 1.5, (len(labels), 1))
    hump = 2500 * brighter * np.exp(-(((BINS - peak) / 5) ** 2))
    series = np.full((len(labels), 10, 73), 800.0)
    series[:, 3:8] += hump[:, None]
    series += rng.normal(0, 250, series.shape)
    series[:, :, 2::3] = -9999
    return Samples(series.round().astype(np.int16), labels, NAMES[: len(counts)])


def accuracy(method: str, source: Samples, target: Samples, seed: int) -> float:
    """Overall accuracy on the target of a small network that was adapted to it; `none` is not."""
    held_out = samples((40,) * len(source.class_names), 100 + seed)
    options = TrainingOptions(epochs=20, batch_size=16, learning_rate=5e-3, seed=seed, device="cpu")
    shape = CropNetConfig.of("small-8", len(source.class_names))
    chosen = replace(METHODS["ghca" if method == "none" else method], views=4, rounds=6, stability=2)
    step = Adaptation(source, held_out, target.series, chosen, "balanced")
    fitted = fit(
        shape,
        source,
        held_out,
        options,
        recipe=Recipe(),
        normalisation=SCALED,
        augmentation=Augmentation("paper"),
        method=None if method == "none" else step,
        choose="last",
    )
    network = CropNet(shape)
    network.load_state_dict(fitted.weights)
    found = logits_of(network, target, BatchMaker(Recipe(), SCALED, torch.device("cpu")))
    return float((found.argmax(axis=1) == target.labels).mean())


SEEDS = (1, 2)

PLACES = {
    "late": (lambda: samples((80,) * 3, 1), lambda: samples((80,) * 3, 2, later=6, brighter=0.7)),
    "shares": (lambda: samples((130, 32), 1), lambda: samples((32, 130), 2)),
    "same": (lambda: samples((80,) * 3, 1), lambda: samples((80,) * 3, 2)),
}
"""Pairs of a source and a target."""


@cache
def accuracies(place: str, method: str) -> list[float]:
    """By seed."""
    source, target = (make() for make in PLACES[place])
    return [accuracy(method, source, target, seed) for seed in SEEDS]


def change(place: str, method: str) -> float:
    """Mean gain of a method over none."""
    return float(np.mean(accuracies(place, method)) - np.mean(accuracies(place, "none")))


HARMLESS = ("teacher", "ghca-class")
"""Methods that look at classes only; the discrepancy of whole sets is another matter, see below."""


def test_a_season_that_is_a_month_late_and_paler_is_learned():
    before, after = accuracies("late", "none"), accuracies("late", "teacher")
    assert max(before) < 0.97
    assert min(after) >= 0.98


@pytest.mark.parametrize("method", HARMLESS)
def test_the_same_series_in_other_shares_lose_nothing(method):
    assert change("shares", method) >= -0.005


@pytest.mark.parametrize("method", HARMLESS)
def test_the_same_place_loses_nothing(method):
    assert change("same", method) >= -0.005


def test_drawing_whole_sets_together_harms_where_the_shares_differ():
    """Known of such methods, and why they are not the default: one class is drawn to the other."""
    assert change("shares", "mmd") < -0.05
