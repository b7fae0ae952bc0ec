import numpy as np

from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import CropNetConfig
from training.fit.options import SplitRule, TrainingOptions
from training.fit.robustness import changes, robustness
from training.fit.train import train_checkpoint

TINY = CropNetConfig("compact", (8, 8), (2, 2), (0.0, 0.1), 10, 3)


def changed(samples, name):
    return changes(Recipe())[name](samples.series, np.random.default_rng(1))


def test_hiding_takes_the_share_that_its_name_says(made_samples):
    samples = made_samples(200)
    before = samples.observed.sum()
    for name, share in (("30 % of the observations hidden", 0.3), ("50 % of the observations hidden", 0.5)):
        after = (changed(samples, name)[:, 0] != -9999).sum()
        assert abs(1 - after / before - share) < 0.03


def test_one_bin_later_moves_all_bands(made_samples):
    samples = made_samples(10)
    later = changed(samples, "one bin later")
    np.testing.assert_array_equal(later[:, :, 1:], samples.series[:, :, :-1])
    assert (later[:, :, 0] == -9999).all()


def test_every_bin_is_observed_with_noise_of_a_hundredth(made_samples):
    samples = made_samples(100)
    dense = changed(samples, "every bin observed, noisy")
    assert (dense != -9999).all()
    seen = np.broadcast_to(samples.observed[:, None, :], dense.shape)
    noise = (dense.astype(float) - samples.series)[seen]
    assert abs(noise.std() - 100) < 2
    assert abs(noise.mean()) < 2


def test_unchanged_samples_score_as_in_training(made_samples):
    samples = made_samples(200)
    options = TrainingOptions(epochs=3, batch_size=16, learning_rate=0.01, device="cpu")
    checkpoint = train_checkpoint(samples, options, SplitRule(), config=TINY)
    blocks = checkpoint.provenance["split"]["held_out_blocks"]
    lon, lat = np.floor(samples.lon / 0.5), np.floor(samples.lat / 0.5)
    held_out = samples.take(np.array([[x, y] in blocks for x, y in zip(lon, lat, strict=True)]))
    figures = robustness(checkpoint, held_out)
    assert set(figures) == set(changes(Recipe()))
    assert figures["as observed"]["accuracy"] == checkpoint.metrics["accuracy"]
