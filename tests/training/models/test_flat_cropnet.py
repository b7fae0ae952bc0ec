from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.networks.cropnet import CropNetConfig
from inference.models.predictor import Predictor
from training.fit.options import SplitRule, TrainingOptions
from training.fit.train import train_checkpoint


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def brighter_by_class(samples):
    """Crops that differ in brightness too: short kernels, averaged, cannot tell early from late."""
    added = 1000 * samples.labels[:, None, None]
    series = np.where(samples.series == -9999, -9999, samples.series + added).astype(np.int16)
    return replace(samples, series=series)


@pytest.mark.slow
def test_a_cropnet_along_the_flat_series_is_trained_saved_and_maps(made_samples, tmp_path):
    config = CropNetConfig("compact", (16, 16), (2, 2), (0.0, 0.0), 10, 3, dimensions=1)
    options = TrainingOptions(epochs=12, batch_size=32, learning_rate=0.01, device="cpu")
    checkpoint = train_checkpoint(brighter_by_class(made_samples(160)), options, SplitRule(), config=config)
    save_checkpoint(tmp_path / "flat.safetensors", checkpoint)
    loaded = load_checkpoint(tmp_path / "flat.safetensors")
    assert loaded.config == config
    unseen = brighter_by_class(made_samples(60, seed=5))
    found = Predictor(loaded, "cpu").predict(unseen.series[:, :, 24:67])
    assert (found.codes == 1 + unseen.labels).mean() > 0.9
