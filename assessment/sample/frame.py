"""The frame of a sample: every pixel of the area, counted by strata in one pass over the map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from assessment.sample.districts import Districts
from assessment.sample.map_file import AssessedMap, reading
from assessment.sample.strata import Partition
from gee_pipeline.errors import InputError
from gee_pipeline.layers import BASE, CONFIDENCE, SETS

Number = TypeVar("Number", np.int64, np.float64)

Progress = Callable[[int, int], None]
"""Receives the windows done and all windows."""


@dataclass(frozen=True)
class WindowCount:
    """How many pixels of each stratum a window has; only strata that occur."""

    window: Window
    """The window."""
    strata: NDArray[np.int32]
    """`(n,)`: indices of strata, ascending."""
    pixels: NDArray[np.int64]
    """`(n,)`: their pixels."""


@dataclass(frozen=True)
class Frame:
    """Every pixel of the area, counted."""

    partition: Partition
    """Its parts."""
    pixels: NDArray[np.int64]
    """`(part, district)`."""
    hectares: NDArray[np.float64]
    """`(part, district)`."""
    windows: tuple[WindowCount, ...]
    """The same pixels by window and stratum."""

    def by_stratum(self, values: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """`(stratum,)`: sums of a table `(part, district)`; empty strata are there too."""
        strata = self.partition.strata()
        sums = np.bincount(strata.ravel(), values.ravel(), minlength=int(strata.max()) + 1)
        return sums.astype(np.float64)


class Labeller:
    """Reads windows of a map as strata, with what decides them open."""

    def __init__(self, assessed: AssessedMap, partition: Partition, districts: Districts) -> None:
        self.map, self._partition, self._districts = assessed, partition, districts
        self._stack = ExitStack()

    def __enter__(self) -> Labeller:
        self._codes = self._stack.enter_context(reading(self.map.path, self.map))
        self._layer = None
        if layer := self._partition.layer:
            self._layer = self._stack.enter_context(reading(require_layer(self.map, layer), self.map))
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def labels(self, window: Window) -> NDArray[np.intp]:
        """`(y, x)`: part times districts plus district; -1 outside the frame."""
        codes = self._codes.read(1, window=window)
        values = None if self._layer is None else self._layer.read(1, window=window)
        places = self._districts.indices(self.map, window) if len(self._districts.names) > 1 else 0
        return self._partition.labels(codes, values, places)


def require_layer(assessed: AssessedMap, layer: str) -> Path:
    """The raster of a layer beside a map.

    Args:
        assessed: The map.
        layer: Name of the layer.

    Raises:
        InputError: There is none.
    """
    path = assessed.beside(f"{layer}.tif")
    if path is None:
        always = layer in [one.name for one in BASE]
        has = "as every run has it" if always else f"which 'cropmap predict --layers {layer}' adds to a run"
        raise InputError(
            f"Strata by {layer} need {layer}.tif beside {assessed.path}, {has}. Give the folder of such a "
            "run, or --strata class."
        )
    return path


def count_frame(
    assessed: AssessedMap, partition: Partition, districts: Districts, report: Progress = lambda *_: None
) -> Frame:
    """The frame of a map, window by window: memory does not grow with the area.

    Args:
        assessed: The map.
        partition: Its strata.
        districts: Its districts.
        report: Receives the windows done and all windows.
    """
    shape = (len(partition.parts), partition.districts)
    pixels, hectares = np.zeros(shape, np.int64), np.zeros(shape)
    counts = []
    with Labeller(assessed, partition, districts) as labeller:
        for window in with_progress(assessed, report):
            labels = labeller.labels(window)
            inside = labels >= 0
            found = np.bincount(labels[inside], minlength=pixels.size)
            areas = assessed.pixel_hectares(window)[inside]
            pixels += found.reshape(shape)
            hectares += np.bincount(labels[inside], areas, minlength=pixels.size).reshape(shape)
            counts.append(_window_count(window, partition, found))
    return Frame(partition, pixels, hectares, tuple(one for one in counts if len(one.strata)))


def with_progress(assessed: AssessedMap, report: Progress, side: int | None = None) -> Iterator[Window]:
    """The windows of a map; each is reported once it was worked on."""
    windows = list(assessed.windows(side))
    for done, window in enumerate(windows, start=1):
        yield window
        report(done, len(windows))


def _window_count(window: Window, partition: Partition, found: NDArray[np.int64]) -> WindowCount:
    strata = partition.strata()
    by_stratum = np.bincount(strata.ravel(), found, minlength=strata.max() + 1).astype(np.int64)
    there = np.flatnonzero(by_stratum)
    return WindowCount(window, there.astype(np.int32), by_stratum[there])


def count_codes(assessed: AssessedMap, report: Progress = lambda *_: None) -> NDArray[np.int64]:
    """`(256,)`: pixels of the frame by code."""
    counts = np.zeros(256, np.int64)
    with reading(assessed.path, assessed) as file:
        for window in with_progress(assessed, report):
            counts += np.bincount(file.read(1, window=window).ravel(), minlength=256)
    if assessed.outside is not None and 0 <= assessed.outside < 256:
        counts[assessed.outside] = 0
    return counts


def count_confidence(assessed: AssessedMap, report: Progress = lambda *_: None) -> NDArray[np.int64]:
    """`(256, 256)`: pixels of the frame by code and confidence.

    Raises:
        InputError: The map has no confidence.
    """
    counts = np.zeros(65_536, np.int64)
    for codes, confidence in _beside(assessed, (CONFIDENCE.name,), report):
        counts += np.bincount(_joint(codes, confidence), minlength=65_536)
    return _in_frame(counts, assessed)


def count_sets(
    assessed: AssessedMap, report: Progress = lambda *_: None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Twice `(256, 256)`: pixels of the frame by code and size of the prediction set, and the sum of their
    confidence.

    Raises:
        InputError: The map has no prediction sets, or no confidence.
    """
    counts, sums = np.zeros(65_536, np.int64), np.zeros(65_536)
    for codes, sizes, confidence in _beside(assessed, (SETS.name, CONFIDENCE.name), report):
        joint = _joint(codes, sizes)
        counts += np.bincount(joint, minlength=65_536)
        sums += np.bincount(joint, confidence.ravel(), minlength=65_536)
    return _in_frame(counts, assessed), _in_frame(sums, assessed)


def _beside(
    assessed: AssessedMap, layers: Sequence[str], report: Progress
) -> Iterator[list[NDArray[np.uint8]]]:
    """Codes and values of layers `(y, x)`, window by window."""
    paths = [assessed.path, *(require_layer(assessed, layer) for layer in layers)]
    with ExitStack() as stack:
        files = [stack.enter_context(reading(path, assessed)) for path in paths]
        for window in with_progress(assessed, report):
            yield [file.read(1, window=window) for file in files]


def _joint(codes: NDArray[np.uint8], values: NDArray[np.uint8]) -> NDArray[np.intp]:
    return ((codes.astype(np.intp) << 8) | values).ravel()


def _in_frame(counts: NDArray[Number], assessed: AssessedMap) -> NDArray[Number]:
    """`(256, 256)`: without the pixels outside."""
    table = counts.reshape(256, 256)
    if assessed.outside is not None and 0 <= assessed.outside < 256:
        table[assessed.outside] = 0
    return table
