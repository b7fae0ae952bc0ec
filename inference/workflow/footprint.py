"""How far an area lies from the places a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import CorruptFileError
from inference.models.crop_class import CropClass
from inference.models.model_card import training_places

NEAR: Final = 10
"""Kilometres to which distances are known."""


class Trained(Protocol):
    """What is asked of a model: its classes, and where it was trained."""

    @property
    def classes(self) -> tuple[CropClass, ...]:
        """What its codes mean."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """JSON values; `footprint` is the GeoJSON geometry of the training places."""


def training_gap(checkpoint: Trained, area: BaseGeometry) -> str | None:
    """A plain warning when an area lies outside the training places of a model, else None.

    Args:
        checkpoint: A model whose provenance holds its footprint.
        area: Polygon in EPSG:4326.
    """
    footprint = checkpoint.provenance.get("footprint")
    if footprint is None:
        return None
    try:
        places = training_places(footprint)
    except CorruptFileError:
        places = shapely.Point()
    if places.is_empty:
        return (
            "The model's file does not say in a readable way where it was trained, so nothing is known of "
            "how well it fits this area. Check the map against local labels."
        )
    if places.covers(area):
        return None
    names = ", ".join(crop.name for crop in checkpoint.classes)
    where = (
        "reaches beyond the training places"
        if places.intersects(area)
        else f"lies {_far(distance_km(places, area))} from the nearest training place"
    )
    return (
        f"The area {where} of this model, which knows only {names}. Expect other crops to be mapped as one "
        "of these and accuracy to be lower; check the map against local labels, or train a model on some "
        "(cropmap train)."
    )


def _far(kilometres: float) -> str:
    """A distance as far as it is known."""
    return f"less than {NEAR} km" if kilometres < NEAR else f"{kilometres:,.0f} km"


def distance_km(one: BaseGeometry, other: BaseGeometry) -> float:
    """Geodesic distance between the nearest points of two geometries in EPSG:4326, in kilometres.

    The nearest vertices are found on the sphere among densified outlines, so the result is good to about
    ten kilometres, enough to tell a neighbour from another continent.
    """
    a, b = (shapely.get_coordinates(shapely.segmentize(g, 0.1)) for g in (one, other))
    i, j = np.unravel_index(np.argmax(_unit(a) @ _unit(b).T), (len(a), len(b)))
    metres = pyproj.Geod(ellps="WGS84").inv(*a[i], *b[j])[2]
    return float(metres) / 1_000


def _unit(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors `(n, 3)` of longitudes and latitudes in degrees."""
    lon, lat = np.radians(lonlat).T
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
