"""Sums over the pixels of parcels, window by window: everything that is said of a parcel is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window, bounds
from rasterio.windows import transform as window_transform

from assessment.fields.coverage import Covered, covered_pixels
from assessment.sample.map_file import CONFIDENCE, PROBABILITIES, AssessedMap, reading
from gee_pipeline.errors import MismatchError
from gee_pipeline.map_codes import NONE

OBSERVATIONS: Final = "clear_observations.tif"


@dataclass(frozen=True)
class Weighted:
    """Sums of a layer over the pixels of parcels that have a value."""

    total: NDArray[np.float64]
    """`(band, parcel)`: value times fraction."""
    pixels: NDArray[np.float64]
    """`(band, parcel)`: fractions."""

    def means(self) -> NDArray[np.float64]:
        """`(band, parcel)`: means; not a number where no pixel has a value."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.total / self.pixels)

    def add(self, values: NDArray[np.uint8], parcel: NDArray[np.intp], covered: Covered) -> None:
        """Add pixels.

        Args:
            values: `(band, pixel)` of a window.
            parcel: `(n,)`: parcel of each entry.
            covered: What the parcels cover of the window.
        """
        for band, total, pixels in zip(values, self.total, self.pixels, strict=True):
            found = band[covered.pixel]
            known = found != NONE
            weights, parcels = covered.fraction[known], parcel[known]
            total += np.bincount(parcels, weights * found[known], len(total))
            pixels += np.bincount(parcels, weights, len(pixels))


@dataclass(frozen=True)
class ParcelSums:
    """What the pixels of some parcels sum up to."""

    pixels: NDArray[np.float64]
    """`(parcel, code)`: covered pixels by code, in the order of the codes asked for."""
    layers: Mapping[str, Weighted]
    """Those of the other layers that the map has, by file."""

    def means(self, layer: str) -> NDArray[np.float64] | None:
        """`(band, parcel)`: means of a layer; None where the map has none."""
        found = self.layers.get(layer)
        return None if found is None else found.means()


class ParcelSummer:
    """Adds up the pixels of parcels; the layers of a map are open meanwhile."""

    def __init__(self, assessed: AssessedMap, codes: Sequence[int], classes: int) -> None:
        """Open nothing yet.

        Args:
            assessed: The map.
            codes: Codes that are counted.
            classes: How many of them, from the first, are classes; the layer of probabilities has as many.
        """
        self._map, self._codes, self._classes = assessed, codes, classes
        self._stack = ExitStack()
        self._column = np.full(256, len(codes), np.intp)  # other codes come behind and are dropped
        self._column[list(codes)] = np.arange(len(codes))

    def __enter__(self) -> ParcelSummer:
        self._crops = self._stack.enter_context(reading(self._map.path, self._map))
        beside = {name: self._map.beside(name) for name in (CONFIDENCE, OBSERVATIONS, PROBABILITIES)}
        self._layers = {
            name: self._stack.enter_context(reading(path, self._map)) for name, path in beside.items() if path
        }
        likely = self._layers.get(PROBABILITIES)
        if likely is not None and likely.count != self._classes:
            self._stack.close()
            raise MismatchError(
                f"{likely.name} has {likely.count} bands and the map {self._classes} classes: they are not "
                "of one map. Make the map again."
            )
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def add_up(self, polygons: NDArray[np.object_]) -> ParcelSums:
        """The sums of parcels.

        Args:
            polygons: `(parcel,)` in the CRS of the map; empty ones cover nothing.
        """
        count = len(polygons)
        zeros = {
            name: Weighted(np.zeros((layer.count, count)), np.zeros((layer.count, count)))
            for name, layer in self._layers.items()
        }
        sums = ParcelSums(np.zeros((count, len(self._codes))), zeros)
        for window, chosen in _windows_of(self._map, polygons):
            self._add_window(sums, window, polygons, chosen)
        return sums

    def _add_window(
        self, sums: ParcelSums, window: Window, polygons: NDArray[np.object_], chosen: NDArray[np.intp]
    ) -> None:
        transform, shape = window_transform(window, self._map.transform), (window.height, window.width)
        columns = self._column[self._crops.read(1, window=window)].ravel()
        bands = {
            name: layer.read(window=window).reshape(layer.count, -1) for name, layer in self._layers.items()
        }
        for covered in covered_pixels(polygons[chosen], transform, shape):
            parcel = chosen[covered.polygon]
            _add_codes(sums.pixels, columns[covered.pixel], parcel, covered.fraction)
            for name, into in sums.layers.items():
                into.add(bands[name], parcel, covered)


def _add_codes(
    pixels: NDArray[np.float64],
    columns: NDArray[np.intp],
    parcel: NDArray[np.intp],
    fraction: NDArray[np.float64],
) -> None:
    width = pixels.shape[1] + 1
    found = np.bincount(parcel * width + columns, fraction, len(pixels) * width)
    pixels += found.reshape(len(pixels), width)[:, :-1]


def _windows_of(
    assessed: AssessedMap, polygons: NDArray[np.object_]
) -> Iterator[tuple[Window, NDArray[np.intp]]]:
    """The parts of a map's windows that parcels lie in, each with the indices of these parcels."""
    boxes = shapely.box(*np.array([bounds(w, assessed.transform) for w in assessed.windows()]).T)
    windows = list(assessed.windows())
    tree = shapely.STRtree(boxes)
    outlines = shapely.box(*shapely.bounds(polygons).T)
    parcels, places = tree.query(outlines, predicate="intersects")
    order = np.argsort(places, kind="stable")
    for place, chosen in _grouped(places[order], parcels[order]):
        yield _shrunk(assessed, windows[place], shapely.total_bounds(outlines[chosen])), chosen


def _grouped(places: NDArray[np.intp], parcels: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each place and its parcels, of both in the order of the places."""
    found, counts = np.unique(places, return_counts=True)
    ends = np.cumsum(counts)
    for place, start, end in zip(found.tolist(), ends - counts, ends, strict=True):
        yield place, parcels[start:end]


def _shrunk(assessed: AssessedMap, window: Window, box: NDArray[np.float64]) -> Window:
    """The part of a window that a box `(west, south, east, north)` touches, whole pixels."""
    t = assessed.transform
    left, right = (box[[0, 2]] - t.c) / t.a
    top, bottom = (box[[3, 1]] - t.f) / t.e
    first_row, first_col = max(window.row_off, int(np.floor(top))), max(window.col_off, int(np.floor(left)))
    rows = min(window.row_off + window.height, int(np.ceil(bottom))) - first_row
    cols = min(window.col_off + window.width, int(np.ceil(right))) - first_col
    return Window(first_col, first_row, max(cols, 1), max(rows, 1))
