"""The parts of a map as polygons, where there are no parcels: pixels of one class that share edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import rasterio.features
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window, bounds
from rasterio.windows import transform as window_transform
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry.base import BaseGeometry

from assessment.sample.map_file import AssessedMap, reading
from gee_pipeline.vectors.parcels import BATCH, ParcelBatch

Part = tuple[int, BaseGeometry]
"""Code and polygon."""


def map_batches(assessed: AssessedMap, classes: Sequence[int]) -> Iterator[ParcelBatch]:
    """The parts of a map as parcels, numbered from 1 in the order in which they are finished.

    Args:
        assessed: The map.
        classes: Codes of classes; what has none becomes no polygon.
    """
    first, waiting = 1, list[BaseGeometry]()
    for _, polygon in map_parts(assessed, classes):
        waiting.append(polygon)
        if len(waiting) == BATCH:
            yield _batch(first, waiting)
            first, waiting = first + BATCH, []
    if waiting:
        yield _batch(first, waiting)


def _batch(first: int, polygons: list[BaseGeometry]) -> ParcelBatch:
    ids = pa.array(np.arange(first, first + len(polygons)))
    return ParcelBatch(first, ids, pa.array(shapely.to_wkb(polygons).tolist(), pa.binary()), None)


def map_parts(assessed: AssessedMap, classes: Sequence[int]) -> Iterator[Part]:
    """Code and polygon of each part, whole also where it crosses windows.

    Only parts that reach the border of a window are kept until all of it was read, so memory grows with the
    width of the map at most.
    """
    carried: list[Part] = []
    with reading(assessed.path, assessed) as file:
        for _, row in groupby(assessed.windows(), lambda window: window.row_off):
            open_parts = carried
            for window in row:
                for part, reaches in _window_parts(assessed, file.read(1, window=window), window, classes):
                    if reaches:
                        open_parts.append(part)
                    else:
                        yield part
            whole, carried = _joined(open_parts, bounds(window, assessed.transform)[1])
            yield from whole
    yield from carried


def _window_parts(
    assessed: AssessedMap, codes: NDArray[np.uint8], window: Window, classes: Sequence[int]
) -> Iterator[tuple[Part, bool]]:
    """The parts of a window, and whether each reaches its border."""
    west, south, east, north = bounds(window, assessed.transform)
    transform = window_transform(window, assessed.transform)
    for shape, code in rasterio.features.shapes(codes, np.isin(codes, classes), 4, transform):
        rings = shape["coordinates"]
        polygon = shapely.Polygon(rings[0], rings[1:])
        left, bottom, right, top = polygon.bounds
        yield (int(code), polygon), left <= west or bottom <= south or right >= east or top >= north


def _joined(parts: list[Part], south: float) -> tuple[list[Part], list[Part]]:
    """Parts of one class that share an edge become one; those that reach south of here are apart."""
    if not parts:
        return [], []
    codes, polygons = np.array([code for code, _ in parts]), np.array([one for _, one in parts])
    one, other = shapely.STRtree(polygons).query(polygons, predicate="touches")
    alike = (codes[one] == codes[other]) & (one < other)
    one, other = one[alike], other[alike]
    edge = shapely.length(shapely.intersection(polygons[one], polygons[other])) > 0  # corners do not join
    links = coo_array((np.ones(edge.sum()), (one[edge], other[edge])), shape=(len(parts),) * 2)
    groups = connected_components(links, directed=False)[1]
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    found = [
        (int(codes[m[0]]), polygons[m[0]] if len(m) == 1 else shapely.union_all(polygons[m])) for m in members
    ]
    lowest = shapely.bounds([polygon for _, polygon in found])[:, 1]
    whole = [part for part, low in zip(found, lowest, strict=True) if low > south]
    return whole, [part for part, low in zip(found, lowest, strict=True) if low <= south]
