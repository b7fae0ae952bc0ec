"""How much of each pixel a polygon covers, by exactextract (Baston 2025), as sums by parcel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.transform import array_bounds

from gee_pipeline.aoi import polygonal_part

MOST_PIXELS: Final = 8_000_000
"""Pixels of polygons' boxes whose fractions are in memory at once: 16 bytes each."""


@dataclass(frozen=True)
class Covered:
    """Pixels that polygons cover, one entry a polygon and pixel."""

    polygon: NDArray[np.intp]
    """`(n,)`: index of the polygon."""
    pixel: NDArray[np.intp]
    """`(n,)`: index of the pixel in a flattened window."""
    fraction: NDArray[np.float64]
    """`(n,)`: how much of the pixel lies in the polygon, above 0 to 1."""


def covered_pixels(
    polygons: NDArray[np.object_], transform: Affine, shape: tuple[int, int]
) -> Iterator[Covered]:
    """What polygons cover of a window, some polygons at a time.

    Args:
        polygons: `(n,)` in the CRS of the window.
        transform: Of the window; north up.
        shape: Its rows and columns.
    """
    frame = array_bounds(*shape, transform)
    parts = _inside(polygons, frame)
    there = np.flatnonzero(shapely.area(parts) > 0)
    for group in _bounded(parts[there], abs(transform.a * transform.e)):
        chosen = there[group]
        found = _extract(parts[chosen], frame, shape)
        lengths = [len(one["cell_id"]) for one in found]
        if sum(lengths):
            yield Covered(
                np.repeat(chosen, lengths),
                np.concatenate([one["cell_id"] for one in found]).astype(np.intp),
                np.concatenate([one["coverage"] for one in found]).astype(np.float64),
            )


def _inside(polygons: NDArray[np.object_], frame: tuple[float, float, float, float]) -> NDArray[np.object_]:
    """The parts of polygons in a frame: exactextract 0.3.0 crashes on some that cross it along pixels."""
    west, south, east, north = shapely.bounds(polygons).T
    left, bottom, right, top = frame
    crossing = (west < left) | (south < bottom) | (east > right) | (north > top)
    parts = polygons.copy()
    cut = shapely.intersection(polygons[crossing], shapely.box(*frame))
    parts[crossing] = [polygonal_part(one) for one in cut]
    return parts


def _bounded(polygons: NDArray[np.object_], pixel: float) -> Iterator[NDArray[np.intp]]:
    """Indices of polygons, as many at a time as memory allows."""
    west, south, east, north = shapely.bounds(polygons).T
    boxes = np.cumsum((east - west) * (north - south) / pixel)
    groups = (boxes // MOST_PIXELS).astype(np.intp)
    for group in np.unique(groups):
        yield np.flatnonzero(groups == group)


def _extract(
    polygons: NDArray[np.object_], frame: tuple[float, float, float, float], shape: tuple[int, int]
) -> list[dict[str, Any]]:
    """`cell_id` and `coverage` of each polygon; empty where it covers nothing."""
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    from assessment.fields.exchange import Polygons, Results

    blank = np.zeros(shape, np.uint8)  # only the pixels' places matter
    raster = NumPyRasterSource(blank, *frame)
    source = Polygons(shapely.to_wkb(polygons))
    found = exact_extract(raster, source, ["cell_id", "coverage"], output=Results())
    if len(found) != len(polygons):
        raise AssertionError("exactextract has one result a polygon")
    nothing = np.empty(0)
    return [{name: one.get(name, nothing) for name in ("cell_id", "coverage")} for one in found]
