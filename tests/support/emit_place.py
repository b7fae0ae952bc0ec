"""Land that EMIT passed over, behind the emulator: all its bands, at 60 m in degrees, and what a loop finds.

The land and its reference map are those of `sample_place`. Everything is simulated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.sample_place import Land

COLLECTION = "NASA/EMIT/L2A/RFL"
BANDS = 285
KEPT = [*range(0, 127), *range(143, 187), *range(213, 284)]
"""The bands that are kept, by number, written down once more."""
STEP = 0.000542232520256367
"""Degrees of a pixel of 60 m."""
SIDE = 110
"""Pixels along a side of a scene."""
NODATA = -9999
DAYS = ("2023-06-03", "2023-06-20", "2023-07-11", "2023-08-02", "2023-08-02", "2023-08-28")
"""Two in June, one between, three in August, of which two on one day."""
CORN, SOYBEANS = 1, 5


def spectrum(month: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(band,)`: a made mean spectrum, and by how much corn is above it and soybeans are below."""
    band = np.arange(BANDS)
    bump = np.exp(-(((band - 70) / 20) ** 2))
    return 0.3 + 0.1 * np.sin(band / 30), (0.12 if month == 8 else 0.01) * bump


@dataclass(frozen=True)
class Pass:
    """One scene: reflectance `(band, y, x)`, and where clouds with their buffer are."""

    time: datetime
    values: NDArray[np.float32]
    flags: NDArray[np.uint8]


class EmitLand(Land):
    """Fields of corn and soybeans, which differ in August and hardly in June."""

    def __init__(self, days: tuple[str, ...] = DAYS, cloudy: float = 0.4, seed: int = 3) -> None:
        super().__init__(days=(), values=(CORN, SOYBEANS), asset="USDA/NASS/CDL/2023", seed=seed)
        rng = np.random.default_rng(seed)
        self.west, self.north = self.lon - STEP * (SIDE / 2 + 0.3), self.lat + STEP * (SIDE / 2 + 0.7)
        corn = self._corn()
        self.passes = [
            self._pass(datetime.fromisoformat(f"{day}T{14 + 3 * (place % 2)}:20:00"), corn, cloudy, rng)
            for place, day in enumerate(days)
        ]

    def _corn(self) -> NDArray[np.bool_]:
        """`(y, x)`: where the map has corn under the centre of a pixel."""
        centres = np.arange(SIDE) + 0.5
        lon, lat = np.meshgrid(self.west + STEP * centres, self.north - STEP * centres)
        x, y = pyproj.Transformer.from_crs("EPSG:4326", self.crs, always_xy=True).transform(lon, lat)
        rows, cols = (np.floor(one).astype(int) for one in ((self.top - y) / 30, (x - self.left) / 30))
        inside = [one.clip(0, len(self.map) - 1) for one in (rows, cols)]
        return np.asarray(self.map[tuple(inside)] == CORN)

    def _pass(self, time: datetime, corn: NDArray[np.bool_], cloudy: float, rng: np.random.Generator) -> Pass:
        mean, difference = spectrum(time.month)
        values = mean[:, None, None] + difference[:, None, None] * np.where(corn, 1, -1)
        values = (values + rng.normal(0, 0.03, values.shape)).astype(np.float32)
        values[:, 0, :] = NODATA  # what the product has where it saw nothing
        flags = (rng.random(corn.shape) < cloudy).astype(np.uint8)
        return Pass(time.replace(tzinfo=UTC), values, flags)

    @property
    def archive(self) -> Archive:
        """The land as Earth Engine would hold it, with the spectra's uncertainties and all flags."""
        found = super().archive
        error = self._spectral(np.full((SIDE, SIDE), 0.01, np.float32))
        for place, one in enumerate(self.passes):
            bands = {f"reflectance_{i}": self._spectral(values) for i, values in enumerate(one.values)}
            bands |= {f"reflectance_uncertainity_{i}": error for i in range(BANDS)}
            none = self._spectral(np.zeros_like(one.flags))
            bands |= dict.fromkeys(("cloud_flag", "cirrus_flag", "water_flag", "spacecraft_flag"), none)
            bands |= dict.fromkeys(("dilated_cloud_flag", "aggregate_flag"), self._spectral(one.flags))
            name = f"EMIT_L2A_RFL_001_{one.time:%Y%m%dT%H%M%S}_{place:07d}_001"
            facts: dict[str, Any] = {"ORBIT": f"{place:07d}", "simulated": 1}
            found.add(ImageAsset(f"{COLLECTION}/{name}", one.time, bands, facts))
        return found

    def _spectral(self, values: NDArray[np.generic]) -> Raster:
        return Raster(values, Affine(STEP, 0, self.west, 0, -STEP, self.north), "EPSG:4326")

    def seen(self, lon: float, lat: float) -> list[tuple[datetime, list[int], int]]:
        """Every pass over a place in order of time: when, its stored spectrum, and its flag."""
        row, col = math.floor((self.north - lat) / STEP), math.floor((lon - self.west) / STEP)
        return [
            (
                one.time,
                [math.floor(10_000 * float(one.values[band, row, col]) + 0.5) for band in KEPT],
                int(one.flags[row, col]),
            )
            for one in sorted(self.passes, key=lambda one: one.time)
        ]

    def spectra(self, lon: float, lat: float, months: tuple[int, ...] = (6, 8)) -> NDArray[np.int16]:
        """`(band, month)`: medians of what is not flagged, of a day the last, in Python numbers."""
        row, col = math.floor((self.north - lat) / STEP), math.floor((lon - self.west) / STEP)
        out = np.full((len(KEPT), len(months)), NODATA, np.int16)
        for place, month in enumerate(months):
            by_day = {}
            for one in sorted(self.passes, key=lambda one: one.time):
                numbers = [float(one.values[band, row, col]) for band in KEPT]
                if one.time.month == month and not one.flags[row, col] and min(numbers) >= -0.1:
                    by_day[one.time.date()] = [math.floor(10_000 * number + 0.5) for number in numbers]
            for band in range(len(KEPT) if by_day else 0):
                seen = sorted(numbers[band] for numbers in by_day.values())
                middle = (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2]) / 2
                out[band, place] = math.floor(middle + 0.5)
        return out
