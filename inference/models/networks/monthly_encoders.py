"""Presto and Galileo nano on months of Sentinel-2: encoders that others trained on unlabelled series.

Both are attention over tokens, one for each month and group of bands. Only the groups of Sentinel-2 are
tokens here; those of other sensors, of weather, terrain and maps, and that of the place are left out, as both
leave out what they are not given. (Presto was never trained without a place. A model of cropmap does not know
where a series is, and a place that is learnt in one region says nothing in another.) Stochastic depth, by
which Galileo is trained, is left out too.

After Tseng et al. 2023 (Presto, arXiv 2304.14065) and Tseng et al. 2025 (Galileo, arXiv 2502.09356), whose
code is MIT, copyright (c) 2024 Presto Authors. Written again here; the tests hold what the encoders give
equal to what the original code gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from gee_pipeline.recipe import Recipe
from inference.models.networks.attention import SelfAttention, sinusoids
from inference.models.networks.mlp import MLP
from inference.models.networks.monthly_means import MonthlyMeans
from inference.models.networks.normalisation import Normalisation

WIDTH: Final = 128
HEADS: Final = 8
INNER: Final = 512
PART: Final = 32
"""Features of a token that say its group; as many say its month."""

GROUPS: Final = {
    "S2_RGB": (0, 1, 2),
    "S2_Red_Edge": (3, 4, 5),
    "S2_NIR_10m": (6,),
    "S2_NIR_20m": (7,),
    "S2_SWIR": (8, 9),
    "NDVI": (10,),
}
"""Name of a group, as in the published files -> its columns in the months of `MonthlyMeans`."""

_GALILEO_MEAN: Final = (
    1395.3408730676722,
    1338.4026921784578,
    1343.09883810357,
    1543.8607982512297,
    2186.2022069512263,
    2525.0932853316694,
    2410.3377187373408,
    2750.2854646886753,
    2234.911100061487,
    1474.5311266077113,
)
_GALILEO_STD: Final = (
    917.7041440370853,
    913.2988423581528,
    1092.678723527555,
    1047.2206083460424,
    1048.0101611156767,
    1143.6903026819996,
    1098.979177731649,
    1204.472755085893,
    1145.9774063078878,
    980.2429840007796,
)
"""Of the bands in Galileo's own training data, reflectance x 10,000 (its config/normalization.json)."""


@dataclass(frozen=True)
class Design:
    """Where one of the encoders differs from the other."""

    blocks: int
    """How many of attention."""
    said: Callable[[Sequence[int]], Tensor]
    """Months, 0 for January -> `(month, 128)`, what tokens are told of their month; 0 where groups stand."""
    group_start: int
    """First of the features that say the group."""
    least: tuple[float, ...]
    """Reflectance of each band, and index, that becomes 0."""
    range: tuple[float, ...]
    """By how much it must be larger to become 1."""
    normalises_first: bool
    """Whether tokens are normalised before their mean is taken, or the mean after."""


def _presto_said(months: Sequence[int]) -> Tensor:
    order = sinusoids(len(months))  # (month, 64)
    return torch.cat([month_waves(months), torch.zeros(len(months), PART), order], dim=1)


