# ruff: noqa: N803 (arguments are named by Google)
"""Pixels of a region as numbers: reduceRegion and its relatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from tests.support.ee_emulator.algorithms.geometry import geometry_of
from tests.support.ee_emulator.algorithms.placing import centres_inside, chosen_projection, default_projection
from tests.support.ee_emulator.algorithms.reducing import Reducer
from tests.support.ee_emulator.algorithms.registry import algorithm
from tests.support.ee_emulator.algorithms.shapes import projected
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import centres, shape_of
from tests.support.ee_emulator.values import (
    INDEX,
    Band,
    Collection,
    EmulatorError,
    Feature,
    Geometry,
    Image,
    Projection,
)

WEIGHT_STEPS = 255
"""Shares of pixels are kept in 8 bits (Earth Engine guide, Weighted reductions)."""


@dataclass(frozen=True)
class Region:
    """The pixels about a shape."""

    grid: Grid
    shares: NDArray[np.float64]
    """Share of each pixel that the shape covers: `(y, x)`."""
    inside: NDArray[np.bool_]
    """Whether the shape holds the centre; for points, whether the pixel holds the point."""

    def weights(self, weighted: bool) -> NDArray[np.float64]:
        """Weight of each pixel."""
        return self.shares if weighted else self.inside.astype(np.float64)


def region_of(place: Geometry, projection: Projection) -> Region:
    """The pixels of a projection that a shape touches.

    Raises:
        EmulatorError: It is neither points nor polygons.
    """
    shape = projected(place, projection.crs)
    if shape.geom_type not in ("Point", "MultiPoint", "Polygon", "MultiPolygon"):
        raise EmulatorError(f"The emulator reduces over points and polygons, not over a {shape.geom_type}.")
    grid = _bounding(shape, projection)
    if "Point" in shape.geom_type:
        shares = _counted(shape, grid)
        return Region(grid, shares, shares > 0)
    return Region(grid, _shares(shape, grid), centres_inside(place, grid))


def _bounding(shape: Any, projection: Projection) -> Grid:
    t = projection.transform
    if t.b or t.d:
        raise EmulatorError("The emulator reduces over grids without rotation.")
    west, south, east, north = shape.bounds
    cols = sorted(((west - t.c) / t.a, (east - t.c) / t.a))
    rows = sorted(((south - t.f) / t.e, (north - t.f) / t.e))
    left, top = int(np.floor(cols[0])), int(np.floor(rows[0]))
    width, height = max(int(np.ceil(cols[1])) - left, 1), max(int(np.ceil(rows[1])) - top, 1)
    if "Point" in shape.geom_type:
        width, height = int(np.floor(cols[1])) - left + 1, int(np.floor(rows[1])) - top + 1
    return Grid(projection.crs, t * Affine.translation(left, top), width, height)


def _counted(shape: Any, grid: Grid) -> NDArray[np.float64]:
    """How many points each pixel holds."""
    counts = np.zeros(shape_of(grid))
    for x, y in shapely.get_coordinates(shape):
        t = grid.transform
        counts[int(np.floor((y - t.f) / t.e)), int(np.floor((x - t.c) / t.a))] += 1
    return counts


def _shares(shape: Any, grid: Grid) -> NDArray[np.float64]:
    x, y = centres(grid)
    dx, dy = abs(grid.transform.a) / 2, abs(grid.transform.e) / 2
    pixels = shapely.box(*np.broadcast_arrays(x - dx, y - dy, x + dx, y + dy))
    shares = shapely.area(shapely.intersection(pixels, shape)) / (4 * dx * dy)
    return np.round(shares * WEIGHT_STEPS) / WEIGHT_STEPS


@algorithm("Image.reduceRegion")
def _reduce_region(
    request: Any,
    image: Image,
    reducer: Reducer,
    geometry: Geometry | None,
    scale: float | None,
    crs: Projection | None,
    crsTransform: list[Any] | None,
    bestEffort: bool,
    maxPixels: int,
    tileScale: float,
) -> dict[str, Any]:
    projection = chosen_projection(crs, crsTransform, scale, default_projection(image))
    region = region_of(geometry_of(image) if geometry is None else geometry, projection)
    _require_few(region, maxPixels, "Image.reduceRegion")
    return _reduced(request, image, reducer, region)


def _require_few(region: Region, most: int | None, name: str) -> None:
    pixels = region.grid.width * region.grid.height
    if most is not None and pixels > most:
        raise EmulatorError(
            f"{name}: Too many pixels in the region. Found {pixels}, but maxPixels allows only {most}."
        )


def _reduced(request: Any, image: Image, reducer: Reducer, region: Region) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for band in image.bands:
        values, weights = _weighted_values(request, band, region, reducer.weighted)
        made = reducer.of(values, weights)
        names = [band.name] if len(made) == 1 else [f"{band.name}_{name}" for name in reducer.outputs]
        results.update(zip(names, made, strict=True))
    return results


def _weighted_values(
    request: Any, band: Band, region: Region, weighted: bool
) -> tuple[list[Any], list[float]]:
    pixels = request.reader.read(band, region.grid)
    weights = np.where(pixels.mask, region.weights(weighted), 0)
    taken = weights > 0
    return pixels.values.astype(band.dtype)[taken].tolist(), weights[taken].tolist()


@algorithm("Image.reduceRegions")
def _reduce_regions(
    request: Any,
    image: Image,
    collection: Collection,
    reducer: Reducer,
    scale: float | None,
    crs: Projection | None,
    crsTransform: list[Any] | None,
    tileScale: float,
    maxPixelsPerRegion: int | None,
) -> Collection:
    """A single band is named after the outputs of the reducer, several after themselves."""
    projection = chosen_projection(crs, crsTransform, scale, default_projection(image))
    made = []
    for feature in collection.elements:
        region = region_of(geometry_of(feature), projection)
        _require_few(region, maxPixelsPerRegion, "Image.reduceRegions")
        results = _reduced(request, image, reducer, region)
        if len(image.bands) == 1:
            results = dict(zip(reducer.outputs, results.values(), strict=True))
        found = {name: value for name, value in results.items() if value is not None}
        made.append(feature.with_properties({**feature.properties, **found}))
    return Collection(tuple(made))


@algorithm("Image.sample")
def _sample(
    request: Any,
    image: Image,
    region: Geometry | None,
    scale: float | None,
    projection: Projection | None,
    factor: float | None,
    numPixels: int | None,
    seed: int,
    dropNulls: bool,
    tileScale: float,
    geometries: bool,
) -> Collection:
    if factor is not None or numPixels is not None:
        raise EmulatorError("The emulator samples all pixels; it has no random numbers of Earth Engine's.")
    pixels = chosen_projection(projection, None, scale, default_projection(image))
    place = geometry_of(image) if region is None else region
    found = _sampled(request, image, region_of(place, pixels), dropNulls, geometries)
    return Collection(
        tuple(
            feature.with_properties({**feature.properties, INDEX: str(n)}) for n, feature in enumerate(found)
        )
    )


@algorithm("Image.sampleRegions")
def _sample_regions(
    request: Any,
    image: Image,
    collection: Collection,
    properties: list[str] | None,
    scale: float | None,
    projection: Projection | None,
    tileScale: float,
    geometries: bool,
) -> Collection:
    pixels = chosen_projection(projection, None, scale, default_projection(image))
    made = []
    for feature in collection.elements:
        names = properties
        if names is None:
            names = [name for name in feature.properties if not name.startswith("system:")]
        kept = {name: feature.properties[name] for name in names if name in feature.properties}
        region = region_of(geometry_of(feature), pixels)
        for number, one in enumerate(_sampled(request, image, region, True, geometries)):
            index = f"{feature.properties.get(INDEX, 0)}_{number}"
            made.append(one.with_properties({**kept, **one.properties, INDEX: index}))
    return Collection(tuple(made))


def _sampled(request: Any, image: Image, region: Region, drop: bool, geometries: bool) -> Iterator[Feature]:
    """One feature a pixel, row by row; pixels with a masked band are left out, or its value is."""
    grid = region.grid
    bands = [(band, request.reader.read(band, grid)) for band in image.bands]
    x, y = np.broadcast_arrays(*centres(grid))
    for row, col in np.argwhere(region.inside):
        valid = {
            band.name: pixels.values[row, col].astype(band.dtype).item()
            for band, pixels in bands
            if pixels.mask[row, col]
        }
        if drop and len(valid) < len(bands):
            continue
        point = Geometry(shapely.Point(x[row, col], y[row, col]), grid.crs) if geometries else None
        yield Feature(point, valid)
