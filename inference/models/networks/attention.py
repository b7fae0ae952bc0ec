"""Attention over the dates of a series, and a Transformer made of it."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH: Final = 64
HEADS: Final = 2
LAYERS: Final = 3
INNER: Final = 128
DROPOUT: Final = 0.1
LONGEST: Final = 1000.0
"""Longest wave of the positions, in bins."""


def by_date(x: Tensor) -> Tensor:
    """`(sample, bin, band)` of `(sample, 1, band, bin)`."""
    return x[:, 0].transpose(1, 2)


class SelfAttention(nn.Module):
    """Every date looks at all, in several heads (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        """Make the layers.

        Args:
            width: Features of a date, a multiple of the heads.
            heads: How many.
        """
        super().__init__()
        self.heads = heads
        self.asked = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`(sample, date, feature)` of the same."""
        parts = self.asked(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(*parts)  # (sample, head, date, feature of the head)
        return self.joined(found.transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    """Attention, then each date by itself; both added to what came in, and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = SelfAttention(WIDTH, HEADS)
        self.alone = nn.Sequential(nn.Linear(WIDTH, INNER), nn.ReLU(), nn.Linear(INNER, WIDTH))
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(2)])
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        for part, norm in zip((self.attention, self.alone), self.norms, strict=True):
            x = norm(x + self.dropout(part(x)))
        return x


class Transformer(nn.Module):
    """The encoder of Vaswani et al. (2017) on the dates, as Rußwurm and Körner (2020) use it for crops.

    [Ours]: three layers of 64 features, two heads, 128 inside, dropout 0.1; sinusoids of the bins are added;
    the largest value over the dates goes to the head.
    """

    positions: Tensor

    def __init__(self, bands: int, bins: int, classes: int) -> None:
        """Make the layers.

        Args:
            bands: Rows of the input.
            bins: Columns of the input.
            classes: Number of classes.
        """
        super().__init__()
        self.inner = nn.Linear(bands, WIDTH)
        self.layers = nn.ModuleList([_Layer() for _ in range(LAYERS)])
        self.head = nn.Linear(WIDTH, classes)
        self.register_buffer("positions", sinusoids(bins), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(sample, class)` of `(sample, 1, band, bin)`."""
        return self.head(self.levels(x)[-1])

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """The largest values over the dates after each layer; the head reads the last."""
        dates, found = self.inner(by_date(x)) + self.positions, []
        for layer in self.layers:
            dates = layer(dates)
            found.append(dates.amax(dim=1))
        return tuple(found)


def sinusoids(bins: int) -> Tensor:
    """`(bin, feature)`: sines and cosines of waves from 2 pi bins to 2 pi times the longest."""
    rates = torch.exp(-math.log(LONGEST) * torch.arange(0, WIDTH, 2) / WIDTH)
    angles = torch.arange(bins)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
