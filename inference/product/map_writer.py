"""From the cells' predictions to a map one can open, print and cite."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from dask.system import CPU_COUNT
from numpy.typing import NDArray

from gee_pipeline.errors import DiskFullError, IncompleteRunError, InputError
from gee_pipeline.files import publish, write_bytes, write_json
from gee_pipeline.grid import Grid
from gee_pipeline.layers import (
    APPLICABILITY,
    AT_LIMIT,
    BASE,
    CROP_MAP,
    ON_REQUEST,
    SETS,
    Layer,
    LayerName,
    PlacedLayer,
    placed,
)
from gee_pipeline.map_codes import NONE
from inference.product.class_table import AREAS, areas_csv, value_table
from inference.product.legend import Legend
from inference.product.map_facts import CodeArea, MapFacts, MapSummary
from inference.product.mosaic import Mosaic, mosaic_path, read_prediction, remove_mosaic, write_cog
from inference.product.pixel_area import cell_pixel_areas
from inference.product.raster_tags import raster_tags
from inference.product.report import build_report
from inference.product.statistics import MapStatistics
from inference.run.completeness import TakeCell
from inference.run.prediction import bounded_gdal, prediction_path

if TYPE_CHECKING:
    from inference.models.crop_class import CropClass


OVERVIEWS: Final = 4 / 3
"""Size of a raster with its coarser copies, of that without."""

SMALL_FILES: Final = 8 * 2**20
"""Bytes for everything but the rasters; the quicklook takes most of it."""

NAMED: Final = 10
"""Missing cells that a message names; a million would hide the way out."""


class MapDraft:
    """The map of a run while its cells come in: they are written and counted as they are verified.

    As a context it removes what was not finished. Memory does not grow with the area: one cell is held at a
    time. A map that stands there already stays until the new one is whole.
    """

    def __init__(
        self,
        folder: Path,
        grid: Grid,
        cells: NDArray[np.int32],
        legend: Legend,
        layers: Sequence[LayerName] = (),
    ) -> None:
        """A map of which nothing is written yet.

        Args:
            folder: Run folder with `predictions/`; the map comes to `folder/map`.
            grid: Grid of the run.
            cells: Rows and columns `(n, 2)` of the planned cells.
            legend: What the codes mean, and their colours.
            layers: Layers on request, in the order of the table.
        """
        self._folder, self._grid, self._cells = folder, grid, cells
        self._legend, self._layers = legend, placed(layers, len(legend.crops))
        self._work = folder / "map.part"
        self._statistics: MapStatistics | None = None

    def __enter__(self) -> MapDraft:
        return self

    def __exit__(self, *raised: object) -> None:
        shutil.rmtree(self._work, ignore_errors=True)

    @contextmanager
    def cells(self) -> Iterator[TakeCell]:
        """What takes the cells, all of them in the order of the plan.

        Raises:
            InputError: There is none.
            MismatchError: A prediction belongs to another model.
            DiskFullError: The disk has no room for the map.
        """
        if len(self._cells) == 0:
            raise InputError("A map has at least one cell, this run plans none. Check the area with --aoi.")
        _make_room(self._work, self._needed())
        areas = iter(cell_pixel_areas(self._grid, self._cells))
        with bounded_gdal():
            mosaic = Mosaic(self._folder, self._grid, self._legend, self._work, self._layers)
            try:
                yield lambda cell, bands: mosaic.add(cell, bands, float(next(areas)))
            finally:
                mosaic.close()
        if next(areas, None) is None:
            self._statistics = mosaic.statistics

    def finish(self, facts: MapFacts) -> MapSummary:
        """The whole map, once `cells` took every cell.

        Args:
            facts: What the report and the STAC item state.

        Raises:
            CorruptFileError: A raster does not hold the pixels of the cells after writing.
            DiskFullError: The disk has no room for the map.
        """
        counted = self._statistics
        if counted is None:
            raise AssertionError("a map is finished once all its cells were taken")
        self._write_rasters(counted, facts)
        means = {one.layer.name: tuple(map(counted.mean, one.bands)) for one in self._layers[len(BASE) :]}
        areas, (height, width) = counted.areas(self._legend), self._grid.map_box.shape
        summary = MapSummary(
            self._folder / "map",
            len(self._cells),
            (height, width),
            areas,
            means,
            outside=self._outside(counted),
            set_sizes=self._set_sizes(counted),
        )
        _describe(self._work, self._grid, self._legend, summary, facts)
        _publish(self._work, summary)
        return summary

    def _outside(self, counted: MapStatistics) -> float | None:
        """Share of the pixels with a class beyond the limit of applicability; None without that layer."""
        known = self._values(counted, APPLICABILITY)
        return None if known is None else float(known[AT_LIMIT + 1 :].sum() / max(known.sum(), 1))

    def _set_sizes(self, counted: MapStatistics) -> tuple[float, ...]:
        """Shares of the pixels with a class by the size of their set, from 0; empty without that layer."""
        known = self._values(counted, SETS)
        if known is None:
            return ()
        return tuple((known[: len(self._legend.crops) + 1] / max(known.sum(), 1)).tolist())

    def _values(self, counted: MapStatistics, layer: Layer) -> NDArray[np.int64] | None:
        """Pixels by value of a layer of one band; None where the map does not have it."""
        bands = next((one.bands for one in self._layers if one.layer == layer), None)
        return None if bands is None else counted.histogram(bands)[0][:NONE]

    def _write_rasters(self, counted: MapStatistics, facts: MapFacts) -> None:
        """The rasters side by side, each from its mosaic."""

        def write(one: PlacedLayer) -> None:
            layer, mosaic = one.layer, mosaic_path(self._work, one.layer)
            target, tags = self._work / f"{layer.name}.tif", raster_tags(layer, facts)
            write_cog(mosaic, target, layer, counted.histogram(one.bands), tags)
            remove_mosaic(mosaic)

        with ThreadPoolExecutor(min(len(self._layers), CPU_COUNT)) as pool:
            for _ in pool.map(write, self._layers):
                pass

    def _needed(self) -> float:
        """Bytes that writing the map takes: the mosaics, and what the predictions take compressed."""
        pixels = len(self._cells) * self._grid.cell_size**2 * self._layers[-1].bands.stop
        with os.scandir(self._folder / "predictions") as files:
            predicted = sum(file.stat().st_size for file in files)
        return OVERVIEWS * (pixels + predicted) + SMALL_FILES


def write_map(
    folder: Path,
    grid: Grid,
    cells: NDArray[np.int32],
    classes: Sequence[CropClass],
    facts: MapFacts,
    *,
    on_cell: Callable[[int], None] | None = None,
) -> MapSummary:
    """The map of predictions that lie in a folder, in `folder/map`: whole, or not there at all.

    Args:
        folder: Run folder with `predictions/`.
        grid: Grid of the run.
        cells: Rows and columns `(n, 2)` of the planned cells.
        classes: What the codes mean.
        facts: What the report and the STAC item state.
        on_cell: Called with the number of cells written so far.

    Raises:
        IncompleteRunError: A planned cell has no prediction.
        CorruptFileError: A prediction cannot be read.
        MismatchError: A prediction belongs to another grid or model.
        DiskFullError: The disk has no room for the map.
    """
    _require_predictions(folder, grid, cells)
    layers = placed(facts.layers, len(classes))
    with MapDraft(folder, grid, cells, Legend.of(classes), facts.layers) as draft:
        with draft.cells() as take:
            for index, cell in enumerate(grid.cells(cells)):
                take(cell, read_prediction(prediction_path(folder, cell), cell, layers))
                if on_cell:
                    on_cell(index + 1)
        return draft.finish(facts)


def _describe(work: Path, grid: Grid, legend: Legend, summary: MapSummary, facts: MapFacts) -> None:
    """Everything besides the rasters; the item comes last, for it holds the digests of the others."""
    # Imported here: matplotlib and pystac take a second, which the first cell need not wait for.
    from inference.product.qgis_style import layer_style
    from inference.product.quicklook import draw_quicklook
    from inference.product.stac_item import build_item, with_files

    for layer in (*BASE, *(layer for layer in ON_REQUEST if layer.name in facts.layers)):
        codes = legend if layer in BASE else legend.of_classes()
        if layer.is_class:
            counted = _counted(summary.areas) if layer is CROP_MAP else None
            write_bytes(work / f"{layer.name}.tif.aux.xml", codes.to_pam(counted))
        style = layer_style(layer, codes, len(facts.recipe.window))
        write_bytes(work / f"{layer.name}.qml", style)
    write_json(work / "legend.json", legend.to_dict())
    write_bytes(work / AREAS, areas_csv(summary.areas))
    for suffix, content in ((".vat.dbf", value_table(legend, summary.areas)), (".vat.cpg", b"UTF-8")):
        write_bytes(work / f"{CROP_MAP.name}.tif{suffix}", content)
    draw_quicklook(work / "quicklook.png", work / "crop_map.tif", legend, summary, facts)
    write_json(work / summary.report.name, build_report(grid, summary, facts))
    write_json(work / "item.json", with_files(build_item(grid.map_box, legend, summary, facts), work))


def _counted(areas: Sequence[CodeArea]) -> dict[int, tuple[int, float]]:
    """Pixels and hectares by code."""
    return {one.code: (one.pixels, one.hectares) for one in areas}


def _require_predictions(folder: Path, grid: Grid, cells: NDArray[np.int32]) -> None:
    """Refuse to begin a map while a prediction is missing."""
    missing, named = 0, []
    for cell in grid.cells(cells):
        if not prediction_path(folder, cell).exists():
            missing += 1
            named += [cell.name] if missing <= NAMED else []
    if missing:
        more = f" and {missing - NAMED:,} more" if missing > NAMED else ""
        raise IncompleteRunError(
            f"A map is written once all {len(cells):,} planned cells have a prediction; {missing:,} have "
            f"none: {', '.join(named)}{more}. Run the same command again to continue the run."
        )


def _make_room(work: Path, needed: float) -> None:
    """A folder next to `map` for files that are not whole yet, on a disk that holds them."""
    folder = work.parent
    shutil.rmtree(work, ignore_errors=True)  # left by a process that was killed
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"Writing the map takes up to {needed / 2**20:,.0f} MiB ({needed:,.0f} bytes), the disk that "
            f"holds {folder} has {free / 2**20:,.0f} MiB. Free some space and run the same command again; "
            "finished cells are kept."
        )
    work.mkdir(parents=True)


def _publish(work: Path, summary: MapSummary) -> None:
    """Move the whole map to its place: while the report is absent, the map is not whole."""
    summary.report.unlink(missing_ok=True)
    summary.page.unlink(missing_ok=True)  # it told of a former map
    # other programs' statistics of a former map
    for layer, stale in product((*BASE, *ON_REQUEST), (".aux.xml", ".ovr")):
        (summary.folder / f"{layer.name}.tif{stale}").unlink(missing_ok=True)
    publish(work, summary.folder, summary.report.name)
