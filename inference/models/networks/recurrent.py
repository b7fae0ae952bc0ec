"""Networks that read a series date by date: of published crop mapping, for comparison."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from inference.models.networks.attention import SelfAttention, by_date

DCM_HIDDEN: Final = 256
DCM_DROPOUT: Final = 0.5
FORGET: Final = 3.0
"""Bias of the forget gates at the start (Xu et al. 2020)."""

PAN_HIDDEN: Final = 128
EVERY: Final = 4
"""Dates between two hidden states that are compared between places."""

PERIOD_HIDDEN: Final = 64
PERIODS: Final = 5
HEADS: Final = 4


class DCM(nn.Module):
    """DeepCropMapping (Xu et al. 2020): a bidirectional LSTM of two layers, and attention over its dates."""

    def __init__(self, bands: int, classes: int) -> None:
        """Make the layers.

        Args:
            bands: Rows of the input.
            classes: Number of classes.
        """
        super().__init__()
        self.recurrent = nn.LSTM(
            bands, DCM_HIDDEN, num_layers=2, batch_first=True, bidirectional=True, dropout=DCM_DROPOUT
        )
        self.attention = nn.Linear(2 * DCM_HIDDEN, 1)
        self.head = nn.Linear(2 * DCM_HIDDEN, classes)
        for name, bias in self.recurrent.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.constant_(bias[DCM_HIDDEN : 2 * DCM_HIDDEN], FORGET)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(sample, class)` of `(sample, 1, band, bin)`."""
        return self.head(self.levels(x)[-1])

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """The mean over the dates, and the sum that attention weighs; the head reads that."""
        states = self.recurrent(by_date(x))[0]  # (sample, bin, 2 * hidden)
        weighed = (states * self.weights(states)[..., None]).sum(dim=1)
        return states.mean(dim=1), weighed

    def weights(self, states: Tensor) -> Tensor:
        """Share of each date, `(sample, bin)`, of the states `(sample, bin, 2 * hidden)`."""
        return self.attention(states)[..., 0].relu().softmax(dim=1)


class PAN(nn.Module):
    """The branch of the phenology alignment network (Wang et al. 2022), of which sizes are not public.

    [Ours]: a GRU of two layers of 128, whose hidden state is compared at every fourth date and the last.
    """

    def __init__(self, bands: int, classes: int) -> None:
        """Make the layers.

        Args:
            bands: Rows of the input.
            classes: Number of classes.
        """
        super().__init__()
        self.recurrent = nn.GRU(bands, PAN_HIDDEN, num_layers=2, batch_first=True)
        self.head = nn.Linear(PAN_HIDDEN, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(sample, class)` of `(sample, 1, band, bin)`."""
        return self.head(self.levels(x)[-1])

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """The hidden state after every fourth date, and after the last, which the head reads."""
        states = self.recurrent(by_date(x))[0]  # (sample, bin, hidden)
        dates = [*range(EVERY - 1, states.shape[1] - 1, EVERY), states.shape[1] - 1]
        return tuple(states[:, date] for date in dates)


class PhenoCropNet(nn.Module):
    """Dates within periods, then periods within the season (Lei et al. 2024), of which sizes are not public.

    [Ours]: five periods of as many bins as can be, a bidirectional GRU of 64 and attention of four heads on
    both levels. The crop calendar of the paper, which cuts the periods, is not public either.
    """

    def __init__(self, bands: int, classes: int) -> None:
        """Make the layers.

        Args:
            bands: Rows of the input.
            classes: Number of classes.
        """
        super().__init__()
        self.within = nn.GRU(bands, PERIOD_HIDDEN, batch_first=True, bidirectional=True)
        self.among_dates = SelfAttention(2 * PERIOD_HIDDEN, HEADS)
        self.between = nn.GRU(2 * PERIOD_HIDDEN, PERIOD_HIDDEN, batch_first=True, bidirectional=True)
        self.among_periods = SelfAttention(2 * PERIOD_HIDDEN, HEADS)
        self.head = nn.Linear(2 * PERIOD_HIDDEN, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(sample, class)` of `(sample, 1, band, bin)`."""
        return self.head(self.levels(x)[-1])

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """The mean over the periods before and after they are read as a series; the head reads the latter."""
        parts = torch.tensor_split(by_date(x), min(PERIODS, x.shape[3]), dim=1)
        periods = [self._period(part) for part in parts]
        series = torch.stack(periods, dim=1)  # (sample, period, 2 * hidden)
        season = self.among_periods(self.between(series)[0])
        return series.mean(dim=1), season.mean(dim=1)

    def _period(self, dates: Tensor) -> Tensor:
        return self.among_dates(self.within(dates)[0]).mean(dim=1)
