from dataclasses import asdict

import numpy as np
import pytest
import shapely

from gee_pipeline.recipe import USUAL
from inference.models.checkpoint import load_checkpoint
from inference.models.model_card import describe
from inference.models.predictor import Predictor
from inference.models.shipped import model_path
from training.fit.robustness import changes
from training.shipped.default_checkpoint import CLASSES, OPTIONS

pytestmark = pytest.mark.slow

CDL_CODES = {"corn": 1, "soybeans": 5, "rice": 3, "cotton": 2}


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(model_path("accurate"))


def test_it_is_small_enough_to_ship():
    assert model_path("accurate").stat().st_size < 6_000_000


def test_its_classes_and_recipe_are_the_defaults(shipped):
    assert [(c.code, c.name) for c in shipped.classes] == [
        (1, "corn"),
        (2, "soybeans"),
        (3, "rice"),
        (4, "cotton"),
        (5, "other"),
    ]
    assert shipped.recipe == USUAL
    assert shipped.config.preset == "compact"


def test_it_says_where_it_comes_from(shipped):
    facts = shipped.provenance
    assert "USDA NASS Cropland Data Layer (public domain)" in facts["data"]
    assert "contains modified Copernicus Sentinel data 2021" in facts["data"]
    assert (facts["year"], facts["season_start"]) == (2021, "2021-01-01")
    assert facts["samples"] == {"corn": 760, "soybeans": 2340, "rice": 1210, "cotton": 380, "other": 310}
    place = shapely.geometry.shape(facts["footprint"])
    assert place.contains(shapely.Point(-90.8, 35.3))  # eastern Arkansas
    assert place.area < 1.5 * 1.2


def test_it_can_be_made_again_with_the_options_that_it_states(shipped):
    assert {"normalisation": "band", **shipped.provenance["options"]} == asdict(OPTIONS)  # it is older


def test_its_card_is_complete(shipped):
    card = dict(describe(shipped))
    assert "not stated" not in " ".join(card.values())
    calibration = shipped.metrics["calibration"]
    assert shipped.temperature == calibration["temperature"] != 1
    assert calibration["ece_after"] <= calibration["ece_before"] < 0.03
    assert "fitted to the held-out samples" in card["Confidence"]
    for label in ("Trained on", "Year", "Place", "Samples", "Training", "Held out by", "Season", "Recipe"):
        assert card[label]


def test_its_recorded_figures_are_good_on_land_it_did_not_see(shipped):
    metrics = shipped.metrics
    assert metrics["accuracy"] >= 0.95
    assert metrics["macro_f1"] >= 0.92
    assert "blocks" in metrics["split"]
    assert set(metrics["robustness"]) == set(changes(USUAL))
    assert min(figures["accuracy"] for figures in metrics["robustness"].values()) > 0.9


def test_it_reaches_its_recorded_accuracy_on_the_real_held_out_blocks(shipped, arkansas):
    # Read and scored without the code that trained it, but for the predictor itself.
    split = shipped.provenance["split"]
    with np.load(arkansas) as raw:
        column, row = (np.floor(raw[key] / split["block_size"]).astype(int) for key in ("lon", "lat"))
        blocks = [[c, r] in split["held_out_blocks"] for c, r in zip(column, row, strict=True)]
        held_out = np.array(blocks)
        series = np.where(raw["observed"][:, None, :], raw["fea"], -9999)[held_out].astype(np.int16)
        cdl = raw["cdl"][held_out]
    truth = np.full(len(cdl), 1 + CLASSES.index("other"))
    for name, code in CDL_CODES.items():
        truth[cdl == code] = 1 + CLASSES.index(name)
    codes = Predictor(shipped, device="cpu").predict(series[:, :, 24:67]).codes
    assert len(codes) == shipped.metrics["validation_samples"]
    assert (codes == truth).mean() == pytest.approx(shipped.metrics["accuracy"], abs=0.002)  # two pixels
