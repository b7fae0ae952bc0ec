"""Pixels, ground area, confidence and observations of each code, counted while the map is written."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.composite import kernel
from inference.product.legend import Legend
from inference.product.map_facts import CodeArea

MISSING: Final = 255
"""Value of confidence and clear observations where a pixel has none."""

SQUARE_METRES: Final = 10_000
"""Square metres in a hectare."""


class MapStatistics:
    """Two joint histograms and the ground area of each code; its size does not depend on the map's."""

    def __init__(self, bands: int = 3) -> None:
        """Count nothing yet.

        Args:
            bands: Bands of the predictions: class code, confidence, clear observations, those of layers.
        """
        self.confidence: NDArray[np.int64] = np.zeros((256, 256), np.int64)
        """Pixels by `(code, confidence)`."""
        self.clear: NDArray[np.int64] = np.zeros((256, 256), np.int64)
        """Pixels by `(code, clear observations)`."""
        self.area: NDArray[np.float64] = np.zeros(256)
        """Square metres by code."""
        self.more: NDArray[np.int64] = np.zeros((bands - 3, 256), np.int64)
        """Pixels by `(band, value)` of the bands of layers on request."""

    def add(self, prediction: NDArray[np.uint8], pixel_area: float) -> NDArray[np.int64]:
        """Count the pixels of one cell, and return them by code, `(256,)`.

        Args:
            prediction: `(band, y, x)`: class code, confidence, clear observations, those of layers.
            pixel_area: Square metres of ground of one pixel.
        """
        codes = np.zeros(256, np.int64)
        _count_joint(np.ascontiguousarray(prediction), codes, self.confidence, self.clear, self.more)
        self.area += codes * pixel_area
        return codes

    def histogram(self, bands: range) -> NDArray[np.int64]:
        """Pixels by value, `(band, 256)`, of some bands of the predictions, counted from 0."""
        base = [self.confidence.sum(1), self.confidence.sum(0), self.clear.sum(0)]
        return np.stack([*base, *self.more])[list(bands)]

    def mean(self, band: int) -> float | None:
        """Mean of the values of a band, counted from 0; None where no pixel has one."""
        return _mean(self.histogram(range(band, band + 1))[0])

    def areas(self, legend: Legend) -> tuple[CodeArea, ...]:
        """What each code of a legend covers; codes without a pixel are there too."""
        return tuple(
            CodeArea(
                code=entry.code,
                name=entry.name,
                pixels=int(self.confidence[entry.code].sum()),
                hectares=float(self.area[entry.code] / SQUARE_METRES),
                mean_confidence=_mean(self.confidence[entry.code]),
                mean_clear=_mean(self.clear[entry.code]),
            )
            for entry in legend.entries
        )


def count_values(bands: NDArray[np.uint8], counts: NDArray[np.int64]) -> None:
    """Add the pixels of bands `(band, y, x)` to their numbers by value, `(band, 256)`."""
    _count(np.ascontiguousarray(bands), counts)


@kernel
def _count(bands: Any, counts: Any) -> None:
    for band in range(bands.shape[0]):
        for value in bands[band].ravel():
            counts[band, value] += 1


@kernel
def _count_joint(prediction: Any, codes: Any, confidence: Any, clear: Any, more: Any) -> None:
    own, sure, seen = prediction[0].ravel(), prediction[1].ravel(), prediction[2].ravel()
    for p in range(len(own)):
        codes[own[p]] += 1
        confidence[own[p], sure[p]] += 1
        clear[own[p], seen[p]] += 1
    _count(prediction[3:], more)


def _mean(histogram: NDArray[np.int64]) -> float | None:
    known = histogram[:MISSING]
    return float(known @ np.arange(MISSING) / known.sum()) if known.any() else None
