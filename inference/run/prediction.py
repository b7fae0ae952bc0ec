"""The prediction of one cell on disk: class code, confidence and clear observations."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from gee_pipeline.files import write_bytes
from gee_pipeline.grid import Cell
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, OUTSIDE

RUN_TAG: Final = "CROPMAP_RUN"
SKIPPED_TAG: Final = "CROPMAP_SKIPPED"
CHECKSUM_TAG: Final = "CROPMAP_CRC32"

BANDS: Final = ("class code", "confidence", "clear observations")


_GDAL_OPTIONS: Final = {
    "GDAL_CACHEMAX": 64 * 2**20,  # GDAL's default is 5 % of the memory; 64 MiB is no slower here
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # else each cell lists the folder of all cells
}


def bounded_gdal() -> rasterio.Env:
    """GDAL settings under which memory and time a cell do not grow with the number of cells."""
    return rasterio.Env(**_GDAL_OPTIONS)


def prediction_path(folder: Path, cell: Cell) -> Path:
    """Where the prediction of a cell stands in a run folder."""
    return folder / "predictions" / f"{cell.name}.tif"


def blank(area: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The bands `(3, y, x)` of a cell in which nothing of the area is mapped.

    Args:
        area: `(y, x)`: pixels inside the area.
    """
    codes = np.where(area, np.uint8(NOT_CROPLAND), np.uint8(OUTSIDE))
    return np.stack([codes, np.full_like(codes, NONE), np.full_like(codes, NONE)])


def write_prediction(
    path: Path, bands: NDArray[np.uint8], cell: Cell, run: str, *, skipped: bool = False
) -> None:
    """Write the prediction of a cell atomically.

    Args:
        path: Where the file shall stand.
        bands: `(3, y, x)`: class code, confidence 0 to 100 (255 none), clear observations (255 none).
        cell: Its pixels.
        run: Digest of the run's plan.
        skipped: True where no scene was looked at.

    Raises:
        DiskFullError: The disk has no room.
    """
    height, width = cell.geobox.shape
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": len(BANDS),
        "height": height,
        "width": width,
        "crs": str(cell.geobox.crs),
        "transform": cell.geobox.transform,
        "compress": "deflate",
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(bands)
            file.descriptions = BANDS
            file.update_tags(**{RUN_TAG: run, SKIPPED_TAG: str(int(skipped)), CHECKSUM_TAG: _checksum(bands)})
        write_bytes(path, memory.getbuffer())


def read_finished(path: Path, cell: Cell, run: str) -> tuple[NDArray[np.uint8], bool] | None:
    """The bands `(3, y, x)` of a finished cell and whether it was skipped; None where it is not finished.

    A file that is missing, damaged, of another place or of another run is not finished. A flipped bit shows
    in our own checksum: GDAL opens most such files, for it leaves that of deflate unread.

    Args:
        path: Where the file should stand.
        cell: The cell.
        run: Digest of the run's plan.
    """
    try:
        with rasterio.open(path) as file:
            tags, place = file.tags(), GeoBox(file.shape, file.transform, file.crs)
            if tags.get(RUN_TAG) != run or file.count != len(BANDS) or place != cell.geobox:
                return None
            bands = file.read()
    except RasterioError:  # missing or damaged: the cell is computed again
        return None
    return (bands, tags.get(SKIPPED_TAG) == "1") if tags.get(CHECKSUM_TAG) == _checksum(bands) else None


def _checksum(bands: NDArray[np.uint8]) -> str:
    return str(zlib.crc32(np.ascontiguousarray(bands).data))
