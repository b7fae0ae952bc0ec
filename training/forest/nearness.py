"""How near held-out samples lie to those that train: what a split by place is worth."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from training.fit.split import Labelled, Split

NEAR: Final = 500
"""Metres; ours: two samples so close may show one field, whose pixels are alike."""

_RADIUS: Final = 6_371_008.8
"""Mean radius of the earth in metres."""


def share_near(samples: Labelled, split: Split) -> float | None:
    """Share of the held-out samples that lie within `NEAR` of one that trains; None where places are unknown.

    No block has samples on both sides of a split, but a field at a block's edge may, the more the smaller the
    blocks.
    """
    if samples.lon is None or samples.lat is None:
        return None
    places = _on_the_globe(samples.lon, samples.lat)
    distance, _ = KDTree(places[split.training]).query(places[split.validation])
    return float((distance <= NEAR).mean())


def _on_the_globe(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(sample, 3)` in metres: a straight line is as long as the way on the ground, to a millimetre here."""
    lon, lat = np.radians(lon), np.radians(lat)
    return _RADIUS * np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
