"""The cells' predictions as one raster a layer: streamed cell by cell, then Cloud-Optimized."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises; it has no public name
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from gee_pipeline.errors import CorruptFileError, DiskFullError, MismatchError
from gee_pipeline.files import require_no_pipe
from gee_pipeline.grid import Cell, Grid
from gee_pipeline.layers import CROP_MAP, Layer, PlacedLayer
from inference.product.halving import halved
from inference.product.legend import Legend
from inference.product.statistics import MapStatistics, count_values
from inference.run.prediction import bounded_gdal, prediction_path

_WITH_OVERVIEWS: Final = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE"}
"""Lets GDAL look for the overviews beside a raster."""

STRIP: Final = 8
"""Neighbouring cells that are written, and blocks that are read, in one piece at most."""

OWN_OVERVIEWS: Final = 3
"""Overviews that are made with the cells; GDAL makes the others of the last one."""

COG_BLOCK: Final = 512
"""Pixels along a side of a block of the map."""

COG_OPTIONS: Final[Mapping[str, str]] = {
    "COMPRESS": "DEFLATE",  # every reader of GeoTIFF has it, also old desktop programs
    "LEVEL": "1",  # a quarter of the time of GDAL's 6, and files a tenth larger
    "BLOCKSIZE": str(COG_BLOCK),
    "BIGTIFF": "IF_SAFER",
    "SPARSE_OK": "TRUE",  # a country fills about half of its bounding box
    "NUM_THREADS": "ALL_CPUS",
}


class Mosaic:
    """One raster a layer, uncompressed and sparse, to which cells are added; counts what they hold.

    Uncompressed, because the rasters live for minutes: their coarser copies are made in them, and compressing
    both would take as long as all the rest of the map.
    """

    def __init__(
        self, folder: Path, grid: Grid, legend: Legend, target: Path, layers: Sequence[PlacedLayer]
    ) -> None:
        """Make the rasters.

        Args:
            folder: Run folder, which messages name.
            grid: Grid of the run.
            legend: Codes that may occur, with names and colours for the class map.
            target: Folder that gets one `{layer}.mosaic.tif` a layer.
            layers: Layers of the map, and where they are in the predictions.

        Raises:
            DiskFullError: A layer cannot be written.
        """
        self.statistics = MapStatistics(layers[-1].bands.stop)
        """What the cells hold that were added."""
        self._folder, self._target, self._legend, self._layers = folder, target, legend, layers
        self._pending: list[tuple[Cell, NDArray[np.uint8]]] = []
        with writing("The mosaic", target):
            self._outputs = [
                _with_coarser(_create(target, layer, grid, legend), grid.cell_size) for layer in layers
            ]

    def add(self, cell: Cell, prediction: NDArray[np.uint8], pixel_area: float) -> None:
        """Write and count a cell.

        Args:
            cell: The cell.
            prediction: `(band, y, x)`: class code, confidence, clear observations, those of layers.
            pixel_area: Square metres of ground of one pixel.

        Raises:
            MismatchError: It has other bands, or holds a code that the legend lacks.
            DiskFullError: A layer cannot be written.
        """
        path = prediction_path(self._folder, cell)
        if len(prediction) != (bands := self._layers[-1].bands.stop):
            raise MismatchError(_moved(path, "bands", len(prediction), bands))
        codes = self.statistics.add(prediction, pixel_area)
        if unknown := set(np.flatnonzero(codes)) - self._legend.codes:
            raise MismatchError(
                f"A prediction holds only codes of the model's classes, {path} has "
                f"{sorted(map(int, unknown))}. It was made with another model: delete it and run the same "
                "command again."
            )
        if self._pending and not _continues(self._pending, cell):
            self._flush()
        self._pending.append((cell, prediction))

    def _flush(self) -> None:
        """Write the cells that wait: neighbours in one piece, for each write takes as long as its pixels."""
        first = self._pending[0][0]
        prediction = np.concatenate([bands for _, bands in self._pending], axis=2)
        self._pending.clear()
        height, width = first.geobox.shape
        top, left = first.row * height, first.col * width
        with writing("The mosaic", self._target):
            for one, outputs in zip(self._layers, self._outputs, strict=True):
                pixels = prediction[one.bands.start : one.bands.stop]
                for level, output in enumerate(outputs):
                    pixels = halved(pixels, one.layer) if level else pixels
                    _write(output, pixels, one.layer.nodata, top >> level, left >> level)

    def close(self) -> None:
        """Bring the rasters to the disk.

        Raises:
            DiskFullError: A layer cannot be written.
        """
        if self._pending:
            self._flush()
        with writing("The mosaic", self._target):
            for output in chain.from_iterable(self._outputs):
                output.close()


def read_prediction(path: Path, cell: Cell, layers: Sequence[PlacedLayer]) -> NDArray[np.uint8]:
    """The bands `(band, y, x)` of a cell: class code, confidence, clear observations, those of layers.

    Raises:
        CorruptFileError: The file cannot be read.
        MismatchError: It lies on another grid or has other bands.
    """
    require_no_pipe(path)
    try:
        with rasterio.open(path) as file:
            _require_grid(file, path, cell, layers)
            return file.read()
    except RasterioError as error:
        raise CorruptFileError(
            f"The prediction {path} cannot be read: {error}. Delete it and run the same command again; "
            "only that cell is computed again."
        ) from error


def write_cog(
    source: Path, target: Path, layer: Layer, histogram: NDArray[np.int64], tags: Mapping[str, str]
) -> None:
    """Turn a mosaic into a Cloud-Optimized GeoTIFF, and count its pixels again.

    Args:
        source: What `Mosaic` wrote; it gets the metadata and the coarser copies that the target has.
        target: The file to write.
        layer: Which layer it is.
        histogram: Pixels by value `(band, 256)` that the file must hold; nodata is not compared.
        tags: Metadata of the raster.

    Raises:
        CorruptFileError: The file written does not hold the pixels of the cells.
        DiskFullError: The file cannot be written.
    """
    with writing(target.name, target.parent), bounded_gdal(), rasterio.Env(**_WITH_OVERVIEWS):
        _describe(source, layer, histogram, tags)
        _add_overviews(source, layer)
        rasterio.shutil.copy(source, target, driver="COG", OVERVIEW_RESAMPLING=layer.overviews, **COG_OPTIONS)
        found = _count(target)  # GDAL does not report all failures of closing a file
    expected = histogram.copy()
    found[:, layer.nodata] = expected[:, layer.nodata] = 0
    if not np.array_equal(found, expected):
        raise CorruptFileError(
            f"{target.name} must hold the pixels of its cells, but {int(np.abs(found - expected).sum())} "
            "differ after writing. Check the disk and its free space, and run the same command again."
        )


def _describe(source: Path, layer: Layer, histogram: NDArray[np.int64], tags: Mapping[str, str]) -> None:
    """Write the metadata of a raster, and the statistics of its bands where its values are no codes."""
    with rasterio.open(source, "r+") as file:
        file.update_tags(**tags)
        if not layer.is_class:
            for band, pixels in enumerate(histogram, 1):
                file.update_tags(band, **_statistics(pixels, layer.nodata, file.height * file.width))


def _statistics(pixels: NDArray[np.int64], nodata: int, whole: int) -> dict[str, str]:
    """The statistics of a band as GDAL names them, of all its pixels; empty where none has a value.

    Args:
        pixels: Pixels by value `(256,)`.
        nodata: Value of pixels that have none.
        whole: Pixels of the raster.
    """
    counts = np.where(np.arange(len(pixels)) == nodata, 0, pixels)
    there = np.flatnonzero(counts)
    if not len(there):
        return {}
    mean = np.average(there, weights=counts[there])
    deviation = np.sqrt(np.average((there - mean) ** 2, weights=counts[there]))
    return {
        "STATISTICS_MINIMUM": str(there[0]),
        "STATISTICS_MAXIMUM": str(there[-1]),
        "STATISTICS_MEAN": f"{mean:.6g}",
        "STATISTICS_STDDEV": f"{deviation:.6g}",
        "STATISTICS_VALID_PERCENT": f"{100 * counts.sum() / whole:.4g}",
    }


def _add_overviews(source: Path, layer: Layer) -> None:
    """The coarser copies that GDAL would else make in a file of its own, compressed, read and deleted."""
    with rasterio.open(source) as file:
        factors = overview_factors(*file.shape)
    while (coarser := overview_path(source)).exists():
        source, factors = coarser, [factor // 2 for factor in factors[1:]]
    if factors:
        with rasterio.open(source, "r+") as file:
            file.build_overviews(factors, Resampling[layer.overviews.lower()])


def overview_factors(height: int, width: int) -> list[int]:
    """How much coarser each overview of a Cloud-Optimized GeoTIFF is: the last one fits into a block."""
    factors, larger = [1], max(height, width)
    while larger // factors[-1] > COG_BLOCK:
        factors.append(2 * factors[-1])
    return factors[1:]


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
    """Pixels by `(band, value)` of a raster, some blocks at a time."""
    with rasterio.open(path) as file:
        counts = np.zeros((file.count, 256), np.int64)
        for top in range(0, file.height, COG_BLOCK):
            for left in range(0, file.width, STRIP * COG_BLOCK):
                rows, cols = min(COG_BLOCK, file.height - top), min(STRIP * COG_BLOCK, file.width - left)
                count_values(file.read(window=Window(left, top, cols, rows)), counts)
    return counts


def _create(target: Path, one: PlacedLayer, grid: Grid, legend: Legend) -> DatasetWriter:
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
        crs=CRS.from_user_input(str(grid.geobox.crs)),
        transform=grid.geobox.transform,
        nodata=layer.nodata,
        tiled=True,
        blockxsize=block,
        blockysize=block,
        sparse_ok=True,
        bigtiff="IF_SAFER",
        interleave="band",
    )
    output.descriptions = [layer.label] if not layer.per_class else [e.name for e in legend.crops]
    output.units = [layer.unit] * output.count
    if layer.is_class:
        _name_codes(output, legend if layer is CROP_MAP else legend.of_classes())
    return output


def _with_coarser(mosaic: DatasetWriter, cell_size: int) -> list[DatasetWriter]:
    """A mosaic and its first overviews, each beside the one before, where GDAL looks for them.

    Of an odd number of pixels GDAL makes an overview whose pixels are not two by two of the raster's, and in
    an odd cell they cross its border, so from there on they are left to it.
    """
    levels = [mosaic]
    for factor in overview_factors(*mosaic.shape)[:OWN_OVERVIEWS]:
        if any(side % factor for side in (*mosaic.shape, cell_size)):
            break
        levels.append(_create_coarser(levels[-1]))
    return levels


def _create_coarser(raster: DatasetWriter) -> DatasetWriter:
    height, width = raster.shape
    profile = {**raster.profile, "height": height // 2, "width": width // 2, "sparse_ok": True}
    rows, cols = (side // 2 if side % 32 == 0 else side for side in raster.block_shapes[0])
    place = raster.transform * Affine.scale(2)
    profile |= {"blockysize": rows, "blockxsize": cols, "transform": place, "bigtiff": "IF_SAFER"}
    return rasterio.open(overview_path(Path(raster.name)), "w", **profile)


def overview_path(mosaic: Path) -> Path:
    """Where GDAL looks for the overviews of a raster."""
    return mosaic.with_name(f"{mosaic.name}.ovr")


def _name_codes(output: DatasetWriter, legend: Legend) -> None:
    output.write_colormap(1, legend.colormap())
    output.update_tags(**legend.tags())
    output.update_tags(1, **legend.tags())


def remove_mosaic(mosaic: Path) -> None:
    """Delete a mosaic and the overviews beside it."""
    coarser = overview_path(mosaic)
    if coarser.exists():
        remove_mosaic(coarser)
    mosaic.unlink()


def mosaic_path(target: Path, layer: Layer) -> Path:
    """Where `Mosaic` writes a layer."""
    return target / f"{layer.name}.mosaic.tif"


def _continues(pending: Sequence[tuple[Cell, NDArray[np.uint8]]], cell: Cell) -> bool:
    """Whether a cell lies right of those that wait, and these are not many."""
    last = pending[-1][0]
    return len(pending) < STRIP and (cell.row, cell.col) == (last.row, last.col + 1)


def _write(output: DatasetWriter, pixels: NDArray[np.uint8], nodata: int, top: int, left: int) -> None:
    """Write bands `(band, y, x)` to a place, up to the end of the map."""
    if (pixels == nodata).all():  # an absent tile of a sparse file reads as nodata
        return
    _, height, width = pixels.shape
    rows, cols = min(height, output.height - top), min(width, output.width - left)
    output.write(pixels[:, :rows, :cols], window=Window(left, top, cols, rows))


def _require_grid(file: DatasetReader, path: Path, cell: Cell, layers: Sequence[PlacedLayer]) -> None:
    crs = CRS.from_user_input(str(cell.geobox.crs))
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
