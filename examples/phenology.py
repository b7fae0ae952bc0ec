"""What the crops of the simulated scenes look like through the year: statistics, no pixels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import BANDS

STATISTICS: Final = Path(__file__).parent / "phenology.npz"
"""The statistics that `python -m examples.fit_phenology` wrote."""

CLASSES: Final = {"corn": 1, "soybeans": 2, "rice": 3, "cotton": 4, "other": 5}
"""Codes of the classes in `fields.tif`, those of the default model."""

MARGIN: Final = "developed"
"""The kind of land that covers roads and field margins; it is never a field."""

KNOT_DAYS: Final = 10
"""Days between two knots of a curve: the step of the medians that the statistics come from."""

FIRST_KNOT: Final = 2.5
"""Day of the season of knot 0: the middle of the first five-day bin."""


@dataclass(frozen=True)
class Phenology:
    """Gaussian descriptions of the yearly curves of some kinds of land.

    A curve is ``mean + z @ factors`` with standard normal ``z``; single observations scatter by ``noise``.
    """

    kinds: tuple[str, ...]
    """Names, finer than the classes: the class other is a mixture of several kinds."""
    classes: tuple[str, ...]
    """Class of each kind."""
    counts: tuple[int, ...]
    """Real pixels behind each kind."""
    mean: NDArray[np.float32]
    """`(kind, band, knot)`, reflectance x 10,000."""
    factors: NDArray[np.float32]
    """`(kind, factor, band, knot)`, reflectance x 10,000 per standard deviation; unused ones are 0."""
    noise: NDArray[np.float32]
    """`(kind, band)`, standard deviation of one observation about its curve, reflectance x 10,000."""

    def __post_init__(self) -> None:
        expected = (len(self.kinds), len(BANDS))
        if self.mean.shape[:2] != expected or self.noise.shape != expected:
            raise ValueError(f"Statistics must be {expected} (kind, band), got {self.mean.shape[:2]}.")

    @property
    def rank(self) -> int:
        """Number of factors."""
        return self.factors.shape[1]

    def at(self, day: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean `(kind, band)` and factors `(kind, factor, band)` on one day, linear between the knots.

        Args:
            day: Days since the season's start; the ends are extended.
        """
        last = self.mean.shape[-1] - 1
        position = min(max((day - FIRST_KNOT) / KNOT_DAYS, 0.0), float(last))
        left = min(int(position), last - 1)
        weight = np.float32(position - left)
        return (
            self.mean[..., left] * (1 - weight) + self.mean[..., left + 1] * weight,
            self.factors[..., left] * (1 - weight) + self.factors[..., left + 1] * weight,
        )

    def class_shares(self) -> dict[str, float]:
        """Share of each class among the real pixels that are fields."""
        counts = {name: sum(self._field_counts(name).values()) for name in CLASSES}
        return {name: count / sum(counts.values()) for name, count in counts.items()}

    def kind_shares(self, name: str) -> dict[str, float]:
        """Share of each kind of field within a class."""
        counts = self._field_counts(name)
        return {kind: count / sum(counts.values()) for kind, count in counts.items()}

    def _field_counts(self, name: str) -> dict[str, int]:
        rows = zip(self.kinds, self.classes, self.counts, strict=True)
        return {kind: count for kind, owner, count in rows if owner == name and kind != MARGIN}


def load_phenology(path: Path = STATISTICS) -> Phenology:
    """The statistics in a file that `save_phenology` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        return Phenology(
            kinds=tuple(about["kinds"]),
            classes=tuple(about["classes"]),
            counts=tuple(about["counts"]),
            mean=stored["mean"].astype(np.float32),
            factors=stored["factors"].astype(np.float32),
            noise=stored["noise"].astype(np.float32),
        )


def save_phenology(path: Path, phenology: Phenology, source: str) -> None:
    """Write statistics as whole numbers (reflectance x 10,000), without pickled objects.

    Args:
        path: File to write, `.npz`.
        phenology: Statistics.
        source: One sentence on the pixels behind them.
    """
    about = {
        "kinds": phenology.kinds,
        "classes": phenology.classes,
        "counts": phenology.counts,
        "source": source,
    }
    np.savez_compressed(
        path,
        about=np.array(json.dumps(about)),
        mean=np.rint(phenology.mean).astype(np.int16),
        factors=np.rint(phenology.factors).astype(np.int16),
        noise=np.rint(phenology.noise).astype(np.int16),
    )
