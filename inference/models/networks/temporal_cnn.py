"""A convolution along the dates, all bands at once."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from inference.models.networks.cropnet import initialise

CHANNELS: Final = (64, 128, 256)
WIDTH: Final = 5
DROPOUT: Final = 0.3


class TemporalCNN(nn.Module):
    """The extractor of DACCN (Wang et al. 2023), of which sizes are not public; with `mmd` it is that method.

    [Ours]: three convolutions of width 5 over the dates with 64, 128 and 256 channels, batch normalisation
    and ReLU, the mean over all dates.
    """

    def __init__(self, bands: int, classes: int) -> None:
        """Make the layers.

        Args:
            bands: Rows of the input.
            classes: Number of classes.
        """
        super().__init__()
        inputs = (bands, *CHANNELS[:-1])
        self.blocks = nn.ModuleList([_block(*sizes) for sizes in zip(inputs, CHANNELS, strict=True)])
        self.head = nn.Linear(CHANNELS[-1], classes)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(sample, class)` of `(sample, 1, band, bin)`."""
        return self.head(self.levels(x)[-1])

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """The mean over all dates after each convolution; the head reads the last."""
        dates, found = x[:, 0], []
        for block in self.blocks:
            dates = block(dates)
            found.append(dates.mean(dim=2))
        return tuple(found)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, WIDTH, padding=WIDTH // 2, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
        nn.Dropout1d(DROPOUT),
    )
