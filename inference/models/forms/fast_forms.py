"""The same network, arranged for speed: batch normalisation folded, the convolution direct or Winograd's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from inference.models.forms.winograd import TALLEST, WinogradConvolution
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.specification import NetworkConfig

Network = Callable[[Tensor], Tensor]
"""Float32 `(pixel, 1, band, bin)` to logits `(pixel, class)`, on one device, under `torch.inference_mode`."""

MAPS: Final = 4
"""A layer holds its input, its output and what its convolution needs besides: about four maps in all."""


def prepare(network: nn.Module, device: torch.device, form: str = "direct") -> Network:
    """A callable that gives the network's logits, fast.

    Args:
        network: In eval mode; it is taken over.
        device: Where it will run.
        form: Key of `FORMS`, for a CropNet on a CPU.
    """
    if not isinstance(network, CropNet) or not has_forms(network.config):
        return network.to(device)
    if device.type == "cpu":
        return FORMS[form](network)
    return DirectCropNet(network).to(device)


def has_forms(config: CropNetConfig | NetworkConfig) -> bool:
    """Whether a network of this shape has other forms than its own: CropNets on the matrix have."""
    return isinstance(config, CropNetConfig) and config.dimensions == 2


class DirectCropNet(nn.Module):
    """CropNet as plain convolutions with a bias, channels last: 1.5 to 2.8 times as fast as `CropNet`."""

    def __init__(self, network: CropNet) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*folded_convolutions(network))
        self.head = network.head

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(pixel, class)` of `(pixel, 1, band, bin)`."""
        x = x.contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            x = convolution(x).relu_()
        return self.head(x.mean(dim=(2, 3), dtype=self.head.weight.dtype))


class WinogradCropNet(nn.Module):
    """CropNet on maps `(position, pixel, channel)`, with Winograd's convolution where it applies."""

    def __init__(self, network: CropNet) -> None:
        super().__init__()
        layers, height = [], network.config.bands
        for convolution in folded_convolutions(network):
            layers.append(_layer(convolution, height))
            height = -(-height // convolution.stride[0])
        self.layers = nn.Sequential(*layers)
        self.head = network.head

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(pixel, class)` of `(pixel, 1, band, bin)`."""
        x = x.permute(3, 2, 0, 1).flatten(0, 1)  # (position, pixel, 1): column by column
        return self.head(self.layers(x).mean(dim=0))


class _DirectLayer(nn.Module):
    """A convolution of any stride and the ReLU after it, on maps `(position, pixel, channel)`."""

    def __init__(self, convolution: nn.Conv2d, height: int) -> None:
        super().__init__()
        self.convolution, self.height = convolution, height

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(-1, self.height, *x.shape[1:]).permute(2, 3, 1, 0)  # (pixel, channel, row, column)
        y = self.convolution(x.contiguous(memory_format=torch.channels_last)).relu_()
        return y.permute(3, 2, 0, 1).flatten(0, 1)


def folded_convolutions(network: CropNet) -> list[nn.Conv2d]:
    """The network's convolutions in order, each with the batch normalisation after it folded in."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    folded = [fuse_conv_bn_eval(c, n) for c, n in zip(convolutions, norms, strict=True)]
    for convolution in folded:
        convolution.weight.data = convolution.weight.contiguous(memory_format=torch.channels_last)
    return folded


def activation_bytes(config: CropNetConfig, bins: int) -> int:
    """Bytes that one pixel takes on its way through the network: `MAPS` times its largest feature map.

    Args:
        config: Shape of the network.
        bins: Columns of the input matrix.
    """
    shape, largest = [config.bands, bins] if config.dimensions == 2 else [config.bands * bins], 0
    for channels, stride in zip(config.channels, config.strides, strict=True):
        shape = [-(-size // stride) for size in shape]
        largest = max(largest, math.prod(shape) * channels)
    return MAPS * torch.float32.itemsize * largest


def _layer(convolution: nn.Conv2d, height: int) -> nn.Module:
    if convolution.stride == (1, 1) and height <= TALLEST:
        return WinogradConvolution(convolution, height)
    return _DirectLayer(convolution, height)


FORMS: Final[dict[str, Callable[[CropNet], nn.Module]]] = {
    "direct": DirectCropNet,
    "winograd": WinogradCropNet,
}
"""The forms of a CropNet on a CPU by name; their logits differ by rounding only."""
