"""A model on samples: scores against scikit-learn, intervals against every sample of blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from assessment.evaluation.evaluate import evaluate
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import Recipe
from inference.models.crop_class import CropClass
from inference.models.pixel_prediction import Prediction, ScoredPrediction
from training.samples.samples import Samples

NAMES = ("corn", "soybeans", "other")


@dataclass(frozen=True)
class ToldModel:
    """A model that says the class and the confidence which the first two values of a series hold."""

    recipe: Recipe = field(default_factory=Recipe)

    @property
    def classes(self) -> tuple[CropClass, ...]:
        return tuple(CropClass(code, name, "#808080") for code, name in enumerate(NAMES, 1))

    def probabilities(self, series: NDArray[np.int16]) -> NDArray[np.float32]:
        said, sure = series[:, 0, 0], series[:, 0, 1] / 100
        out = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
        out[np.arange(len(series)), said] = sure
        return out.astype(np.float32)

    def predict(self, series: NDArray[np.int16]) -> Prediction:
        raise AssertionError("not asked")

    def scored(self, series: NDArray[np.int16]) -> ScoredPrediction:
        raise AssertionError("not asked")


def samples_of(labels: Any, said: Any, *, lon: Any = None, lat: Any = None, groups: Any = None) -> Samples:
    labels, recipe = np.asarray(labels), Recipe()
    series = np.full((len(labels), 10, recipe.bins_in_season), 500, np.int16)
    series[:, 0, recipe.window.start] = said
    series[:, 0, recipe.window.start + 1] = 80
    return Samples(series, labels, NAMES, lon=lon, lat=lat, groups=groups)


@pytest.fixture
def placed() -> tuple[Samples, NDArray[np.int64]]:
    """300 samples in 25 blocks, a tenth of the answers wrong, in one block half."""
    rng = np.random.default_rng(1)
    block, labels = rng.integers(0, 25, 300), rng.integers(0, 3, 300)
    wrong = rng.random(300) < np.where(block == 7, 0.5, 0.1)
    said = np.where(wrong, (labels + 1) % 3, labels)
    lon, lat = 10 + 0.25 * (block % 5) + 0.1, 45 + 0.25 * (block // 5) + 0.1
    return samples_of(labels, said, lon=lon.astype(float), lat=lat.astype(float)), said


def test_the_scores_are_those_of_scikit_learn(placed: tuple[Samples, NDArray[np.int64]]) -> None:
    samples, said = placed
    found = evaluate(ToldModel(), samples)
    assert (found.samples, found.by, found.blocks) == (300, "block", 25)
    assert found.accuracy.overall is not None
    assert found.accuracy.overall.value == pytest.approx(accuracy_score(samples.labels, said))
    users = precision_score(samples.labels, said, average=None)
    producers = recall_score(samples.labels, said, average=None)
    for one, user, producer in zip(found.accuracy.classes, users, producers, strict=True):
        assert one.users is not None
        assert one.producers is not None
        assert (one.users.value, one.producers.value) == pytest.approx((user, producer))
    assert found.macro_f1.value == pytest.approx(f1_score(samples.labels, said, average="macro"))


def test_the_standard_error_is_that_of_a_ratio_of_block_totals(
    placed: tuple[Samples, NDArray[np.int64]],
) -> None:
    """Cochran 1977, 9A.2 without finite population correction, written out."""
    samples, said = placed
    assert samples.lon is not None
    assert samples.lat is not None
    names = np.floor(np.column_stack([samples.lon, samples.lat]) / 0.25)
    _, block = np.unique(names, axis=0, return_inverse=True)
    right, number = np.bincount(block, said == samples.labels), np.bincount(block)
    rest = right - right.sum() / number.sum() * number
    expected = math.sqrt(25 / 24 * (rest**2).sum()) / number.sum()
    found = evaluate(ToldModel(), samples).accuracy.overall
    assert found is not None
    assert found.se == pytest.approx(expected)


def test_the_interval_of_macro_f1_is_the_jackknifes(placed: tuple[Samples, NDArray[np.int64]]) -> None:
    samples, said = placed
    assert samples.lon is not None
    assert samples.lat is not None
    names = np.floor(np.column_stack([samples.lon, samples.lat]) / 0.25)
    _, block = np.unique(names, axis=0, return_inverse=True)
    without = [
        f1_score(samples.labels[block != one], said[block != one], average="macro") for one in range(25)
    ]
    expected = math.sqrt(24 / 25 * ((without - np.mean(without)) ** 2).sum())
    assert evaluate(ToldModel(), samples).macro_f1.se == pytest.approx(expected)


def test_the_worst_block_comes_first_and_carries_its_place(
    placed: tuple[Samples, NDArray[np.int64]],
) -> None:
    found = evaluate(ToldModel(), placed[0])
    assert found.places[0].name == "10.5 45.25 to 10.75 45.5"  # block 7
    assert [p.accuracy.value for p in found.places] == sorted(p.accuracy.value for p in found.places)
    assert sum(p.samples for p in found.places) == 300


def test_accuracy_is_told_by_the_number_of_observations() -> None:
    labels = np.tile([0, 1, 2], 40)
    samples = samples_of(labels, np.where(np.arange(120) < 60, labels, (labels + 1) % 3))
    window = samples.recipe.window
    samples.series[60:, :, window.start + 10 : window.stop] = -9999  # ten of 43 bins, and all are wrong
    found = evaluate(ToldModel(), samples, by="sample")
    assert [(p.name, p.samples, p.accuracy.value) for p in found.observations] == [
        ("10 observed bins", 60, 0.0),
        ("43 observed bins", 60, 1.0),
    ]


def test_labels_that_the_model_does_not_know_become_other_or_are_left_out() -> None:
    samples = samples_of([0, 1, 2, 2], [0, 1, 2, 2], groups=np.array(["a", "a", "b", "b"]))
    other = replace(samples, class_names=("corn", "soybeans", "barley"))
    assert evaluate(ToldModel(), other).accuracy.classes[2].reference_units == 2
    assert evaluate(ToldModel(), samples).by == "column"


def test_samples_where_the_model_was_trained_are_told(placed: tuple[Samples, NDArray[np.int64]]) -> None:
    footprint = {"type": "Polygon", "coordinates": [[[10, 45], [10.25, 45], [10.25, 47], [10, 47], [10, 45]]]}
    samples, _ = placed
    assert samples.lon is not None
    inside = int((samples.lon < 10.25).sum())
    found = evaluate(ToldModel(), samples, footprint=footprint)
    assert any(note.startswith(f"{inside} of 300 samples lie where") for note in found.notices)


@pytest.mark.parametrize(
    ("by", "size", "said"),
    [
        ("column", 0.25, "--group-column"),
        ("block", 90.0, "at least two independent places, and all 300 lie in one block"),
    ],
)
def test_what_cannot_be_independent_is_refused(
    placed: tuple[Samples, NDArray[np.int64]], by: Any, size: float, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        evaluate(ToldModel(), placed[0], by=by, block_size=size)


def test_places_are_needed_for_blocks() -> None:
    with pytest.raises(InputError, match="needs places"):
        evaluate(ToldModel(), samples_of([0, 1], [0, 1]), by="block")


def test_samples_of_another_recipe_are_refused(placed: tuple[Samples, NDArray[np.int64]]) -> None:
    with pytest.raises(MismatchError, match="The model"):
        evaluate(ToldModel(Recipe.of(bin_days=10)), placed[0])


def test_intervals_by_blocks_hold_for_other_blocks() -> None:
    """All 4,096 samples of 3 out of 16 blocks: the mean of the variance is near the variance of the mean."""
    rng = np.random.default_rng(5)
    share = rng.uniform(0.4, 0.9, 16)
    means, variances = [], []
    for chosen in product(range(16), repeat=3):
        values = share[list(chosen)]
        means.append(values.mean())
        variances.append(values.var(ddof=1) / 3)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=1e-9)
    labels, said, groups = [], [], []
    for index, value in enumerate(share[:3]):
        right = round(100 * value)
        labels += [0] * 100
        said += [0] * right + [1] * (100 - right)
        groups += [f"g{index}"] * 100
    rounded = np.round(100 * share[:3]) / 100
    found = evaluate(ToldModel(), samples_of(labels, said, groups=np.array(groups))).accuracy.overall
    assert found is not None
    assert found.se**2 == pytest.approx(rounded.var(ddof=1) / 3)


@pytest.mark.parametrize("size", [0.0, -1.0, 1e-9, 91.0, float("nan"), float("inf")])
def test_blocks_have_a_size_on_the_ground(placed: tuple[Samples, NDArray[np.int64]], size: float) -> None:
    with pytest.raises(InputError, match="A block has a side of"):
        evaluate(ToldModel(), placed[0], block_size=size)
