"""CropNet along 35 harmonic coefficients, which it computes from the model's input itself."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from gee_pipeline.features.harmonic import DARKEST_GREEN, FEATURES, band_rows, bin_days, fit_matrix
from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation

NORM_EPS: Final = 1e-10
"""Added to a variance: the coefficients of a band vary by 0.01 about, and torch's 1e-5 would show."""


class HarmonicCropNet(nn.Module):
    """Least squares as one matrix product, coefficients scaled by running statistics, CropNet-1D."""

    mean: Tensor
    std: Tensor
    fit: Tensor

    def __init__(self, preset: str, classes: int, recipe: Recipe, normalisation: Normalisation) -> None:
        """Prepare the fit.

        Args:
            preset: Preset of `inference.models.networks.cropnet`.
            classes: Number of classes.
            recipe: Bands and window of the input.
            normalisation: How the input was scaled.
        """
        super().__init__()
        rows = band_rows(recipe.bands)
        self.rows = rows
        for name, values in (("mean", normalisation.mean), ("std", normalisation.std)):
            column = torch.tensor([values[row] for row in rows], dtype=torch.float32)[:, None]
            self.register_buffer(name, column)  # (band, 1)
        fit = fit_matrix(bin_days(recipe)).T  # (bin, coefficient)
        self.register_buffer("fit", torch.from_numpy(fit).float())
        self.scale = nn.BatchNorm1d(len(FEATURES), affine=False, eps=NORM_EPS)
        self.cropnet = CropNet(CropNetConfig.of(preset, classes, bands=1, dimensions=1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(sample, class)` of `(sample, 1, band, bin)` from `inference.models.series.model_input`."""
        return self.cropnet(self.scale(self.features(x))[:, None, None])

    def features(self, x: Tensor) -> Tensor:
        """The 35 coefficients `(sample, 35)` of `gee_pipeline.features.harmonic.harmonic_features`."""
        with torch.autocast(x.device.type, enabled=False):  # 16 bits would blur the small coefficients
            bands = x[:, 0, self.rows].float() * self.std + self.mean  # (sample, band, bin), reflectance
            index = bands[:, -2] / bands[:, -1].clamp(min=DARKEST_GREEN) - 1
            variables = torch.cat([bands[:, :-1], index[:, None]], dim=1)
            return (variables @ self.fit).flatten(1)
