"""How samples reach the network: the window, filled and scaled, as tensors on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gee_pipeline.bands import NODATA
from gee_pipeline.recipe import Recipe
from inference.models.networks.normalisation import Normalisation
from inference.models.series import fill_gaps, model_input, scaling
from training.fit.augment import Augmentation, apply
from training.fit.resample import Moves, draw, resample, send


@dataclass(frozen=True)
class BatchMaker:
    """How samples become the model's input: the same function as in mapping, on the same window.

    In training the observations change first, as int16 with gaps. Then the gaps of the whole season are
    filled, and the series moved, stretched and warped on the device, which ends with the window. Last they
    are normalised. A sample that nothing changes is bit for bit what mapping would make of it.
    """

    recipe: Recipe
    """Window and bands."""
    normalisation: Normalisation
    """Mean and standard deviation by band."""
    device: torch.device
    """Where the tensors go."""
    augmentation: Augmentation | None = None
    """How training samples are changed; None is not at all."""

    def inputs(self, series: NDArray[np.int16]) -> Tensor:
        """Float32 `(sample, 1, band, bin)` of whole-season series `(sample, band, bin)`."""
        window = self.recipe.window
        return self._send(model_input(series[:, :, window.start : window.stop], self.normalisation))

    def training_inputs(
        self,
        series: NDArray[np.int16],
        rng: np.random.Generator,
        *,
        original: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """Float32 `(sample, 1, band, bin)` of whole-season series, changed by chance.

        Args:
            series: `(sample, band, bin)`, gaps nodata.
            rng: Where the draws come from.
            original: `(sample,)`, True for samples that are not moved, stretched or warped: see
                `Augmentation.epoch`.
        """
        augmentation = self.augmentation or Augmentation()
        series = apply(augmentation.observations, series, rng)
        if augmentation.moves is None:
            return self.inputs(series)
        return self._moved(series, augmentation.moves, rng, original)

    def labels(self, labels: NDArray[np.int64]) -> Tensor:
        """Int64 `(sample,)`."""
        return self._send(labels)

    def _moved(
        self,
        series: NDArray[np.int16],
        moves: Moves,
        rng: np.random.Generator,
        original: NDArray[np.bool_] | None,
    ) -> Tensor:
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        draws = draw(moves, len(series), generator, original=original).to(self.device)
        filled, observed = self._send(fill_gaps(series)), self._send((series != NODATA).all(axis=1))
        scale, offset = (self._send(values)[:, None] for values in scaling(self.normalisation))
        moved = resample(
            filled, observed, draws, window=self.recipe.window, bin_days=self.recipe.mean_bin_days
        )  # (sample, band, bin)
        return (moved * scale + offset)[:, None]

    def _send(self, array: NDArray[Any]) -> Tensor:
        return send(torch.from_numpy(array), self.device)
