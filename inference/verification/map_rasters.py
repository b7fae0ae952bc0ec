"""The rasters of a map, compared with the cells they were made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from gee_pipeline.errors import InputError
from gee_pipeline.grid import Cell
from gee_pipeline.layers import placed
from inference.run.cell_layers import has_class
from inference.run.completeness import RunSummary
from inference.run.plan import RunPlan
from inference.verification.findings import Finding


class MapRasters:
    """The rasters of a map, compared with its cells as these are verified."""

    def __init__(self, folder: Path, plan: RunPlan) -> None:
        """Open nothing yet.

        Args:
            folder: Folder of the run.
            plan: The run.
        """
        self._plan, self._layers = plan, placed(plan.layers, plan.classes)
        self._paths = [folder / "map" / f"{one.layer.name}.tif" for one in self._layers]
        self._stack = ExitStack()
        self._different: dict[str, int] = {}
        self.with_class: list[Cell] = []
        """Cells that hold a class."""
        self.cells_digest = hashlib.sha256()
        """Of the pixels of all cells, in the order of the plan."""

    def __enter__(self) -> MapRasters:
        try:
            self._files = [self._stack.enter_context(rasterio.open(path)) for path in self._paths]
        except RasterioIOError as error:
            self._stack.close()
            raise InputError(
                f"A raster of the map cannot be read: {error}. Run 'cropmap predict' again: it writes it."
            ) from error
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    @property
    def crop_map(self) -> Any:
        """The raster of classes."""
        return self._files[0]

    @property
    def paths(self) -> Sequence[Path]:
        """The files."""
        return self._paths

    def compare(self, cell: Cell, bands: NDArray[np.uint8]) -> None:
        """Note in which rasters a cell's pixels are others.

        Args:
            cell: The cell.
            bands: `(band, y, x)` of its prediction.
        """
        self.cells_digest.update(np.ascontiguousarray(bands).data)
        if has_class(bands).any():
            self.with_class.append(cell)
        height, width = self.crop_map.shape
        size = self._plan.grid.cell_size
        top, left = cell.row * size, cell.col * size
        window = Window(left, top, min(size, width - left), min(size, height - top))
        for one, file in zip(self._layers, self._files, strict=True):
            expected = bands[one.bands.start : one.bands.stop, : window.height, : window.width]
            different = int((file.read(window=window) != expected).sum())
            if different:
                name = Path(file.name).name
                self._different[name] = self._different.get(name, 0) + different

    def finding(self, summary: RunSummary) -> Finding:
        """Whether the rasters are of this run and hold the pixels of its cells."""
        for file in self._files:
            digest = file.tags().get("RUN_DIGEST", self._plan.digest)  # version 0.1.0 wrote none
            if digest != self._plan.digest:
                return Finding(
                    "map", False, f"{Path(file.name).name} is of the run {digest}, not {self._plan.digest}"
                )
        if self._different:
            named = ", ".join(f"{name} {count:,}" for name, count in self._different.items())
            return Finding("map", False, f"pixels that differ from those of the cells: {named}")
        if summary.failures:
            return Finding("map", None, "not all cells are there to be compared with")
        return Finding("map", True, f"{len(self._files)} rasters hold the pixels of the cells")
