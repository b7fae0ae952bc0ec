"""Decoders: the class of each pixel from what an encoder made of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.foundation.crop_classes import CLASSES

DECODERS: Final = ("unet", "fpn")
"""Names of decoders: U-Net (Ronneberger et al. 2015), feature pyramid (Lin et al. 2017)."""

UNET_WIDTHS: Final = (256, 128, 64, 32, 16)
"""Channels of a U-Net's stages from the smallest picture on, as in segmentation-models-pytorch."""

PYRAMID_WIDTH: Final = 128
"""Channels of a feature pyramid, as in SatlasPretrain."""


def new_decoder(name: str, widths: Sequence[int]) -> nn.Module:
    """A decoder with random weights.

    Args:
        name: One of `DECODERS`.
        widths: Channels of the five tensors that it takes, from the largest picture to the smallest.

    Returns:
        What makes of the five tensors `(image, class, y, x)` logits of `CLASSES` on the pixels of the image.
    """
    return UNet(widths) if name == "unet" else FeaturePyramid(widths)


class UNet(nn.Module):
    """Each stage doubles the sides, joins what the encoder made of that size, and convolves twice."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        joined = (*reversed(widths[:-1]), 0)  # nothing has the size of the image itself
        taken = (widths[-1], *UNET_WIDTHS[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(_block(below + beside, out), _block(out, out))
            for below, beside, out in zip(taken, joined, UNET_WIDTHS, strict=True)
        )
        self.head = nn.Conv2d(UNET_WIDTHS[-1], len(CLASSES), 3, padding=1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Logits `(image, class, y, x)`."""
        x = pyramid[-1]
        for stage, beside in zip(self.stages, [*reversed(pyramid[:-1]), None], strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = stage(x if beside is None else torch.cat([x, beside], dim=1))
        return self.head(x)


class FeaturePyramid(nn.Module):
    """The four smaller tensors, each with what the next smaller one adds; the largest of them is read."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.beside = nn.ModuleList(nn.Conv2d(width, PYRAMID_WIDTH, 1) for width in widths[1:])
        self.smooth = nn.Conv2d(PYRAMID_WIDTH, PYRAMID_WIDTH, 3, padding=1)
        self.head = nn.Sequential(
            nn.Conv2d(PYRAMID_WIDTH, PYRAMID_WIDTH, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(PYRAMID_WIDTH, len(CLASSES), 3, padding=1),
        )

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Logits `(image, class, y, x)`."""
        levels = [beside(x) for beside, x in zip(self.beside, pyramid[1:], strict=True)]
        for at in range(len(levels) - 2, -1, -1):
            levels[at] = levels[at] + functional.interpolate(levels[at + 1], scale_factor=2.0)
        logits = self.head(self.smooth(levels[0]))  # a quarter of the image's sides
        return functional.interpolate(logits, scale_factor=4.0, mode="bilinear", align_corners=False)


def _block(taken: int, made: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(taken, made, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU(inplace=True)
    )
