"""What the composites of a run show at a point and around it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from gee_pipeline.bands import NODATA, TRUE_COLOR
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import in_words, require_no_pipe_beside
from gee_pipeline.grid import Cell
from gee_pipeline.store import DAMAGED_RASTER, composite_path
from inference.run.plan import RunPlan

MOST_OPEN: Final = 9
"""Composites that stay open: a cell and those around it."""

DECODED: Final = 128 * 2**20
"""Bytes of GDAL's cache for them: a block of 256 x 256 pixels of 43 bins and 10 bands takes 54 MiB."""


@dataclass(frozen=True)
class Imagery:
    """The observations at a point and around it, by bin."""

    bins: tuple[int, ...]
    """Bins of the composites, in order."""
    series: NDArray[np.float64]
    """`(bin, band)` of the point, in the units of the recipe's bands; NaN where nothing was observed."""
    chips: NDArray[np.int16] | None
    """`(bin, 3, y, x)` around it, red, green and blue as stored; None where the recipe lacks one."""


class Composites:
    """The composites of a run, of which the last ones stay open: what was decoded serves the next point."""

    def __init__(self, folder: Path, plan: RunPlan) -> None:
        self.folder, self.plan = folder, plan
        self._files: dict[Path, Any] = {}

    def __enter__(self) -> Composites:
        return self

    def __exit__(self, *raised: object) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def open(self, cell: Cell) -> Any:
        """The file of a cell; that which was not used for longest is closed."""
        path = composite_path(self.folder, cell)
        require_no_pipe_beside(path)
        file = self._files.pop(path, None) or rasterio.open(path)
        self._files[path] = file
        if len(self._files) > MOST_OPEN:
            self._files.pop(next(iter(self._files))).close()
        return file


def read_imagery(composites: Composites, row: int, col: int, half: int) -> Imagery:
    """The imagery of one pixel of a map, over the borders of cells.

    Args:
        composites: Those of the run.
        row: Row of the pixel in the map.
        col: Column.
        half: Pixels on each side of it in the chips.

    Raises:
        InputError: The composites of its cell are not kept.
        CorruptFileError: A composite cannot be read.
    """
    folder, plan = composites.folder, composites.plan
    size = plan.grid.cell_size
    cell = plan.grid.cell(row // size, col // size)
    if not composite_path(folder, cell).is_file():
        raise InputError(
            f"{folder} does not keep the composite of cell {cell.name}, which pages are made of. Give "
            "--no-pages for the answer sheets alone."
        )
    own = Window(col - cell.col * size, row - cell.row * size, 1, 1)
    values = _read(composites, cell, plan.recipe.bands, own)[:, :, 0, 0]
    scales = np.array(plan.recipe.scales)
    series = np.where(values == NODATA, np.nan, values / scales)
    chips = None
    if set(TRUE_COLOR) <= set(plan.recipe.bands):
        chips = _chips(composites, row, col, half)
    return Imagery(tuple(plan.bins), series, chips)


def _chips(composites: Composites, row: int, col: int, half: int) -> NDArray[np.int16]:
    """`(bin, 3, y, x)` around a pixel; gaps where no cell is."""
    folder, plan = composites.folder, composites.plan
    size, side = plan.grid.cell_size, 2 * half + 1
    out = np.full((len(plan.bins), 3, side, side), NODATA, np.int16)
    top, left = row - half, col - half
    rows, cols = plan.grid.shape
    for r in range(max(top // size, 0), min((top + side - 1) // size + 1, rows)):
        for c in range(max(left // size, 0), min((left + side - 1) // size + 1, cols)):
            cell = plan.grid.cell(r, c)
            y0, y1 = max(top, r * size), min(top + side, (r + 1) * size)
            x0, x1 = max(left, c * size), min(left + side, (c + 1) * size)
            if composite_path(folder, cell).is_file():
                window = Window(x0 - c * size, y0 - r * size, x1 - x0, y1 - y0)
                part = _read(composites, cell, TRUE_COLOR, window)
                out[:, :, y0 - top : y1 - top, x0 - left : x1 - left] = part
    return out


def _read(composites: Composites, cell: Cell, bands: tuple[str, ...], window: Window) -> NDArray[np.int16]:
    """`(bin, band, y, x)` of a window of a cell's composite."""
    bins = composites.plan.bins
    try:
        file = composites.open(cell)
        places = {name: number for number, name in enumerate(file.descriptions, start=1)}
        wanted = [places[f"{band}_{index}"] for index in bins for band in bands]
        values = file.read(wanted, window=window)
    except DAMAGED_RASTER as error:
        raise CorruptFileError(
            f"{composite_path(composites.folder, cell)} cannot be read: {in_words(error)}. Delete it and "
            "continue the run."
        ) from error
    return np.asarray(values.reshape(len(bins), len(bands), *values.shape[1:]), np.int16)