def _galileo_said(months: Sequence[int]) -> Tensor:
    order = _flat_waves(torch.arange(len(months)))
    where = _flat_waves(torch.zeros(1), PART // 2).repeat(len(months), 2)  # the only pixel of its patch
    return torch.cat([torch.zeros(len(months), PART), order, month_waves(months), where], dim=1)


def month_waves(months: Sequence[int]) -> Tensor:
    """`(month, 32)`: sine and cosine of the time of the year, each 16 times."""
    angles = torch.tensor(months)[:, None] * (2 * math.pi / 12)
    return torch.cat([angles.sin(), angles.cos()], dim=1).repeat_interleave(PART // 2, dim=1)


def _flat_waves(positions: Tensor, width: int = PART) -> Tensor:
    """`(position, width)`: Galileo's sines, then its cosines; its rates fall by far less than is usual."""
    rates = 10_000.0 ** -(torch.arange(width // 2) / width / 2)
    angles = positions[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


PRESTO: Final = Design(
    blocks=2,
    said=_presto_said,
    group_start=PART,
    least=(0.0,) * 11,
    range=(1.0,) * 11,
    normalises_first=False,
)

GALILEO_NANO: Final = Design(
    blocks=4,
    said=_galileo_said,
    group_start=0,
    least=(*((m - 2 * s) / 1e4 for m, s in zip(_GALILEO_MEAN, _GALILEO_STD, strict=True)), 0.0),
    range=(*(4 * s / 1e4 for s in _GALILEO_STD), 1.0),
    normalises_first=True,
)


class _Block(nn.Module):
    """Attention, then each token by itself; both of what is normalised, and added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = SelfAttention(WIDTH, HEADS)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.alone = nn.Sequential(nn.Linear(WIDTH, INNER), nn.GELU(), nn.Linear(INNER, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.alone(self.norm2(x))


class MonthlyEncoder(nn.Module):
    """From months of Sentinel-2 to an embedding."""

    said: Tensor
    least: Tensor
    range: Tensor

    def __init__(self, design: Design, months: Sequence[int]) -> None:
        """Make the layers.

        Args:
            design: Which encoder.
            months: Those of the input, 0 for January, in order.
        """
        super().__init__()
        self.normalises_first = design.normalises_first
        self.embeds = nn.ModuleDict(
            {name: nn.Linear(len(columns), WIDTH) for name, columns in GROUPS.items()}
        )
        self.groups = nn.Parameter(torch.empty(len(GROUPS), PART).normal_(std=0.02))
        self.blocks = nn.ModuleList([_Block() for _ in range(design.blocks)])
        self.norm = nn.LayerNorm(WIDTH)
        self.around = (design.group_start, WIDTH - PART - design.group_start)
        self.register_buffer("said", design.said(months), persistent=False)
        for name, values in (("least", design.least), ("range", design.range)):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def forward(self, months: Tensor) -> Tensor:
        """`(sample, 128)` of `(sample, month, 11)` from `MonthlyMeans`."""
        scaled = (months - self.least) / self.range
        parts = [self.embeds[name](scaled[..., columns]) for name, columns in GROUPS.items()]
        told = self.said[:, None] + functional.pad(self.groups, self.around)  # (month, group, feature)
        tokens = (torch.stack(parts, dim=2) + told).flatten(1, 2)  # (sample, month x group, feature)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).mean(dim=1) if self.normalises_first else self.norm(tokens.mean(dim=1))


class MonthlyNetwork(nn.Module):
    """Months of the model's input, an encoder, and a head on its embedding."""

    def __init__(
        self,
        design: Design,
        classes: int,
        recipe: Recipe,
        normalisation: Normalisation,
        *,
        frozen: bool = False,
    ) -> None:
        """Make the layers.

        Args:
            design: Which encoder.
            classes: Number of classes.
            recipe: Bands and window of the input.
            normalisation: How the input was scaled.
            frozen: Whether training leaves the encoder as it is; its head is then a multilayer perceptron, as
                in the later version of Tong et al. 2025, else one linear layer.

        Raises:
            InputError: A band is missing, or the window holds half of no month.
        """
        super().__init__()
        self.means = MonthlyMeans(recipe, normalisation)
        self.encoder = MonthlyEncoder(design, self.means.months).requires_grad_(not frozen)
        self.head = MLP(WIDTH, classes) if frozen else nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(sample, class)` of `(sample, 1, band, bin)` from `inference.models.series.model_input`."""
        return self.head(self.embed(x))

    def embed(self, x: Tensor) -> Tensor:
        """The embedding `(sample, 128)` of the same."""
        return self.encoder(self.means(x))
