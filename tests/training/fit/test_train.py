import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from scipy.special import softmax
from sklearn.metrics import log_loss

from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.networks.cropnet import PRESETS, CropNetConfig
from inference.models.predictor import Predictor
from inference.models.series import fill_gaps, model_input
from training.fit.options import SplitRule, TrainingOptions
from training.fit.split import in_blocks
from training.fit.train import band_statistics, train_checkpoint
from training.fit.training_data import footprint
from training.samples.samples import read_samples

pytestmark = pytest.mark.slow

TINY = CropNetConfig("compact", (8, 8), (2, 2), (0.0, 0.1), 10, 3)
OPTIONS = TrainingOptions(epochs=20, batch_size=16, learning_rate=0.01, device="cpu")


@pytest.fixture(scope="module")
def trained(made_samples):
    samples = made_samples(200)
    return samples, train_checkpoint(samples, OPTIONS, SplitRule(seed=5), year=2021, config=TINY)


def test_the_checkpoint_says_what_it_was_trained_on(trained):
    _, checkpoint = trained
    facts = checkpoint.provenance
    assert facts["data"] == "Made samples."
    assert (facts["year"], facts["season_start"]) == (2021, "2021-01-01")
    assert facts["samples"] == {"corn": 67, "soybeans": 67, "rice": 66}
    assert (facts["seed"], facts["epochs"]) == (1, 20)
    assert facts["split"]["seed"] == 5
    assert facts["options"]["learning_rate"] == 0.01
    assert facts["cropmap_version"]


def test_classes_carry_codes_and_colours(trained):
    classes = trained[1].classes
    assert [(c.code, c.name, c.color) for c in classes] == [
        (1, "corn", "#ffd300"),
        (2, "soybeans", "#186800"),
        (3, "rice", "#48b4e7"),
    ]


def test_the_map_predicts_what_training_measured(trained, tmp_path):
    samples, checkpoint = trained
    save_checkpoint(tmp_path / "model.safetensors", checkpoint)
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    lon, lat = np.floor(samples.lon / 0.5), np.floor(samples.lat / 0.5)
    blocks = loaded.provenance["split"]["held_out_blocks"]
    held_out = np.array([[x, y] in blocks for x, y in zip(lon, lat, strict=True)])
    codes = Predictor(loaded, device="cpu").predict(samples.series[held_out][:, :, 24:67]).codes
    accuracy = (codes == samples.labels[held_out] + 1).mean()
    assert held_out.sum() == loaded.metrics["validation_samples"]
    assert accuracy == pytest.approx(loaded.metrics["accuracy"])
    assert accuracy > 0.9


def test_the_history_and_the_confusion_are_kept(trained):
    metrics = json.loads(json.dumps(trained[1].metrics))
    assert len(metrics["history"]) == 20
    assert sum(map(sum, metrics["confusion"])) == metrics["validation_samples"]
    assert [c["name"] for c in metrics["classes"]] == ["corn", "soybeans", "rice"]


def test_the_map_has_the_confidence_that_was_calibrated(trained):
    samples, checkpoint = trained
    held_out = samples.take(in_blocks(samples, checkpoint.provenance["split"]))
    facts = checkpoint.metrics["calibration"]
    assert facts["samples"] == len(held_out)
    found = Predictor(checkpoint, device="cpu").predict(held_out.series[:, :, 24:67])
    logits = Predictor(checkpoint, device="cpu").logits(held_out.series[:, :, 24:67])
    assert facts["temperature"] == checkpoint.temperature
    assert facts["nll_before"] == pytest.approx(log_loss(held_out.labels, softmax(logits, axis=1)), abs=1e-4)
    scaled = softmax(logits / checkpoint.temperature, axis=1)
    assert facts["nll_after"] == pytest.approx(log_loss(held_out.labels, scaled), abs=1e-4)
    np.testing.assert_allclose(found.confidence, 100 * scaled.max(axis=1), atol=0.51)


def test_samples_of_countries_are_held_out_by_country(made_samples):
    samples = made_samples(90)
    country = np.array(["ARG", "BEL", "FRA", "NLD", "USA"])[np.arange(90) % 5]
    options = TrainingOptions(epochs=1, device="cpu")
    by_country = replace(samples, country=country)
    facts = train_checkpoint(by_country, options, SplitRule(rule="column"), config=TINY).provenance
    assert len(facts["split"]["held_out_groups"]) == 1  # a fifth
    assert set(facts["split"]["held_out_groups"]) < set(country)


def test_a_network_of_one_dimension_is_trained_when_asked_for(made_samples, monkeypatch):
    monkeypatch.setitem(PRESETS, "compact", ((4, 4, 4, 4), (2, 2, 2, 2)))
    options = TrainingOptions(epochs=1, dimensions=1, device="cpu")
    checkpoint = train_checkpoint(made_samples(60), options, SplitRule(block_size=0.25))
    assert checkpoint.config.dimensions == 1
    assert checkpoint.weights["blocks.0.0.weight"].shape == (4, 1, 3)


