"""Embeddings of series by a published encoder: features for a forest."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from gee_pipeline.recipe import Recipe
from inference.models.networks.monthly_encoders import MonthlyNetwork
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import build_network, config_of
from training.pretrained.start import Pretrained

_BATCH: Final = 1024
"""Series that go through the encoder at once."""


def embed(series: NDArray[np.float32], recipe: Recipe, pretrained: Pretrained) -> NDArray[np.float32]:
    """The embedding of each series, `(sample, 128)`; it does not depend on any training.

    Args:
        series: `(sample, band, bin)` of the model window, as stored, gaps filled.
        recipe: Bands and window.
        pretrained: The encoder.

    Raises:
        InputError: The recipe lacks a band, or its window a month.
    """
    bands = len(recipe.bands)
    as_stored = Normalisation((0.0,) * bands, tuple(1 / scale for scale in recipe.scales))
    with torch.random.fork_rng(devices=[]):
        network = build_network(
            config_of(pretrained.weights.encoder, "compact", 1, recipe), recipe, as_stored
        )
    assert isinstance(network, MonthlyNetwork), "encoders are parts of these"
    pretrained.start(network).eval()
    found = np.empty((len(series), network.encoder.norm.normalized_shape[0]), np.float32)
    with torch.inference_mode():
        for start in range(0, len(series), _BATCH):
            part = slice(start, start + _BATCH)
            found[part] = network.embed(torch.from_numpy(series[part])[:, None]).numpy()
    return found
