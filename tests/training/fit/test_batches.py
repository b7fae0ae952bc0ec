"""From samples to the network's input, with and without changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import training.fit.loop
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.predictor import Predictor
from training.fit.augment import Augmentation
from training.fit.batches import BatchMaker
from training.fit.options import AUGMENTATIONS, TrainingOptions
from training.fit.resample import PAPER

CPU = torch.device("cpu")
NORMALISATION = Normalisation(tuple(np.linspace(0.05, 0.3, 10)), tuple(np.linspace(0.02, 0.2, 10)))
STILL = replace(PAPER, shift_share=0, scale_share=0, warp_share=0)


def maker_of(preset, **keywords):
    augmentation = Augmentation.of(preset, TrainingOptions(), Recipe())
    return BatchMaker(Recipe(), NORMALISATION, CPU, replace(augmentation, **keywords))


@pytest.fixture
def series(made_samples):
    """A third of the bins are gaps, and half of the others as well."""
    series = made_samples(90).series
    gaps = np.random.default_rng(4).random((90, 1, 73)) < 0.5
    return np.where(gaps, np.int16(-9999), series)


@pytest.mark.parametrize("maker", [BatchMaker(Recipe(), NORMALISATION, CPU), maker_of("none")])
def test_without_augmentation_the_inputs_are_those_of_mapping(series, maker):
    assert torch.equal(maker.training_inputs(series, np.random.default_rng(1)), maker.inputs(series))


def test_where_nothing_is_drawn_the_inputs_are_those_of_mapping_bit_for_bit(series):
    maker = maker_of("paper", parameters=STILL)
    assert torch.equal(maker.training_inputs(series, np.random.default_rng(1)), maker.inputs(series))


@pytest.mark.slow
def test_what_nothing_changes_is_mapped_as_it_was_trained(series):
    """The predictor's logits of the window are the network's of the training input."""
    torch.manual_seed(0)
    config = CropNetConfig("compact", (8, 8), (2, 2), (0.0, 0.0), 10, 3)
    network = CropNet(config).eval()
    classes = tuple(CropClass(code, f"class {code}", "#808080") for code in (1, 2, 3))
    checkpoint = Checkpoint(config, classes, Recipe(), NORMALISATION, network.state_dict())
    inputs = maker_of("paper", parameters=STILL).training_inputs(series, np.random.default_rng(1))
    with torch.no_grad():
        expected = network(inputs).numpy()
    found = Predictor(checkpoint, "cpu").logits(np.ascontiguousarray(series[:, :, 24:67]))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_reflectance_is_warped_before_it_is_normalised():
    series = np.full((400, 10, 73), 2_000, np.int16)
    moves = replace(PAPER, shift_share=0, scale_share=0, warp_share=1)
    inputs = maker_of("paper", parameters=moves).training_inputs(series, np.random.default_rng(1))
    mean, std = (np.array(values)[:, None] for values in (NORMALISATION.mean, NORMALISATION.std))
    factor = (inputs[:, 0].numpy() * std + mean) / 0.2  # one factor for all bands
    np.testing.assert_allclose(factor, np.repeat(factor[:, :1], 10, axis=1), atol=1e-5)
    assert factor[:, 0, 21].std() == pytest.approx(0.2, abs=0.03)  # the middle knot


@pytest.mark.parametrize("preset", AUGMENTATIONS)
def test_the_seed_decides(series, preset):
    maker = maker_of(preset)
    one, same, other = (maker.training_inputs(series, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one.shape, one.dtype) == ((90, 1, 10, 43), torch.float32)
    assert torch.isfinite(one).all()
    assert torch.equal(one, same)
    assert torch.equal(one, other) == (preset == "none")


@pytest.mark.parametrize("preset", AUGMENTATIONS)
def test_every_batch_is_drawn_anew_and_no_global_random_state_is_touched(series, preset):
    maker, rng = maker_of(preset), np.random.default_rng(1)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one, two = (maker.training_inputs(series, rng) for _ in range(2))
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(one, two) == (preset == "none")


def test_originals_are_fed_as_they_are_and_copies_changed(series):
    maker, original = maker_of("code"), np.arange(90) < 30
    found = maker.training_inputs(series, np.random.default_rng(1), original=original)
    plain = maker.inputs(series)
    same = (found == plain).flatten(1).all(dim=1)
    assert same[:30].all()
    assert same[30:].float().mean() < 0.1  # 1 of 202 neither scales nor shifts by a day


@pytest.mark.parametrize("preset", AUGMENTATIONS)
def test_the_samples_themselves_stay_as_they_are(series, preset):
    before = series.copy()
    maker_of(preset).training_inputs(series, np.random.default_rng(1))
    np.testing.assert_array_equal(series, before)


@pytest.mark.parametrize("days", [5, 10])
def test_other_windows_and_bins_have_their_own_shape(days):
    recipe = Recipe.of(bin_days=days, window=(91, 300))
    series = np.random.default_rng(0).integers(0, 5_000, (6, 10, recipe.bins_in_season)).astype(np.int16)
    maker = BatchMaker(recipe, NORMALISATION, CPU, Augmentation("code"))
    found = maker.training_inputs(series, np.random.default_rng(0))
    assert found.shape == maker.inputs(series).shape == (6, 1, 10, len(recipe.window))


def test_labels_are_whole_numbers_on_the_device():
    labels = maker_of("none").labels(np.array([2, 0, 1]))
    assert labels.dtype == torch.int64
    assert labels.tolist() == [2, 0, 1]


def test_the_loop_feeds_so():
    assert training.fit.loop.BatchMaker is BatchMaker


@pytest.mark.parametrize("preset", AUGMENTATIONS)
def test_all_tensors_lie_on_the_device_of_the_feed(series, preset):
    """Tensors of the meta device have shapes only, and refuse to meet tensors of another."""
    maker = replace(maker_of(preset), device=torch.device("meta"))
    found = maker.training_inputs(series, np.random.default_rng(1))
    assert (found.device.type, found.shape, found.dtype) == ("meta", (90, 1, 10, 43), torch.float32)


@pytest.mark.parametrize("preset", AUGMENTATIONS)
def test_a_device_that_fills_gaps_gets_the_same_inputs(series, preset, monkeypatch):
    maker = maker_of(preset)
    expected = maker.training_inputs(series, np.random.default_rng(1)), maker.inputs(series)
    monkeypatch.setattr(BatchMaker, "fills_there", True)
    found = maker.training_inputs(series, np.random.default_rng(1)), maker.inputs(series)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("preset", AUGMENTATIONS)
def test_a_gpu_sees_the_same_draws(series, preset):
    maker = maker_of(preset)
    there = replace(maker, device=torch.device("cuda"))
    one, two = (f.training_inputs(series, np.random.default_rng(1)) for f in (maker, there))
    assert two.device.type == "cuda"
    torch.testing.assert_close(two.cpu(), one, rtol=1e-5, atol=1e-3)