def test_band_statistics_are_of_observations_in_the_window(made_samples):
    samples = made_samples(40)
    outside = samples.series.copy()
    outside[:, :, :24] = outside[:, :, 67:] = 20_000  # must not count
    found = band_statistics(replace(samples, series=outside), Recipe())
    for band in range(10):
        values = [v / 10_000 for v in samples.series[:, band, 24:67].ravel().tolist() if v != -9999]
        assert found.mean[band] == pytest.approx(np.mean(values))
        assert found.std[band] == pytest.approx(np.std(values))


def test_a_constant_band_can_be_divided_by(made_samples):
    samples = made_samples(6)
    flat = replace(samples, series=np.full_like(samples.series, 500))
    assert band_statistics(flat, Recipe()).std == (1e-4,) * 10


def test_held_out_samples_do_not_shift_the_statistics(made_samples):
    samples = made_samples(200)
    options = TrainingOptions(epochs=1, device="cpu")
    checkpoint = train_checkpoint(samples, options, SplitRule(), config=TINY)
    blocks = checkpoint.provenance["split"]["held_out_blocks"]
    lon, lat = np.floor(samples.lon / 0.5), np.floor(samples.lat / 0.5)
    held_out = np.array([[x, y] in blocks for x, y in zip(lon, lat, strict=True)])
    bright = samples.series.copy()
    bright[held_out] = 9_000
    again = train_checkpoint(replace(samples, series=bright), options, SplitRule(), config=TINY)
    assert again.normalisation == checkpoint.normalisation


def test_the_footprint_covers_every_place(made_samples):
    samples = made_samples(100)
    hull = shapely.geometry.shape(json.loads(json.dumps(footprint(samples))))
    near = hull.buffer(1e-4)  # coordinates are rounded to four decimals
    assert all(near.covers(shapely.Point(x, y)) for x, y in zip(samples.lon, samples.lat, strict=True))
    assert hull.area < 4.0


@pytest.mark.parametrize("count", [1, 2])
def test_a_few_places_have_a_footprint_with_an_area(made_samples, count):
    assert shapely.geometry.shape(footprint(made_samples(64).take(np.arange(count)))).area > 0


def test_places_in_one_line_have_a_footprint_with_an_area(made_samples):
    samples = made_samples(64)
    line = replace(samples, lon=np.linspace(-91, -90, len(samples)), lat=np.linspace(34, 36, len(samples)))
    assert shapely.geometry.shape(footprint(line)).area > 0


def test_without_places_there_is_no_footprint_and_no_season(made_samples):
    placeless = replace(made_samples(60), lon=None, lat=None)
    options = TrainingOptions(epochs=1, device="cpu")
    rule = SplitRule(rule="random")
    facts = train_checkpoint(placeless, options, rule, year=2021, config=TINY).provenance
    assert (facts["footprint"], facts["season_start"]) == (None, None)


def test_a_southern_season_starts_half_a_year_earlier(made_samples):
    samples = made_samples(60)
    south = replace(samples, lat=samples.lat - 70)
    options = TrainingOptions(epochs=1, device="cpu")
    facts = train_checkpoint(south, options, SplitRule(), year=2021, config=TINY).provenance
    assert facts["season_start"] == "2020-07-01"


def test_real_crops_are_learnt_within_seconds(arkansas):
    samples = read_samples([arkansas], ["corn", "soybeans", "rice", "cotton", "other"])
    some = samples.take(np.random.default_rng(0).permutation(len(samples))[:1500])
    config = CropNetConfig("compact", (24, 24, 24), (2, 1, 2), (0.1, 0.1, 0.1), 10, 5)
    options = TrainingOptions(epochs=5, batch_size=32, learning_rate=3e-3, device="cpu")
    checkpoint = train_checkpoint(some, options, SplitRule(block_size=0.25), year=2021, config=config)
    assert checkpoint.metrics["accuracy"] > 0.8  # the largest class alone would give 0.47


def test_one_scale_for_all_bands_is_that_of_all_values_together(made_samples):
    samples = made_samples(20)
    window = samples.series[:, :, 24:67]
    values = window[window != -9999] / 10_000
    found = band_statistics(samples, Recipe(), "one")
    assert found.mean == pytest.approx((values.mean(),) * 10)
    assert found.std == pytest.approx((values.std(),) * 10)


def test_unscaled_input_is_what_is_stored(made_samples):
    samples = made_samples(6)
    found = band_statistics(samples, Recipe(), "none")
    window = samples.series[:, :, 24:67]
    np.testing.assert_allclose(model_input(window, found, Recipe())[:, 0], fill_gaps(window), rtol=1e-6)


@pytest.mark.parametrize("scaling", ["band", "one", "none"])
def test_a_map_is_compared_by_band_where_the_model_was_scaled_so(made_samples, scaling):
    options = TrainingOptions(epochs=1, batch_size=16, device="cpu", normalisation=scaling)
    checkpoint = train_checkpoint(made_samples(60), options, SplitRule(seed=5), year=2021, config=TINY)
    known = checkpoint.band_statistics
    assert known == (checkpoint.normalisation if scaling == "band" else None)
