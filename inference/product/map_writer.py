"""From the cells' predictions to a map one can open, print and cite."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import DiskFullError, IncompleteRunError, InputError
from gee_pipeline.files import write_bytes, write_json
from gee_pipeline.grid import Grid
from gee_pipeline.layers import BASE, ON_REQUEST, PlacedLayer, placed
from inference.product.legend import Legend
from inference.product.map_facts import MapFacts, MapSummary
from inference.product.mosaic import mosaic_path, stream_mosaic, write_cog
from inference.product.raster_tags import raster_tags
from inference.product.report import build_report
from inference.product.statistics import MapStatistics
from inference.run.prediction import bounded_gdal, prediction_path

if TYPE_CHECKING:
    from inference.models.crop_class import CropClass


ROOM: Final = 3
"""Bytes that writing the map takes for one byte of predictions: the mosaic, the Cloud-Optimized copy with a
third more for its overviews, and GDAL's own copy of the overviews, together 2.7."""

SMALL_FILES: Final = 8 * 2**20
"""Bytes for everything but the rasters; the quicklook takes most of it."""

NAMED: Final = 10
"""Missing cells that a message names; a million would hide the way out."""


def write_map(
    folder: Path,
    grid: Grid,
    cells: NDArray[np.int32],
    classes: Sequence[CropClass],
    facts: MapFacts,
    *,
    on_cell: Callable[[int], None] | None = None,
) -> MapSummary:
    """The map of a run, in `folder/map`: whole, or not there at all.

    Memory does not grow with the area: one cell is held at a time. A map that stands there already stays
    until the new one is whole.

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
    legend, layers = Legend.of(classes), placed(facts.layers, len(classes))
    needed = ROOM * _predicted_bytes(folder, grid, cells) + SMALL_FILES
    with bounded_gdal(), _workspace(folder, needed) as work:
        counted = _write_rasters(work, folder, grid, cells, legend, layers, facts, on_cell)
        height, width = grid.map_box.shape
        means = {one.layer.name: tuple(map(counted.mean, one.bands)) for one in layers[len(BASE) :]}
        areas = counted.areas(legend)
        summary = MapSummary(folder / "map", len(cells), (height, width), areas, means)
        _describe(work, grid, legend, summary, facts)
        _publish(work, summary)
    return summary


def _write_rasters(
    work: Path,
    folder: Path,
    grid: Grid,
    cells: NDArray[np.int32],
    legend: Legend,
    layers: Sequence[PlacedLayer],
    facts: MapFacts,
    on_cell: Callable[[int], None] | None,
) -> MapStatistics:
    tags = partial(raster_tags, facts=facts)
    statistics = stream_mosaic(folder, grid, cells, legend, work, on_cell, layers=layers, tags=tags)
    for one in layers:
        layer, mosaic = one.layer, mosaic_path(work, one.layer)
        write_cog(mosaic, work / f"{layer.name}.tif", layer, statistics.histogram(one.bands))
        mosaic.unlink()
    return statistics


def _describe(work: Path, grid: Grid, legend: Legend, summary: MapSummary, facts: MapFacts) -> None:
    """Everything besides the rasters; the report comes last."""
    # Imported here: matplotlib and pystac take a second, which the first cell need not wait for.
    from inference.product.quicklook import draw_quicklook
    from inference.product.stac_item import build_item

    for layer in (*BASE, *(layer for layer in ON_REQUEST if layer.name in facts.layers)):
        if layer.is_class:
            codes = legend if layer in BASE else legend.of_classes()
            write_bytes(work / f"{layer.name}.tif.aux.xml", codes.to_pam())
            write_bytes(work / f"{layer.name}.qml", codes.to_qml())
    write_json(work / "legend.json", legend.to_dict())
    draw_quicklook(work / "quicklook.png", work / "crop_map.tif", legend, summary, facts)
    write_json(work / "item.json", build_item(grid.map_box, legend, summary, facts))
    write_json(work / summary.report.name, build_report(grid, summary, facts))


def _predicted_bytes(folder: Path, grid: Grid, cells: NDArray[np.int32]) -> int:
    """Bytes of all predictions; fails when one is missing."""
    if len(cells) == 0:
        raise InputError("A map has at least one cell, this run plans none. Check the area with --aoi.")
    total, missing, named = 0, 0, []
    for cell in grid.cells(cells):
        try:
            total += prediction_path(folder, cell).stat().st_size
        except FileNotFoundError:
            missing += 1
            named += [cell.name] if missing <= NAMED else []
    if missing:
        more = f" and {missing - NAMED:,} more" if missing > NAMED else ""
        raise IncompleteRunError(
            f"A map is written once all {len(cells):,} planned cells have a prediction; {missing:,} have "
            f"none: {', '.join(named)}{more}. Run the same command again to continue the run."
        )
    return total


@contextmanager
def _workspace(folder: Path, needed: int) -> Iterator[Path]:
    """A folder next to `map` for files that are not whole yet; it goes away, whatever happens."""
    work = folder / "map.part"
    shutil.rmtree(work, ignore_errors=True)  # left by a process that was killed
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"Writing the map takes up to {needed / 2**20:,.0f} MiB ({needed:,} bytes), the disk that holds "
            f"{folder} has {free / 2**20:,.0f} MiB. Free some space and run the same command again; finished "
            "cells are kept."
        )
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _publish(work: Path, summary: MapSummary) -> None:
    """Move the whole map to its place: while the report is absent, the map is not whole."""
    summary.folder.mkdir(exist_ok=True)
    summary.report.unlink(missing_ok=True)
    # other programs' statistics of a former map
    for layer, stale in product((*BASE, *ON_REQUEST), (".aux.xml", ".ovr")):
        (summary.folder / f"{layer.name}.tif{stale}").unlink(missing_ok=True)
    files = sorted(work.iterdir(), key=lambda path: path.name == summary.report.name)
    for path in files:
        path.replace(summary.folder / path.name)
