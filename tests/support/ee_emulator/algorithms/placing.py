# ruff: noqa: N803 (arguments are named by Google)
"""Images on other grids: projections, clipping, neighbourhoods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from tests.support.ee_emulator.algorithms.geometry import affine_of, at_scale, geometry_of
from tests.support.ee_emulator.algorithms.reducing import MAX, MIN, Reducer, folded
from tests.support.ee_emulator.algorithms.registry import algorithm
from tests.support.ee_emulator.algorithms.shapes import lonlat, projected
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import Reader, centres_in, metres_per_pixel, shape_of, window
from tests.support.ee_emulator.values import (
    Band,
    Collection,
    EmulatorError,
    Footprint,
    Geometry,
    Image,
    Kernel,
    Pixels,
    Projection,
)


def chosen_projection(
    crs: Projection | None, transform: list[Any] | None, scale: float | None, default: Projection | None
) -> Projection:
    """The pixels that the arguments crs, crsTransform and scale mean together."""
    if transform is not None and scale is not None:
        raise EmulatorError("The arguments crsTransform and scale exclude each other.")
    base = crs if crs is not None else default
    if base is None:
        raise EmulatorError("A projection is needed: crs, or an image with one.")
    if transform is not None:
        return Projection(base.crs, affine_of(transform))
    return base if scale is None else at_scale(base, scale)


def default_projection(image: Image) -> Projection | None:
    """Projection of the first band."""
    return image.bands[0].projection if image.bands else None


@algorithm("Image.projection")
def _projection(request: Any, image: Image) -> Projection:
    found = {band.projection for band in image.bands}
    if len(found) != 1:
        raise EmulatorError(
            "Image.projection: The bands of the specified image contains different projections. Use "
            f"Image.select to pick a single band. There are {len(found)}."
        )
    return found.pop()


@algorithm("Image.setDefaultProjection")
def _set_default_projection(
    request: Any, image: Image, crs: Projection, crsTransform: list[Any] | None, scale: float | None
) -> Image:
    projection = chosen_projection(crs, crsTransform, scale, None)
    return replace(image, bands=tuple(replace(band, projection=projection) for band in image.bands))


@algorithm("Image.reproject")
def _reproject(
    request: Any, image: Image, crs: Projection, crsTransform: list[Any] | None, scale: float | None
) -> Image:
    projection = chosen_projection(crs, crsTransform, scale, None)
    return replace(image, bands=tuple(_reprojected(band, projection) for band in image.bands))


def _reprojected(band: Band, projection: Projection) -> Band:
    """A band computed on the pixels of a projection, and read from there by the nearest."""

    def compute(reader: Reader, grid: Grid) -> Pixels:
        part = window(grid, projection)
        pixels = reader.read(band, part)
        rows, cols = reader.places(grid, Projection(part.crs, part.transform))
        return Pixels(pixels.values[rows, cols], pixels.mask[rows, cols])

    return Band(band.name, band.dtype, compute, projection)


@algorithm("Image.clip")
def _clip(request: Any, input: Image, geometry: Any) -> Image:
    if isinstance(geometry, Collection):
        raise EmulatorError("The emulator clips to a geometry or feature.")
    place = geometry if isinstance(geometry, Geometry) else geometry_of(geometry)
    return _clipped(input, place)


def _clipped(image: Image, place: Geometry) -> Image:
    """Pixels stay where their centre lies in the shape."""
    inside = _inside(place)

    def clipped(band: Band) -> Band:
        def compute(reader: Reader, grid: Grid) -> Pixels:
            pixels = reader.read(band, grid)
            return Pixels(pixels.values, pixels.mask & inside(grid))

        return Band(band.name, band.dtype, compute, band.projection, band.shape)

    outline = lonlat(place)
    if image.footprint is not None:
        outline = outline.intersection(image.footprint.shape)
    return replace(image, bands=tuple(map(clipped, image.bands)), footprint=Footprint(outline, inside))


def _inside(place: Geometry) -> Callable[[Grid], NDArray[np.bool_]]:
    known: dict[Grid, NDArray[np.bool_]] = {}

    def inside(grid: Grid) -> NDArray[np.bool_]:
        if grid not in known:
            known[grid] = centres_inside(place, grid)
        return known[grid]

    return inside


def centres_inside(place: Geometry, grid: Grid) -> NDArray[np.bool_]:
    """Which centres of a grid's pixels lie in a shape or on its edge: `(y, x)`."""
    crs = grid.crs if place.geodesic else place.crs
    x, y = np.broadcast_arrays(*centres_in(grid, crs))
    shape = projected(place, crs)
    shapely.prepare(shape)
    return np.broadcast_to(shapely.intersects_xy(shape, x, y), shape_of(grid))


@algorithm("Image.clipToBoundsAndScale")
def _clip_to_bounds_and_scale(
    request: Any,
    input: Image,
    geometry: Geometry | None,
    width: int | None,
    height: int | None,
    maxDimension: int | None,
    scale: float | None,
) -> Image:
    """Clipped to the bounds of a geometry in the image's own projection; sizes only if they are its own."""
    if maxDimension is not None or scale is not None or geometry is None:
        raise EmulatorError("The emulator knows Image.clipToBoundsAndScale with geometry, width and height.")
    projection = default_projection(input)
    assert projection is not None
    bounds = projected(geometry, projection.crs).bounds
    if width is not None and height is not None:
        _require_own_size(projection, bounds, width, height)
    return _clipped(input, Geometry(shapely.box(*bounds), projection.crs))


