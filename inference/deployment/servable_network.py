"""A checkpoint as the weights that Earth Engine's servers take: normalisation folded in, 32-bit numbers."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gee_pipeline.earthengine.network.network_weights import Convolution, Matrix, NetworkWeights, Told
from gee_pipeline.errors import InputError
from inference.models.checkpoint import Checkpoint
from inference.models.forms.fast_forms import folded_convolutions
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.mlp import MLP
from inference.models.networks.specification import NetworkConfig, title_of
from inference.models.series import scaling

MOST_MULTIPLICATIONS: Final = 12_000_000
"""Products a pixel that a network on the servers takes at most: one of 32 channels takes 7.5 million."""


def network_weights(checkpoint: Checkpoint) -> NetworkWeights:
    """The weights of a small CropNet, or of a multilayer perceptron, for the servers.

    Batch normalisation is folded into the layers in doubles, then all is rounded to 32 bits: the same
    numbers are used here and there.

    Raises:
        InputError: The network has layers that the servers' graph does not know, or is too large for it.
    """
    network = _require_servable(checkpoint)
    factor, offset = scaling(checkpoint.normalisation, checkpoint.recipe)
    head = np.column_stack([_array(network.head.weight), _array(network.head.bias)])
    weights = NetworkWeights(
        factor=_floats(factor),
        offset=_floats(offset),
        bins=len(checkpoint.recipe.window),
        convolutions=_convolutions(network),
        layers=_layers(network),
        head=_rows(head),
        temperature=checkpoint.temperature,
        told=_told(checkpoint),
    )
    _require_small(weights, checkpoint)
    return weights


def _require_servable(checkpoint: Checkpoint) -> CropNet | MLP:
    config = checkpoint.config
    matrix = isinstance(config, CropNetConfig) and config.dimensions == 2
    if not matrix and not (isinstance(config, NetworkConfig) and config.model == "mlp"):
        raise InputError(
            "Earth Engine's servers run CropNet on the matrix of bands and bins, and mlp; this model is "
            f"{title_of(config)}, which has layers that their graph does not know. Distil a CropNet of it: "
            "'cropmap distill --teacher MODEL --channels 16'."
        )
    network = checkpoint.build()
    assert isinstance(network, CropNet | MLP)
    return network


def _require_small(weights: NetworkWeights, checkpoint: Checkpoint) -> None:
    if weights.multiplications > MOST_MULTIPLICATIONS:
        raise InputError(
            f"A network on Earth Engine's servers takes at most {MOST_MULTIPLICATIONS:,} multiplications a "
            f"pixel, and {title_of(checkpoint.config)} takes {weights.multiplications:,} with "
            f"{weights.count:,} weights. Distil a small one of it: 'cropmap distill --teacher MODEL "
            "--channels 16'; or map with '--model fast', which is one."
        )


def _convolutions(network: CropNet | MLP) -> tuple[Convolution, ...]:
    if isinstance(network, MLP):
        return ()
    return tuple(map(_convolution, folded_convolutions(network.double())))


def _layers(network: CropNet | MLP) -> tuple[Matrix, ...]:
    return tuple(map(_layer, network.hidden.children())) if isinstance(network, MLP) else ()


def _convolution(layer: nn.Conv2d) -> Convolution:
    taps = _array(layer.weight).transpose(0, 2, 3, 1)  # (out, row, column, in)
    if taps.shape[1:3] != (3, 3) or layer.bias is None:
        raise AssertionError("CropNet convolves by 3 x 3 places, its normalisation is a bias")
    rows = np.column_stack([taps.reshape(len(taps), -1), _array(layer.bias)])
    return Convolution(_rows(rows), layer.stride[0])


def _layer(layer: nn.Module) -> Matrix:
    """A hidden layer of a perceptron with its batch normalisation folded in."""
    linear, norm, *_ = layer.children()
    assert isinstance(linear, nn.Linear)
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    bias = _array(norm.bias) + gain * (_array(linear.bias) - _array(norm.running_mean))
    return _rows(np.column_stack([gain[:, None] * _array(linear.weight), bias]))


def _told(checkpoint: Checkpoint) -> Told:
    sets, known = checkpoint.prediction_sets, checkpoint.applicability
    limits = sets.limits if sets else None
    if known is None:
        return Told(limits)
    return Told(limits, known.means, known.precision, known.limit)


def _array(values: torch.Tensor) -> NDArray[np.float64]:
    return values.detach().double().numpy()


def _rows(values: NDArray[np.float64]) -> Matrix:
    return tuple(map(_floats, values))


def _floats(values: NDArray[np.floating]) -> tuple[float, ...]:
    """Numbers of 32 bits with the fewest digits that read back as the same."""
    return tuple(_shortest(value) for value in values.astype(np.float32))


def _shortest(value: np.float32) -> float:
    return float(np.format_float_scientific(value, unique=True)) if math.isfinite(value) else float(value)
