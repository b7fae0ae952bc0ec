"""What a CropNet says of a series, in plain loops of numpy over layers as they were trained: an oracle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.models.checkpoint import Checkpoint

EPSILON = 1e-5
"""What torch adds to the variance of a batch normalisation."""


def filled(series: NDArray[np.int16]) -> NDArray[np.float64]:
    """A series `(band, bin)` whose gaps lie on straight lines; the ends hold."""
    seen = np.flatnonzero((series != -9999).all(axis=0))
    bins = np.arange(series.shape[1])
    return np.array([np.interp(bins, seen, band[seen].astype(float)) for band in series])


def logits_of(checkpoint: Checkpoint, series: NDArray[np.int16]) -> NDArray[np.float64]:
    """Logits `(class,)` of one series `(band, bin)` with gaps."""
    state = {name: tensor.numpy().astype(float) for name, tensor in checkpoint.weights.items()}
    mean, std = (np.array(values)[:, None] for values in vars(checkpoint.normalisation).values())
    maps = ((filled(series) / 10_000 - mean) / std)[None]  # (channel, band, bin)
    strides: tuple[int, ...] = checkpoint.config.strides  # type: ignore[union-attr]
    for block, stride in enumerate(strides):
        maps = _layer(maps, state, f"blocks.{block}.0", f"blocks.{block}.1", stride)
        maps = _layer(maps, state, f"blocks.{block}.3", f"blocks.{block}.4", 1)
    means = [sum(map(float, one.ravel())) / one.size for one in maps]
    return state["head.weight"] @ np.array(means) + state["head.bias"]


def probabilities(checkpoint: Checkpoint, logits: NDArray[np.float64]) -> list[float]:
    """The softmax after the temperature."""
    raised = [math.exp((value - max(logits)) / checkpoint.temperature) for value in logits]
    return [value / sum(raised) for value in raised]


def _layer(
    maps: NDArray[np.float64], state: dict[str, Any], convolution: str, norm: str, stride: int
) -> NDArray[np.float64]:
    weights = state[f"{convolution}.weight"]
    rows, columns = (-(-size // stride) for size in maps.shape[1:])
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    out = np.empty((len(weights), rows, columns))
    for row in range(rows):
        for column in range(columns):
            seen = padded[:, row * stride : row * stride + 3, column * stride : column * stride + 3]
            out[:, row, column] = [(kernel * seen).sum() for kernel in weights]
    scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + EPSILON)
    shift = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return np.maximum(out * scale[:, None, None] + shift[:, None, None], 0)
