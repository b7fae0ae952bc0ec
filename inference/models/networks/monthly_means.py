"""Calendar months of reflectance, which encoders of other groups read, from the model's input."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from inference.models.networks.normalisation import Normalisation

YEAR: Final = 2001
"""Whose days stand for those of any season; neither it nor the next has a 29 February."""

BANDS: Final = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
"""Bands of Sentinel-2 that the encoders read, in their order; the index comes after them."""

RED: Final = BANDS.index("B4")
NEAR_INFRARED: Final = BANDS.index("B8")


class MonthlyMeans(nn.Module):
    """Undoes the normalisation, and averages bins over the days of each month."""

    mean: Tensor
    std: Tensor
    shares: Tensor

    def __init__(self, recipe: Recipe, normalisation: Normalisation) -> None:
        """Prepare the average.

        Args:
            recipe: Bands and window of the input.
            normalisation: How the input was scaled.

        Raises:
            InputError: A band is missing, or the window holds the half of no month.
        """
        super().__init__()
        self.rows = _rows(recipe.bands)
        for name, values in (("mean", normalisation.mean), ("std", normalisation.std)):
            column = torch.tensor([values[row] for row in self.rows], dtype=torch.float32)[:, None]
            self.register_buffer(name, column, persistent=False)  # (band, 1)
        shares, self.months = month_shares(recipe)
        self.register_buffer("shares", torch.from_numpy(shares).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(sample, month, 11)`: reflectance of `BANDS`, and NDVI, of `(sample, 1, band, bin)`."""
        with torch.autocast(x.device.type, enabled=False):  # 16 bits would blur the index
            bands = x[:, 0, self.rows].float() * self.std + self.mean
            return with_index((bands @ self.shares).transpose(1, 2))


def with_index(months: Tensor) -> Tensor:
    """`(sample, month, 11)` of `(sample, month, 10)`: NDVI comes last, 0 where both bands are."""
    near, red = months[..., NEAR_INFRARED], months[..., RED]
    both = near + red
    index = torch.where(both > 0, (near - red) / torch.where(both > 0, both, 1.0), 0.0)
    return torch.cat([months, index[..., None]], dim=2)


def month_shares(recipe: Recipe) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """How bins make months, and which months they are.

    A bin counts in a month by its days there, so that one across the end of a month is shared by both. A
    month of which the window holds less than half is left out. Months are those of a season in the north: a
    series of the south, which starts half a year apart, is shown as one of the north, since a model does not
    know where a series is.

    Args:
        recipe: Season, window and bins.

    Returns:
        `(bin, month)`, each column of sum 1, and the months, 0 for January, in order.

    Raises:
        InputError: The window holds half of no month.
    """
    season = Season(YEAR, recipe.season.north.day.in_year(YEAR))
    spans = [season.bin(index, recipe.bin_days) for index in recipe.window]
    days = [
        Counter((day.start.year, day.start.month) for day in span.single_days) for span in spans
    ]  # of each bin: month -> days
    seen = sum(days, Counter[tuple[int, int]]())
    kept = [month for month in sorted(seen) if 2 * seen[month] >= monthrange(*month)[1]]
    if not kept:
        raise InputError(
            f"This network reads calendar months, and the window of days {recipe.season.first_day} to "
            f"{recipe.season.last_day} holds half of none. Choose a longer --window or another --model."
        )
    shares = np.array([[counts[month] / seen[month] for month in kept] for counts in days])
    return shares, tuple(month - 1 for _, month in kept)


def _rows(bands: Sequence[str]) -> list[int]:
    if missing := [band for band in BANDS if band not in bands]:
        raise InputError(
            f"This network reads the bands {', '.join(BANDS)}; {', '.join(missing)} is not among "
            f"{', '.join(bands)}. Use the samples of Sentinel-2 with all bands, or another --model."
        )
    return [list(bands).index(band) for band in BANDS]
