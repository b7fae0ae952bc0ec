"""How well a crop map agrees with known fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.vrt import WarpedVRT
from rasterio.warp import Resampling

from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json
from gee_pipeline.map_codes import NOT_CROPLAND, OUTSIDE


@dataclass(frozen=True)
class Score:
    """Pixels counted by true and mapped class."""

    names: tuple[str, ...]
    """Names of the classes, code 1 first."""
    confusion: NDArray[np.int64]
    """`(true class, mapped class)`."""
    unmapped: NDArray[np.int64]
    """`(true class,)`: field pixels in the area without a class (too few observations, masked). They count as
    wrong."""

    @property
    def pixels(self) -> int:
        """Field pixels in the area."""
        return int(self.confusion.sum() + self.unmapped.sum())

    @property
    def overall_accuracy(self) -> float:
        """Share of the field pixels that are mapped as their class."""
        return float(np.trace(self.confusion)) / max(self.pixels, 1)

    @property
    def recall(self) -> dict[str, float]:
        """Of the pixels of a class, the share mapped as it (producer's accuracy)."""
        return self._shares(self.confusion.sum(axis=1) + self.unmapped)

    @property
    def precision(self) -> dict[str, float]:
        """Of the field pixels mapped as a class, the share that are it (user's accuracy)."""
        return self._shares(self.confusion.sum(axis=0))

    @property
    def f1(self) -> dict[str, float]:
        """Harmonic mean of precision and recall."""
        return self._shares((self.confusion.sum(axis=0) + self.confusion.sum(axis=1) + self.unmapped) / 2)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have fields in the area."""
        present = (self.confusion.sum(axis=1) + self.unmapped) > 0
        return float(np.mean(np.array(list(self.f1.values()))[present])) if present.any() else 0.0

    def _shares(self, of: NDArray[np.float64] | NDArray[np.int64]) -> dict[str, float]:
        right = np.diag(self.confusion)
        values = np.divide(right, of, out=np.zeros(len(right)), where=of > 0)
        return dict(zip(self.names, values.tolist(), strict=True))


def score(map_path: Path, fields_path: Path, names: tuple[str, ...]) -> Score:
    """Compare a crop map with known fields, wherever a field's pixel lies in the mapped area.

    Args:
        map_path: Crop map (uint8; 0 outside the area, 1 to K the classes, above them no class).
        fields_path: True codes (0 no field) in any grid; brought to the map's by nearest pixel.
        names: Names of the classes 1 to K.

    Raises:
        InputError: No field pixel lies in the mapped area.
    """
    count = len(names)
    table = np.zeros((count, count + 1), np.int64)
    with rasterio.open(map_path) as crop_map, rasterio.open(fields_path) as fields:
        grid = {"crs": crop_map.crs, "transform": crop_map.transform}
        size = {"height": crop_map.height, "width": crop_map.width}
        with WarpedVRT(fields, resampling=Resampling.nearest, **grid, **size) as truth:
            for _, window in crop_map.block_windows(1):
                table += _count(truth.read(1, window=window), crop_map.read(1, window=window), count)
    if not table.any():
        raise InputError(f"No field of {fields_path} lies in the area of {map_path}: check that they match.")
    return Score(names, table[:, :count], table[:, count])


def class_names(legend_path: Path) -> tuple[str, ...]:
    """Names of the classes 1 to K in a run's `legend.json`."""
    entries = sorted(read_json(legend_path)["classes"], key=lambda entry: entry["code"])
    return tuple(entry["name"] for entry in entries if OUTSIDE < entry["code"] < NOT_CROPLAND)


def _count(truth: NDArray[np.uint8], mapped: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Pixels `(true class, mapped class or none)` of one block."""
    keep = (truth >= 1) & (truth <= count) & (mapped != OUTSIDE)
    column = np.minimum(mapped[keep].astype(np.int64) - 1, count)
    cell = (truth[keep].astype(np.int64) - 1) * (count + 1) + column
    return np.bincount(cell, minlength=count * (count + 1)).reshape(count, count + 1)
