"""The cells' predictions as one raster a layer: streamed cell by cell, then Cloud-Optimized."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises; it has no public name
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from gee_pipeline.errors import CorruptFileError, DiskFullError, MismatchError
from gee_pipeline.files import require_no_pipe
from gee_pipeline.grid import Cell, Grid
from gee_pipeline.layers import CROP_MAP, Layer, PlacedLayer, placed
from inference.product.legend import Legend
from inference.product.pixel_area import cell_pixel_areas
from inference.product.statistics import MapStatistics
from inference.run.prediction import prediction_path

COG_OPTIONS: Final[Mapping[str, str]] = {
    "COMPRESS": "DEFLATE",  # every reader of GeoTIFF has it, also old desktop programs
    "BLOCKSIZE": "512",
    "BIGTIFF": "IF_SAFER",
    "SPARSE_OK": "TRUE",  # a country fills about half of its bounding box
    "NUM_THREADS": "ALL_CPUS",
}


def stream_mosaic(
    folder: Path,
    grid: Grid,
    cells: NDArray[np.int32],
    legend: Legend,
    target: Path,
    on_cell: Callable[[int], None] | None = None,
    *,
    layers: Sequence[PlacedLayer] = placed((), 1),
    tags: Callable[[Layer], Mapping[str, str]] = lambda layer: {},
) -> MapStatistics:
    """Write each layer of all cells to a tiled, sparse GeoTIFF, one cell in memory at a time.

    Args:
        folder: Run folder with `predictions/`.
        grid: Grid of the run.
        cells: Rows and columns `(n, 2)` of the cells.
        legend: Codes that may occur, with names and colours for the class map.
        target: Folder that gets one `{layer}.mosaic.tif` a layer.
        on_cell: Called with the number of cells written so far.
        layers: Layers of the map, and where they are in the predictions.
        tags: Metadata of the raster of a layer, which its Cloud-Optimized copy keeps.

    Returns:
        What the cells hold, counted on the way.

    Raises:
        CorruptFileError: A prediction cannot be read.
        MismatchError: A prediction lies on another grid or holds a code that the legend lacks.
        DiskFullError: A layer cannot be written.
    """
    statistics = MapStatistics(layers[-1].bands.stop)
    crs = CRS.from_user_input(str(grid.geobox.crs))
    pixel_areas = cell_pixel_areas(grid, cells)
    with writing("The mosaic", target), ExitStack() as stack:
        outputs = [stack.enter_context(_create(target, layer, grid, crs, legend)) for layer in layers]
        for one, output in zip(layers, outputs, strict=True):
            output.update_tags(**tags(one.layer))
        for index, cell in enumerate(grid.cells(cells)):
            prediction = read_prediction(prediction_path(folder, cell), cell, crs, legend, layers)
            statistics.add(prediction, float(pixel_areas[index]))
            for layer, output in zip(layers, outputs, strict=True):
                _write(output, prediction[layer.bands.start : layer.bands.stop], layer.layer.nodata, cell)
            if on_cell:
                on_cell(index + 1)
    return statistics


def read_prediction(
    path: Path, cell: Cell, crs: CRS, legend: Legend, layers: Sequence[PlacedLayer]
) -> NDArray[np.uint8]:
    """The bands `(band, y, x)` of a cell: class code, confidence, clear observations, those of layers.

    Raises:
        CorruptFileError: The file cannot be read.
        MismatchError: It lies on another grid, has other bands or holds a code that the legend lacks.
    """
    require_no_pipe(path)
    try:
        with rasterio.open(path) as file:
            _require_grid(file, path, cell, crs, layers)
            prediction: NDArray[np.uint8] = file.read()
    except RasterioError as error:
        raise CorruptFileError(
            f"The prediction {path} cannot be read: {error}. Delete it and run the same command again; "
            "only that cell is computed again."
        ) from error
    unknown = set(np.flatnonzero(np.bincount(prediction[0].ravel(), minlength=256))) - legend.codes
    if unknown:
        raise MismatchError(
            f"A prediction holds only codes of the model's classes, {path} has {sorted(map(int, unknown))}. "
            "It was made with another model: delete it and run the same command again."
        )
    return prediction


def write_cog(source: Path, target: Path, layer: Layer, histogram: NDArray[np.int64]) -> None:
    """Turn a mosaic into a Cloud-Optimized GeoTIFF, and count its pixels again.

    Args:
        source: What `stream_mosaic` wrote.
        target: The file to write.
        layer: Which layer it is.
        histogram: Pixels by value `(band, 256)` that the file must hold; nodata is not compared.

    Raises:
        CorruptFileError: The file written does not hold the pixels of the cells.
        DiskFullError: The file cannot be written.
    """
    with writing(target.name, target.parent):
        rasterio.shutil.copy(source, target, driver="COG", OVERVIEW_RESAMPLING=layer.overviews, **COG_OPTIONS)
        found = _count(target)  # GDAL does not report all failures of closing a file
    expected = histogram.copy()
    found[:, layer.nodata] = expected[:, layer.nodata] = 0
    if not np.array_equal(found, expected):
        raise CorruptFileError(
            f"{target.name} must hold the pixels of its cells, but {int(np.abs(found - expected).sum())} "
            "differ after writing. Check the disk and its free space, and run the same command again."
        )


@contextmanager
def writing(name: str, folder: Path) -> Iterator[None]:
    """Word GDAL's failure to write: it does not tell a full disk from others, and is nearly always one.

    Raises:
        DiskFullError: GDAL could not write.
    """
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        free = shutil.disk_usage(folder).free
        raise DiskFullError(
            f"{name} of the map could not be written to {folder.parent}: {error} ({free / 2**20:,.0f} MiB "
            "are free). Free some space and run the same command again; finished cells are kept."
        ) from error


def _count(path: Path) -> NDArray[np.int64]:
    """Pixels by `(band, value)` of a raster, block by block."""
    with rasterio.open(path) as file:
        counts = np.zeros((file.count, 256), np.int64)
        for _, window in file.block_windows(1):
            for band, values in enumerate(file.read(window=window)):
                counts[band] += np.bincount(values.ravel(), minlength=256)
    return counts


def _create(target: Path, one: PlacedLayer, grid: Grid, crs: CRS, legend: Legend) -> DatasetWriter:
    layer = one.layer
    height, width = grid.map_box.shape
    block = grid.cell_size if grid.cell_size % 16 == 0 else 256  # a TIFF tile is a multiple of 16
    output = rasterio.open(
        mosaic_path(target, layer),
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=len(one.bands),
        dtype=layer.dtype,
        crs=crs,
        transform=grid.geobox.transform,
        nodata=layer.nodata,
        tiled=True,
        blockxsize=block,
        blockysize=block,
        compress="deflate",
        zlevel=1,  # it lives for minutes
        sparse_ok=True,
        bigtiff="IF_SAFER",
        interleave="band",
    )
    output.descriptions = [layer.description] if not layer.per_class else [e.name for e in legend.crops]
    output.units = [layer.unit] * output.count
    if layer.is_class:
        _name_codes(output, legend if layer is CROP_MAP else legend.of_classes())
    return output


def _name_codes(output: DatasetWriter, legend: Legend) -> None:
    output.write_colormap(1, legend.colormap())
    output.update_tags(**legend.tags())
    output.update_tags(1, **legend.tags())


def mosaic_path(target: Path, layer: Layer) -> Path:
    """Where `stream_mosaic` writes a layer."""
    return target / f"{layer.name}.mosaic.tif"


def _write(output: DatasetWriter, pixels: NDArray[np.uint8], nodata: int, cell: Cell) -> None:
    """Write the bands `(band, y, x)` of a cell."""
    if (pixels == nodata).all():  # an absent tile of a sparse file reads as nodata
        return
    _, height, width = pixels.shape
    top, left = cell.row * height, cell.col * width
    rows, cols = min(height, output.height - top), min(width, output.width - left)  # the map ends within it
    output.write(pixels[:, :rows, :cols], window=Window(left, top, cols, rows))


def _require_grid(
    file: DatasetReader, path: Path, cell: Cell, crs: CRS, layers: Sequence[PlacedLayer]
) -> None:
    height, width = cell.geobox.shape
    count = layers[-1].bands.stop
    expected: Any = (count, height, width, ("uint8",) * count)
    found = (file.count, file.height, file.width, file.dtypes)
    if found != expected:
        raise MismatchError(_moved(path, "bands, height, width and types", found, expected))
    if not file.transform.almost_equals(cell.geobox.transform):
        raise MismatchError(_moved(path, "a transform", file.transform[:6], cell.geobox.transform[:6]))
    if file.crs != crs:
        raise MismatchError(_moved(path, "a CRS", file.crs, crs))


def _moved(path: Path, what: str, found: Any, expected: Any) -> str:
    return (
        f"A prediction lies on the pixels of its cell, but {path} has {what} of {found} in place of "
        f"{expected}. It belongs to another run: delete it and run the same command again."
    )