def _require_own_size(projection: Projection, bounds: tuple[float, ...], width: int, height: int) -> None:
    t = projection.transform
    size = (bounds[2] - bounds[0]) / abs(t.a), (bounds[3] - bounds[1]) / abs(t.e)
    if (round(size[0], 6), round(size[1], 6)) != (width, height):
        raise EmulatorError(
            f"The emulator does not scale images: {size} pixels were to become {width, height}."
        )


def _register_kernels() -> None:
    from tests.support.ee_emulator.algorithms.registry import register_as

    def disc(dx: NDArray[Any], dy: NDArray[Any], radius: float) -> NDArray[np.bool_]:
        return dx**2 + dy**2 <= radius**2 + 1e-9

    shapes: dict[str, Any] = {
        "circle": disc,
        "square": lambda dx, dy, radius: np.ones(np.broadcast(dx, dy).shape, bool),
        "diamond": lambda dx, dy, radius: np.abs(dx) + np.abs(dy) <= radius,
        "plus": lambda dx, dy, radius: (dx == 0) | (dy == 0),
    }

    def register(name: str, test: Any) -> None:
        def kernel(request: Any, radius: float, units: str, normalize: bool, magnitude: float) -> Kernel:
            return made_kernel(test, radius, units, normalize, magnitude)

        register_as(f"Kernel.{name}", kernel)

    for name, test in shapes.items():
        register(name, test)
    KERNEL_SHAPES.update(shapes)


KERNEL_SHAPES: dict[str, Any] = {}
"""Whether a pixel `(dx, dy)` from the middle belongs to a kernel of a radius in pixels, by name."""


def made_kernel(test: Any, radius: float, units: str, normalize: bool, magnitude: float) -> Kernel:
    """A kernel of one weight, about its middle."""
    if units not in ("pixels", "meters"):
        raise EmulatorError(f"Unit of a kernel must be 'pixels' or 'meters', got {units!r}.")

    def weights(metres: float) -> NDArray[np.float64]:
        size = radius if units == "pixels" else radius / metres
        reach = int(np.floor(size + 1e-9))
        offsets = np.arange(-reach, reach + 1)
        member = test(offsets[None, :], offsets[:, None], size)
        return member * (magnitude / member.sum() if normalize else magnitude)

    return Kernel(weights)


_register_kernels()


@algorithm("Image.focalMin", "Image.focal_min")
def _focal_min(
    request: Any,
    image: Image,
    radius: float,
    kernelType: str,
    units: str,
    iterations: int,
    kernel: Kernel | None,
) -> Image:
    return _focal(image, MIN, radius, kernelType, units, iterations, kernel)


@algorithm("Image.focalMax", "Image.focal_max")
def _focal_max(
    request: Any,
    image: Image,
    radius: float,
    kernelType: str,
    units: str,
    iterations: int,
    kernel: Kernel | None,
) -> Image:
    return _focal(image, MAX, radius, kernelType, units, iterations, kernel)


def _focal(
    image: Image,
    reducer: Reducer,
    radius: float,
    kind: str,
    units: str,
    iterations: int,
    kernel: Kernel | None,
) -> Image:
    """A reducer over neighbourhoods, also where the middle is masked."""
    if kernel is None:
        if kind not in KERNEL_SHAPES:
            raise EmulatorError(f"The emulator does not know the kernel {kind!r}.")
        kernel = made_kernel(KERNEL_SHAPES[kind], radius, units, False, 1.0)
    bands = list(image.bands)
    for _ in range(iterations):
        bands = [_neighbourhood(band, reducer, kernel, skip_masked=False)[0] for band in bands]
    return Image(tuple(bands), {}, image.footprint)


@algorithm("Image.reduceNeighborhood")
def _reduce_neighborhood(
    request: Any,
    image: Image,
    reducer: Reducer,
    kernel: Kernel,
    inputWeight: str,
    skipMasked: bool,
    optimization: str | None,
) -> Image:
    bands = [
        replace(made, name=f"{band.name}_{output}")
        for band in image.bands
        for output, made in zip(
            reducer.outputs, _neighbourhood(band, reducer, kernel, skip_masked=skipMasked), strict=True
        )
    ]
    return Image(tuple(bands), {}, image.footprint)


def _neighbourhood(band: Band, reducer: Reducer, kernel: Kernel, *, skip_masked: bool) -> list[Band]:
    """What a reducer makes of the pixels about each pixel of the requested grid."""

    def stack(reader: Reader, grid: Grid) -> list[Pixels]:
        weights = kernel.weights(metres_per_pixel(grid))
        if len(set(weights[weights != 0].tolist())) > 1:
            raise EmulatorError("The emulator knows kernels of one weight.")
        reach = weights.shape[0] // 2
        wide = reader.read(band, _widened(grid, reach))
        places = [(row, col) for row, col in np.argwhere(weights != 0)]
        height, width = shape_of(grid)
        views = [(slice(row, row + height), slice(col, col + width)) for row, col in places]
        results = folded(reducer, [wide.values[view] for view in views], [wide.mask[view] for view in views])
        middle = wide.mask[reach : reach + height, reach : reach + width]
        return [
            Pixels(
                values.astype(reducer.dtype(band.dtype), copy=False), mask & middle if skip_masked else mask
            )
            for values, mask in results
        ]

    return [
        Band(
            band.name,
            reducer.dtype(band.dtype),
            lambda reader, grid, place=place: stack(reader, grid)[place],
            band.projection,
        )
        for place in range(len(reducer.outputs))
    ]


def _widened(grid: Grid, margin: int) -> Grid:
    transform = grid.transform * Affine.translation(-margin, -margin)
    return Grid(grid.crs, transform, grid.width + 2 * margin, grid.height + 2 * margin)
