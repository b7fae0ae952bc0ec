"""What looks wrong in observed values: each fault is told of, real values are not."""

import re

import numpy as np
import pytest

from gee_pipeline.observations import ValueStatistics
from gee_pipeline.recipe import Recipe
from gee_pipeline.source import SceneCounts
from inference.models.checkpoint import load_checkpoint
from inference.models.networks.normalisation import Normalisation
from inference.models.shipped import model_path
from inference.product.plausibility import Check
from inference.run.ledger import Observed

RECIPE = Recipe.of(bands=("B4", "B8"))
TRAINED = Normalisation((0.10, 0.30), (0.05, 0.10))


def check(values, *, recipe=RECIPE, normalisation=None, **scenes):
    """That of stored values `(band, number)`."""
    cube = np.repeat(np.repeat(np.asarray(values, np.int16)[None, :, :, None], 4, axis=2), 4, axis=3)
    return Check(Observed(1, ValueStatistics.of(cube), SceneCounts(**scenes)), recipe, normalisation)


def plausible():
    draw = np.random.default_rng(1)
    return np.clip(draw.normal([[1_000], [3_000]], [[500], [1_000]], (2, 4_000)), 1, 9_999).astype(np.int16)


def test_values_like_those_of_the_training_are_not_told_of():
    found = check(plausible(), normalisation=TRAINED, scenes=100, empty=5, clear=1_000, struck=300)
    assert found.notices() == ()


FAULTS = {
    "offset lost": (plausible() + 1_000, r"Mean of B4 0\.2\d\d \(training 0\.100\): 1 of 2 bands"),
    "tenfold": (
        np.minimum(plausible().astype(int) * 10, 32_000),
        r"B4 .*B8 .*2 of 2 bands|B8 .*B4 .*2 of 2 bands",
    ),
    "a tenth": (plausible() // 10, r"2 of 2 bands"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_values_unlike_those_of_the_training_are_told_of_with_both_means(fault):
    values, said = FAULTS[fault]
    (text,) = check(values, normalisation=TRAINED).notices()
    assert "not like those that the model was trained on" in text
    assert re.search(said, text)
    assert check(values).notices() == ()  # without a model nothing is known of it


@pytest.mark.parametrize(
    ("band", "place", "number", "share", "said"),
    [
        ("B4", 0, -50, 0.12, "12% in B4 of the observed reflectances are negative"),
        ("B8", 1, 0, 0.06, "6% in B8 of the observed reflectances are exactly 0"),
        ("B8", 1, 10_000, 0.06, "6% in B8 of the observed reflectances are exactly 1"),
        ("B4", 0, 32_766, 0.02, "2% in B4 of the observed values lie outside what can be stored"),
    ],
)
def test_impossible_numbers_are_told_of_with_their_share(band, place, number, share, said):
    values = plausible()
    some = values.copy()
    some[place, : round(share * 4_000)] = number
    (text,) = check(some).notices()
    assert said in text
    values[place, : round(share / 3 * 4_000)] = number
    assert check(values).notices() == ()


def test_pixels_without_a_value_and_empty_scenes_are_told_of():
    found = check(plausible(), clear=1_000, struck=600, scenes=80, empty=20).notices()
    assert "60% of the clear pixels have no valid value" in found[0]
    assert "In 20 of 100 looks of a scene at a cell there is no pixel" in found[1]


def test_cells_that_no_scene_shows_are_told_of():
    values = ValueStatistics.from_rows([[0] * 7] * 2)
    (text,) = Check(Observed(9, values, SceneCounts(), without_scenes=4), RECIPE).notices()
    assert "No scene shows 4 of 9 cells" in text


def test_radar_is_not_measured_by_the_rules_of_reflectance():
    recipe = Recipe.of(bands=("VV", "VH"))
    assert check(np.full((2, 100), -1_500), recipe=recipe).notices() == ()


def test_the_report_has_each_band_in_its_unit():
    (first, second) = check(plausible(), normalisation=TRAINED).report()["bands"]
    assert (first["band"], first["values"]) == ("B4", 4_000)
    assert first["mean"] == pytest.approx(0.1, abs=0.003)
    assert second["standard_deviation"] == pytest.approx(0.1, abs=0.003)
    assert second["training"] == {"mean": 0.30, "standard_deviation": 0.10}
    assert first["shares"] == {"zero": 0.0, "one": 0.0, "negative": 0.0, "clipped": 0.0}
    assert Check(Observed(), RECIPE).report() == {}


def test_the_default_model_notices_a_lost_offset_in_its_own_kind_of_values():
    model = load_checkpoint(model_path(None))
    mean, deviation = (
        np.array(part)[:, None] for part in (model.normalisation.mean, model.normalisation.std)
    )
    draw = np.random.default_rng(2).normal(mean, deviation, (10, 5_000))
    values = np.clip(draw * 10_000, 1, 9_999).astype(np.int16)
    known = {"recipe": model.recipe, "normalisation": model.normalisation}
    assert check(values, **known).notices() == ()
    (lost,) = check(values + 1_000, **known).notices()
    assert "Mean of B2" in lost
