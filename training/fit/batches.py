"""How samples reach the network: the window, filled and scaled, as tensors on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gee_pipeline.observations import group_slices, observed_by_group
from gee_pipeline.recipe import Recipe
from inference.models.gpu_form import filled as filled_by_torch
from inference.models.networks.normalisation import Normalisation
from inference.models.series import fill_gaps, model_input, scaling
from training.fit.augment import Augmentation, apply
from training.fit.resample import Draws, Moves, draw, resample, send


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

    @property
    def fills_there(self) -> bool:
        """Whether the device fills gaps: a GPU does so in passing, and half as many bytes go up."""
        return self.device.type != "cpu"

    def inputs(self, series: NDArray[np.int16]) -> Tensor:
        """Float32 `(sample, 1, band, bin)` of whole-season series `(sample, band, bin)`."""
        window = series[:, :, self.recipe.window.start : self.recipe.window.stop]
        if self.fills_there:
            return self._normalised(self._filled(window))
        return self._send(model_input(window, self.normalisation, self.recipe))

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
        return self._normalised(torch.cat(self._moved_groups(series, moves, draws), dim=1))

    def _moved_groups(self, series: NDArray[np.int16], moves: Moves, draws: Draws) -> list[Tensor]:
        """The bands of each sensor, `(sample, band, bin)`: all move alike, brightness changes reflectance."""
        sizes, season = self.recipe.group_sizes, self.recipe.season
        days = (season.first_day - 1, season.last_day) if moves.whole_bins else None
        place: dict[str, Any] = {
            "window": self.recipe.window,
            "bin_days": self.recipe.mean_bin_days,
            "days": days,
        }
        filled, observed = self._filled(series), observed_by_group(series, sizes)
        moved = []
        for group, rows, seen in zip(self.recipe.sensors, group_slices(sizes), observed, strict=True):
            own = draws if group.sensor.unit == "reflectance" else draws.without_warp()
            moved.append(resample(filled[:, rows], self._send(seen), own, **place))
        return moved

    def _filled(self, series: NDArray[np.int16]) -> Tensor:
        """Series without gaps on the device, `(sample, band, bin)`, in stored units."""
        sizes = self.recipe.group_sizes
        if self.fills_there:
            return filled_by_torch(self._send(series), group_slices(sizes))
        return self._send(fill_gaps(series, sizes))

    def _normalised(self, filled: Tensor) -> Tensor:
        """The model's input of series without gaps."""
        scale, offset = (self._send(values)[:, None] for values in scaling(self.normalisation, self.recipe))
        return (filled * scale + offset)[:, None]

    def _send(self, array: NDArray[Any]) -> Tensor:
        return send(torch.from_numpy(array), self.device)
