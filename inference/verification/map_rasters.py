"""The rasters of a map, compared with the cells they were made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from gee_pipeline.errors import InputError
from gee_pipeline.files import require_no_pipe_beside
from gee_pipeline.grid import Cell, name_crs
from gee_pipeline.layers import placed
from inference.product.pixel_area import cell_pixel_area
from inference.product.statistics import MapStatistics
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
        self._misplaced: dict[str, str] = {}
        self.statistics = MapStatistics(self._layers[-1].bands.stop)
        """What the pixels of all cells add up to."""
        self.with_class: list[Cell] = []
        """Cells that hold a class."""
        self.cells_digest = hashlib.sha256()
        """Of the pixels of all cells, in the order of the plan."""

    def __enter__(self) -> MapRasters:
        for path in self._paths:
            require_no_pipe_beside(path)
        try:
            self._files = [self._stack.enter_context(rasterio.open(path)) for path in self._paths]
        except RasterioIOError as error:
            self._stack.close()
            raise InputError(
                f"A raster of the map cannot be read: {error}. Run 'cropmap predict' again: it writes it."
            ) from error
        for one, file in zip(self._layers, self._files, strict=True):
            if fault := self._fault(file, len(one.bands)):
                self._misplaced[Path(file.name).name] = fault
        return self

    def _fault(self, file: Any, bands: int) -> str:
        """What makes a raster one of other pixels than those of the plan; empty where nothing does."""
        box, crs = self._plan.grid.map_box, file.crs
        if (file.count, *file.shape) != (bands, *box.shape):
            found, expected = ((c, w, h) for c, (h, w) in ((file.count, file.shape), (bands, box.shape)))
            return f"has {found} bands, columns and rows, not {expected}"
        if not file.transform.almost_equals(box.transform, 1e-6):
            return f"begins at {file.transform.c:g} {file.transform.f:g}, not where the run's cells do"
        planned = pyproj.CRS.from_user_input(str(box.crs))
        if crs is None or not _same_crs(pyproj.CRS.from_user_input(crs), planned):
            return f"is in {name_crs(crs) if crs else 'no CRS'}, not in {name_crs(planned)}"
        return ""

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
        self.statistics.add(bands, cell_pixel_area(cell.geobox))
        window = self._window(cell.row, cell.col, 1)
        for one, file in zip(self._layers, self._files, strict=True):
            expected = bands[one.bands.start : one.bands.stop, : window.height, : window.width]
            self._count_different(file, window, expected)

    def _window(self, row: int, col: int, cells: int) -> Window:
        """The pixels of the map in some neighbouring cells of one row."""
        (height, width), size = self._plan.grid.map_box.shape, self._plan.grid.cell_size
        top, left = row * size, col * size
        return Window(left, top, min(cells * size, width - left), min(size, height - top))

    def _count_different(self, file: Any, window: Window, expected: Any) -> None:
        name = Path(file.name).name
        if name not in self._misplaced:
            different = int((file.read(window=window) != expected).sum())
            self._different[name] = self._different.get(name, 0) + different

    def _compare_rest(self) -> None:
        """Pixels of cells that the run does not have are outside, in every raster."""
        for window in self._gaps():
            for one, file in zip(self._layers, self._files, strict=True):
                self._count_different(file, window, one.layer.nodata)

    def _gaps(self) -> Iterator[Window]:
        """Neighbouring cells of each row that the run does not have."""
        cells, (rows, cols) = self._plan.cells, self._plan.grid.shape
        starts = np.searchsorted(cells[:, 0], np.arange(rows + 1))
        for row in range(rows):
            gaps = np.setdiff1d(np.arange(cols), cells[starts[row] : starts[row + 1], 1])
            for run in np.split(gaps, np.flatnonzero(np.diff(gaps) > 1) + 1):
                if len(run):
                    yield self._window(row, int(run[0]), len(run))

    def finding(self, summary: RunSummary) -> Finding:
        """Whether the rasters are of this run, lie where it does, and hold the pixels of its cells."""
        if self._misplaced:
            named = "; ".join(f"{name} {fault}" for name, fault in self._misplaced.items())
            return Finding("map", False, named)
        for file in self._files:
            digest = file.tags().get("RUN_DIGEST", self._plan.digest)  # version 0.1.0 wrote none
            if digest != self._plan.digest:
                return Finding(
                    "map", False, f"{Path(file.name).name} is of the run {digest}, not {self._plan.digest}"
                )
        self._compare_rest()
        if any(self._different.values()):
            named = ", ".join(f"{name} {count:,}" for name, count in self._different.items() if count)
            return Finding("map", False, f"pixels that differ from those of the cells: {named}")
        if summary.failures:
            return Finding("map", None, "not all cells are there to be compared with")
        return Finding("map", True, f"{len(self._files)} rasters hold the pixels of the cells")


def _same_crs(one: pyproj.CRS, other: pyproj.CRS) -> bool:
    """Whether two CRS are one, however they are written."""
    return one.equals(other, ignore_axis_order=True) or one.to_epsg(20) == other.to_epsg(20) is not None
