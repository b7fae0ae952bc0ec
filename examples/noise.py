"""Smooth random surfaces: clouds and the texture of fields are made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], lengths: tuple[float, ...], persistence: float = 0.6
) -> NDArray[np.float32]:
    """A random surface `(y, x)` of mean 0 and standard deviation 1.

    Args:
        rng: Source of chance.
        shape: Rows and columns.
        lengths: Pixels between the nodes of each layer, coarse to fine.
        persistence: Height of a layer relative to the one before.
    """
    surface = np.zeros(shape, np.float32)
    for layer, length in enumerate(lengths):
        rows, cols = (_weights(rng, size, length) for size in shape)
        nodes = rng.standard_normal((rows.shape[1], cols.shape[1]), np.float32)
        surface += persistence**layer * (rows @ nodes @ cols.T)
    surface -= surface.mean()
    return surface / max(float(surface.std()), 1e-6)


def _weights(rng: np.random.Generator, size: int, length: float) -> NDArray[np.float32]:
    """Matrix `(size, nodes)` that blends nodes smoothly, from a random start within the first step."""
    position = np.arange(size) / length + rng.random()
    left = position.astype(int)
    part = position - left
    blend = part * part * (3 - 2 * part)
    weights = np.zeros((size, left[-1] + 2), np.float32)
    weights[np.arange(size), left] = 1 - blend
    weights[np.arange(size), left + 1] = blend
    return weights
