"""The same network, arranged for speed: batch normalisation folded, layout chosen for the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from inference.cropnet import CropNet, CropNetConfig

Network = Callable[[Tensor], Tensor]
"""Float32 `(pixel, 1, band, bin)` to logits `(pixel, class)`, on one device."""


def prepare(network: CropNet, device: torch.device) -> Network:
    """A callable that gives the network's logits, fast: the one place that chooses precision and layout.

    Args:
        network: In eval mode.
        device: Where it will run.
    """
    return FoldedCropNet(network).to(device)


def folded_convolutions(network: CropNet) -> list[nn.Conv2d]:
    """The network's convolutions in order, each with the batch normalisation after it folded in."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    return [fuse_conv_bn_eval(c, n) for c, n in zip(convolutions, norms, strict=True)]


class FoldedCropNet(nn.Module):
    """CropNet as convolutions with a bias, channels last."""

    def __init__(self, network: CropNet) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(folded_convolutions(network))
        for convolution in self.convolutions:
            convolution.weight.data = convolution.weight.contiguous(memory_format=torch.channels_last)
        self.head = network.head

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(pixel, class)` of `(pixel, 1, band, bin)`."""
        x = x.contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            x = convolution(x).relu_()
        return self.head(x.mean(dim=(2, 3)))


def activation_bytes(config: CropNetConfig, bins: int) -> int:
    """Bytes one pixel takes in the widest layer: its input and output in float32.

    Args:
        config: Shape of the network.
        bins: Columns of the input matrix.
    """
    height, width, before, widest = config.bands, bins, 1, 0
    for channels, stride in zip(config.channels, config.strides, strict=True):
        inputs = height * width * before
        height, width = -(-height // stride), -(-width // stride)
        outputs = height * width * channels
        widest, before = max(widest, inputs + outputs, 2 * outputs), channels
    return 4 * widest
