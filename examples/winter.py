"""Winter crops of the simulated place: some of its fields are sown in autumn, before their summer crop.

How green a winter crop is follows a sum of logistic curves whose days and levels stand below. They are
plausible for 36 N and not fitted to pixels. The colour of its canopy is that of wheat in April, and that of
the ground below the rest of the statistics (`examples/phenology.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from examples.fields import Landscape
from examples.phenology import CLASSES, Phenology
from examples.simulated_scenes import ground
from gee_pipeline.bands import BANDS

WINTER_CLASSES: Final = {"winter wheat": 1, "rapeseed": 2, "no winter crop": 3}
"""Codes of the winter's classes."""

SOWN: Final = {"winter wheat": 0.25, "rapeseed": 0.20}
"""Share of the fields of soybeans and of the class other that carry each."""

_BEFORE: Final = ("soybeans", "other")
"""Summer classes that are sown late enough to follow a winter crop."""

_CANOPY: Final = ("wheat then soybeans", 100.0)
"""Kind and day of the statistics that a closed canopy has its colour from."""

_YELLOW: Final = np.array([100, 900, 950, 200, 700, 300, 300, 300, 200, 100], np.float32)
"""Reflectance x 10,000 that full flower adds to a canopy, in the order of the bands."""


@dataclass(frozen=True)
class WinterCrop:
    """How green a crop is through the winter; days count from 1 January, those below 0 in the year before."""

    emergence: float
    """Day on which half of the autumn's green is there."""
    autumn: float
    """Share of a closed canopy before winter, 0 to 1."""
    spring: float
    """Day on which half of the spring's growth is done."""
    ripening: float
    """Day on which half of the green is gone."""
    flower: float | None = None
    """Middle of the flowering, where it is seen from above."""

    def greenness(self, day: float, late: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share of a closed canopy on a day, 0 to 1, of fields that are so many days late."""
        since = day - late
        rise = self.autumn * _logistic(since - self.emergence, 7)
        growth = (0.97 - self.autumn) * _logistic(since - self.spring, 9)
        green: NDArray[np.float32] = (rise + growth) * _logistic(self.ripening - since, 6)
        return green

    def bloom(self, day: float, late: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share of full flower on a day, 0 to 1."""
        if self.flower is None:
            return np.zeros_like(late)
        return np.exp(-(((day - late - self.flower) / 11) ** 2)).astype(np.float32)


CROPS: Final = {
    "winter wheat": WinterCrop(emergence=-52, autumn=0.35, spring=72, ripening=148),
    "rapeseed": WinterCrop(emergence=-76, autumn=0.55, spring=58, ripening=143, flower=95),
}
"""The winter crops by class."""


@dataclass(frozen=True)
class WinterFields:
    """What stands on the fields of a landscape in winter."""

    codes: NDArray[np.uint8]
    """`(field,)`: code of `WINTER_CLASSES`; 0 for the margin."""
    late: NDArray[np.float32]
    """`(field,)`: days by which a field is late."""
    vigour: NDArray[np.float32]
    """`(field,)`: greenness relative to the usual one."""


def sow(rng: np.random.Generator, landscape: Landscape, phenology: Phenology) -> WinterFields:
    """Winter crops on some of the fields that are sown late in spring, and wheat where wheat was before.

    Args:
        rng: Source of chance.
        landscape: The fields and their summer crops.
        phenology: Kinds of land.
    """
    fields = len(landscape.codes)
    wheat, rapeseed, none = WINTER_CLASSES.values()
    drawn = rng.choice([wheat, rapeseed, none], fields, p=[*SOWN.values(), 1 - sum(SOWN.values())])
    early = ~np.isin(landscape.codes, [CLASSES[name] for name in _BEFORE])
    codes = np.where(early, none, drawn)
    codes = np.where(landscape.kind == phenology.kinds.index("wheat then soybeans"), wheat, codes)
    codes = np.where(landscape.codes == 0, 0, codes).astype(np.uint8)
    late = rng.normal(0, 6, fields).astype(np.float32)
    return WinterFields(codes, late, rng.uniform(0.8, 1.0, fields).astype(np.float32))


def summer_truth(landscape: Landscape, winter: WinterFields) -> NDArray[np.uint8]:
    """Class codes `(y, x)` of the summer: soybeans after a winter crop are "other", as in the reference map.

    The Cropland Data Layer has a code of its own for such fields, which the statistics and the default model
    count as "other".
    """
    sown = np.isin(winter.codes, [WINTER_CLASSES[name] for name in CROPS])
    double = sown & (landscape.codes == CLASSES["soybeans"])
    return np.where(double, np.uint8(CLASSES["other"]), landscape.codes)[landscape.field]


def ground_with_winter(
    rng: np.random.Generator, day: float, landscape: Landscape, winter: WinterFields, phenology: Phenology
) -> NDArray[np.float32]:
    """Cloudless reflectance x 10,000 `(band, y, x)` on a day; the canopy of a winter crop hides the rest.

    Args:
        rng: Source of the noise of this day.
        day: Days since 1 January of the year of the harvest, below 0 in the autumn before.
        landscape: What grows where in summer.
        winter: What grows where in winter.
        phenology: How it looks.
    """
    image = ground(rng, day % 365, landscape, phenology)
    for name, crop in CROPS.items():
        here = winter.codes == WINTER_CLASSES[name]
        green = np.where(here, winter.vigour * crop.greenness(day, winter.late), 0)[landscape.field]
        canopy = canopy_of(name, day, winter.late, phenology)[:, landscape.field]
        image += green * (canopy - image)
    noise = rng.normal(0, 0.03, (len(BANDS), *landscape.field.shape)).astype(np.float32)
    return np.asarray(image * (1 + noise), np.float32)


def canopy_of(name: str, day: float, late: NDArray[np.float32], phenology: Phenology) -> NDArray[np.float32]:
    """Reflectance x 10,000 `(band, field)` of a closed canopy of a winter crop, in flower or not."""
    kind, at = _CANOPY
    green = phenology.at(at)[0][phenology.kinds.index(kind)]
    return green[:, None] + _YELLOW[:, None] * CROPS[name].bloom(day, late)


def _logistic(days: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """From 0 to 1 within about six widths."""
    return (1 / (1 + np.exp(-np.clip(days / width, -30, 30)))).astype(np.float32)
