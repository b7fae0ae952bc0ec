"""How samples reach the network: the window, filled and scaled, as tensors on the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gee_pipeline.recipe import Recipe
from inference.checkpoint import Normalisation
from inference.series import model_input


@dataclass(frozen=True)
class Feed:
    """How samples become the model's input: the same function as in mapping, on the same window."""

    recipe: Recipe
    """Window and bands."""
    normalisation: Normalisation
    """Mean and standard deviation by band."""
    device: torch.device
    """Where the tensors go."""

    def inputs(self, series: NDArray[np.int16]) -> Tensor:
        """Float32 `(sample, 1, band, bin)` of whole-season series `(sample, band, bin)`."""
        window = self.recipe.window
        return torch.from_numpy(model_input(series[:, :, window.start : window.stop], self.normalisation)).to(
            self.device
        )

    def labels(self, labels: NDArray[np.int64]) -> Tensor:
        """Int64 `(sample,)`."""
        return torch.from_numpy(labels).to(self.device)
