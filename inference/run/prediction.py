"""The prediction of one cell on disk: class code, confidence, clear observations, and layers on request."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from gee_pipeline.composite import kernel
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import require_no_pipe, write_bytes
from gee_pipeline.grid import Cell
from gee_pipeline.layers import LayerName, band_names, classes_in, in_order
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from gee_pipeline.store import DAMAGED_RASTER
from inference.record.plain_tiff import PlainTiff, read_plain

RUN_TAG: Final = "CROPMAP_RUN"
SKIPPED_TAG: Final = "CROPMAP_SKIPPED"
CHECKSUM_TAG: Final = "CROPMAP_CRC32"
LAYERS_TAG: Final = "CROPMAP_LAYERS"

BANDS: Final = ("class code", "confidence", "clear observations")
"""Bands of every prediction; those of layers on request follow."""


_MOST_BANDS: Final = 600
"""More than a prediction has: the fixed ones and, with all layers, two a class."""


class Finished(NamedTuple):
    """The prediction of a cell that is done."""

    bands: NDArray[np.uint8]
    """`(band, y, x)`: class code, confidence, clear observations, and the bands of `layers`."""
    skipped: bool
    """Whether no scene was looked at."""
    layers: tuple[LayerName, ...]
    """Layers on request that it has, in the order of the table."""

    def has(self, layers: Sequence[LayerName]) -> bool:
        """Whether nothing is missing of some layers."""
        return set(layers) <= set(self.layers)


GDAL_CACHE: Final = 64 * 2**20
"""Bytes of GDAL's cache; its default is 5 % of the memory, and no faster for files read once."""

_GDAL_OPTIONS: Final = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # else each cell lists the folder of all cells
}


def bounded_gdal(cache: int = GDAL_CACHE) -> rasterio.Env:
    """GDAL settings under which memory and time a cell do not grow with the number of cells.

    Args:
        cache: Bytes of decoded blocks that GDAL may keep of the files that are open; one number a process.
    """
    return rasterio.Env(GDAL_CACHEMAX=cache, **_GDAL_OPTIONS)


def prediction_path(folder: Path, cell: Cell) -> Path:
    """Path of the prediction of a cell in a run folder."""
    return folder / "predictions" / f"{cell.name}.tif"


def count_codes(bands: NDArray[np.uint8]) -> tuple[dict[int, int], int]:
    """Pixels of a prediction by code, and those to map without a single clear observation.

    Args:
        bands: `(band, y, x)`.
    """
    counts = np.zeros(256, np.int64)
    unseen = int(_count_codes(bands[0], bands[2], counts))
    return {int(code): int(counts[code]) for code in np.flatnonzero(counts)}, unseen


@kernel
def _count_codes(codes: Any, clear: Any, counts: Any) -> Any:
    unseen = 0
    for row in range(codes.shape[0]):
        for col in range(codes.shape[1]):
            counts[codes[row, col]] += 1
            unseen += (codes[row, col] == NOT_ENOUGH) & (clear[row, col] == 0)
    return unseen


