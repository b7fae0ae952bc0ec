"""Training on two sensors: every change and number keeps to the bands that are observed together."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from gee_pipeline.recipe import Recipe
from inference.models.networks.normalisation import Normalisation
from inference.models.series import fill_gaps, model_input
from training.fit.augment import Augmentation, apply, drop_observations, transforms
from training.fit.batches import BatchMaker
from training.fit.options import TrainingOptions
from training.fit.resample import PAPER
from training.fit.robustness import changes
from training.fit.train import band_statistics
from training.samples.samples import Samples

NODATA = -9999
RECIPE = Recipe.of(bands=("B4", "B8", "VV", "VH"), min_clear_bins=4)
OPTICAL, RADAR = slice(0, 2), slice(2, 4)
NORMALISATION = Normalisation((0.1, 0.3, -11.0, -17.0), (0.05, 0.1, 3.0, 4.0))


@pytest.fixture
def series():
    """Series `(40, 4, 73)`: optical in half of the bins, radar in every third."""
    random = np.random.default_rng(3)
    optical = random.integers(200, 4000, (40, 2, 73))
    radar = random.integers(-2500, -500, (40, 2, 73))
    optical[np.broadcast_to(random.random((40, 1, 73)) < 0.5, optical.shape)] = NODATA
    radar[:, :, np.arange(73) % 3 != 0] = NODATA
    return np.concatenate([optical, radar], axis=1).astype(np.int16)


def gaps(series, rows):
    """Which bins a sensor lacks, `(sample, bin)`, and that it lacks them in all its bands."""
    absent = series[:, rows] == NODATA
    assert (absent.any(axis=1) == absent.all(axis=1)).all()
    return absent[:, 0]


def test_statistics_are_in_the_unit_of_each_sensor(series):
    found = band_statistics(Samples(series, np.zeros(40, np.int64), ("corn",), recipe=RECIPE), RECIPE)
    window = series[:, :, 24:67].astype(float)
    for row, scale in enumerate((10_000, 10_000, 100, 100)):
        seen = [v / scale for v in window[:, row].ravel().tolist() if v != NODATA]
        assert found.mean[row] == pytest.approx(np.mean(seen))
        assert found.std[row] == pytest.approx(np.std(seen))


def test_observations_are_hidden_sensor_by_sensor_and_the_least_of_each_stay(series):
    options = TrainingOptions(drop_observations=0.9, magnitude_warp=0, time_shift=0, time_jitter=0)
    changed = apply(transforms(options, RECIPE), series, np.random.default_rng(1))
    for rows in (OPTICAL, RADAR):
        before, after = gaps(series, rows), gaps(changed, rows)
        assert (after | ~before).all()  # nothing new is observed
        assert after.sum() > before.sum()
        assert ((~after[:, 24:67]).sum(axis=1) >= 4).all()
    hidden = [gaps(changed, rows) & ~gaps(series, rows) for rows in (OPTICAL, RADAR)]
    both = ~gaps(series, OPTICAL) & ~gaps(series, RADAR)
    assert (hidden[0] != hidden[1])[both].any()  # a cloud does not hide the radar


def test_brightness_changes_reflectance_and_no_decibel(series):
    options = TrainingOptions(drop_observations=0, magnitude_warp=0.2, time_shift=0, time_jitter=0)
    changed = apply(transforms(options, RECIPE), series, np.random.default_rng(1))
    assert (changed[:, OPTICAL] != series[:, OPTICAL]).any()
    np.testing.assert_array_equal(changed[:, RADAR], series[:, RADAR])
    radar = Recipe.of(bands=("VV", "VH"), min_clear_bins=4)
    assert transforms(options, radar) == ()


def test_a_season_moves_as_a_whole(series):
    options = TrainingOptions(drop_observations=0, magnitude_warp=0, time_shift=3, time_jitter=0)
    changed = apply(transforms(options, RECIPE), series, np.random.default_rng(1))
    moved = 0
    for before, after in zip(series, changed, strict=True):
        by = [s for s in range(-3, 4) if (np.roll(before, s, axis=1)[:, 3:-3] == after[:, 3:-3]).all()]
        assert by
        moved += by != [0]
    assert moved


def test_one_sensor_draws_as_it_did_before_there_were_several():
    optical = np.random.default_rng(3).integers(200, 4000, (30, 10, 73)).astype(np.int16)
    options = TrainingOptions(drop_observations=0.5, magnitude_warp=0, time_shift=0, time_jitter=0)
    hide = partial(drop_observations, shares=(0.0, 0.5), window=Recipe().window, at_least=8)
    wanted = hide(optical, np.random.default_rng(1))
    found = apply(transforms(options, Recipe()), optical, np.random.default_rng(1))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("still", [True, False])
def test_series_move_alike_and_only_reflectance_is_warped(series, still):
    strength = {"warp_share": 0.0 if still else 1.0, "shift_share": 0.0, "scale_share": 0.0}
    augmentation = Augmentation("paper", parameters=replace(PAPER, **strength))
    maker = BatchMaker(RECIPE, NORMALISATION, torch.device("cpu"), augmentation)
    plain = maker.inputs(series)
    found = maker.training_inputs(series, np.random.default_rng(1))
    assert torch.equal(found[:, :, RADAR], plain[:, :, RADAR])
    assert torch.equal(found[:, :, OPTICAL], plain[:, :, OPTICAL]) == still
    np.testing.assert_array_equal(plain.numpy(), model_input(series[:, :, 24:67], NORMALISATION, RECIPE))


def test_noise_is_in_the_unit_of_each_sensor(series):
    full = changes(RECIPE)["every bin observed, noisy"](series, np.random.default_rng(1))
    noise = (full - fill_gaps(series, RECIPE.group_sizes)).std(axis=(0, 2))
    np.testing.assert_allclose(noise, [100, 100, 100, 100], rtol=0.05)  # 0.01 and 1 dB
