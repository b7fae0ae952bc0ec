"""A training keeps what its samples looked like."""

import pytest

from inference.models.networks.cropnet import CropNetConfig
from inference.models.series import greenness
from inference.models.told.class_curves import curves_of
from training.fit.options import SplitRule, TrainingOptions
from training.fit.split import split_samples
from training.fit.train import train_checkpoint

TINY = CropNetConfig("compact", (8, 8), (2, 2), (0.0, 0.1), 10, 3)


@pytest.mark.slow
def test_a_training_keeps_the_curves_of_what_trained_it(made_samples) -> None:
    samples, options = made_samples(200), TrainingOptions(epochs=1, batch_size=16, device="cpu")
    rule = SplitRule(seed=5)
    checkpoint = train_checkpoint(samples, options, rule, year=2021, config=TINY)
    seen = samples.take(split_samples(samples, rule).training)
    values = greenness(seen.series[:, :, 24:67], checkpoint.recipe)
    expected = curves_of(values, seen.labels, 3)
    assert expected is not None
    assert checkpoint.curves == expected