def blank(area: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The bands `(3, y, x)` of a cell in which nothing of the area is mapped.

    Args:
        area: `(y, x)`: pixels inside the area.
    """
    codes = np.where(area, np.uint8(NOT_CROPLAND), np.uint8(OUTSIDE))
    return np.stack([codes, np.full_like(codes, NONE), np.full_like(codes, NONE)])


def with_layers(bands: NDArray[np.uint8], layers: Sequence[LayerName], classes: int) -> NDArray[np.uint8]:
    """The bands of a prediction with room for layers behind them, in which no pixel has a value yet.

    Args:
        bands: `(3, y, x)`.
        layers: Layers on request.
        classes: Number of classes of the model.
    """
    more = len(band_names(layers, classes)) - len(BANDS)
    return np.concatenate([bands, np.full((more, *bands.shape[1:]), NONE, np.uint8)]) if more else bands


def write_prediction(
    path: Path,
    bands: NDArray[np.uint8],
    cell: Cell,
    run: str,
    *,
    skipped: bool = False,
    layers: Sequence[LayerName] = (),
) -> None:
    """Write the prediction of a cell atomically.

    Args:
        path: Where the file shall stand.
        bands: `(band, y, x)`: class code, confidence 0 to 100 (255 none), clear observations (255 none), and
            those of the layers.
        cell: Its pixels.
        run: Digest of the run's plan.
        skipped: True where no scene was looked at.
        layers: Layers on request whose bands are among them, in the order of the table.

    Raises:
        DiskFullError: The disk has no room.
    """
    height, width = cell.geobox.shape
    tags = {RUN_TAG: run, SKIPPED_TAG: str(int(skipped)), CHECKSUM_TAG: _checksum(bands)}
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": len(bands),
        "height": height,
        "width": width,
        "crs": str(cell.geobox.crs),
        "transform": cell.geobox.transform,
        "compress": "deflate",
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(bands)
            file.descriptions = _descriptions(layers, len(bands))
            file.update_tags(**tags, **({LAYERS_TAG: ",".join(layers)} if layers else {}))
        write_bytes(path, memory.getbuffer())


def read_finished(path: Path, cell: Cell, run: str) -> Finished | None:
    """The prediction of a finished cell; None where it is not finished.

    A file that is missing, damaged, of another place or of another run is not finished. A flipped bit shows
    in our own checksum: GDAL opens most such files, for it leaves that of deflate unread.

    Args:
        path: Where the file should stand.
        cell: The cell.
        run: Digest of the run's plan.
    """
    try:
        require_no_pipe(path)
        with rasterio.open(path) as file:
            tags, place = file.tags(), GeoBox(file.shape, file.transform, file.crs)
            layers = in_order(filter(None, tags.get(LAYERS_TAG, "").split(",")))
            ours = tags.get(RUN_TAG) == run and place == cell.geobox
            if not ours or classes_in(layers, file.count) is None:
                return None
            bands = file.read()
    except (*DAMAGED_RASTER, CorruptFileError, InputError):  # missing or damaged: the cell is computed again
        return None
    if tags.get(CHECKSUM_TAG) != _checksum(bands):
        return None
    return Finished(bands, tags.get(SKIPPED_TAG) == "1", layers)


class PredictionReader:
    """Reads the finished predictions of one run, as `read_finished`, most of them without opening GDAL.

    A file is read without it when its CRS is, byte for byte, one that GDAL has read as that of a cell before.
    """

    def __init__(self, run: str) -> None:
        """Know no CRS yet.

        Args:
            run: Digest of the run's plan.
        """
        self._run = run
        self._known: set[bytes] = set()

    def read(self, path: Path, cell: Cell) -> Finished | None:
        """The prediction of a finished cell; None where it is not finished.

        Args:
            path: Where the file should stand.
            cell: The cell.
        """
        plain = _plain(path, cell)
        if plain and plain.crs in self._known and (finished := self._judged(plain, cell)):
            return finished
        by_gdal = read_finished(path, cell, self._run)
        if plain and by_gdal:
            self._known.add(plain.crs)
        return by_gdal

    def _judged(self, plain: PlainTiff, cell: Cell) -> Finished | None:
        place, tags = cell.geobox.transform, plain.tags
        lies = (place.c, place.f, place.a, -place.e) == plain.place
        layers = in_order(filter(None, tags.get(LAYERS_TAG, "").split(",")))
        ours = tags.get(RUN_TAG) == self._run and lies and plain.bands.shape[1:] == cell.geobox.shape
        if not ours or classes_in(layers, len(plain.bands)) is None:
            return None
        whole = tags.get(CHECKSUM_TAG) == _checksum(plain.bands)
        return Finished(plain.bands, tags.get(SKIPPED_TAG) == "1", layers) if whole else None


def _plain(path: Path, cell: Cell) -> PlainTiff | None:
    """A file by our own reading; None where GDAL has to decide, also on what may never end."""
    height, width = cell.geobox.shape
    try:
        require_no_pipe(path)
        if path.stat().st_size > _MOST_BANDS * height * width:
            return None
        return read_plain(path.read_bytes())
    except (OSError, CorruptFileError):
        return None


def _descriptions(layers: Sequence[LayerName], bands: int) -> tuple[str, ...]:
    classes = classes_in(layers, bands)
    if classes is None:
        raise AssertionError(f"no prediction with the layers {layers} has {bands} bands")
    return BANDS + band_names(layers, classes)[len(BANDS) :]


def _checksum(bands: NDArray[np.uint8]) -> str:
    return str(zlib.crc32(np.ascontiguousarray(bands).data))
