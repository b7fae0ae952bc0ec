"""Requests for pixels: their limits, and images written as NPY and GeoTIFF.

Assumed, not checked against the service: a masked pixel is 0 in NPY and in a GeoTIFF without a nodata value;
bands of several types come back in one GeoTIFF as the smallest type that holds them all.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from rasterio.io import MemoryFile

from tests.support.ee_emulator.faults import Refusal, unknown_field
from tests.support.ee_emulator.grid import BadGrid, Grid, grid_of

ANSWER_LIMIT: Final = 50_331_648
"""Bytes of an answer, uncompressed."""
BAND_LIMIT: Final = 1024
SIDE_LIMIT: Final = 32_768
"""Pixels of a grid in each direction."""
PAYLOAD_LIMIT: Final = 10_485_760
"""Bytes of a request."""

_FIELDS: Final = {"expression", "fileFormat", "grid", "bandIds", "workloadTag", "visualizationOptions"}

Bands = list[tuple[str, np.ndarray, np.ndarray]]
"""(name, values, mask) of each band; a mask is true (or above 0) where the pixel is valid."""


def asked_grid(body: dict[str, Any]) -> Grid:
    """Grid of a request for pixels.

    Raises:
        Refusal: The grid is wrong or too large, a field is unknown, or the format is not served here.
    """
    if unknown := set(body) - _FIELDS:
        raise unknown_field(min(unknown))
    if body.get("visualizationOptions"):
        raise Refusal(400, "The emulator does not know visualizationOptions.")
    if body.get("fileFormat") not in ("NPY", "GEO_TIFF"):
        raise Refusal(400, f"The emulator writes NPY and GEO_TIFF, not {body.get('fileFormat')!r}.")
    try:
        grid = grid_of(body.get("grid"))
    except BadGrid as error:
        raise Refusal(400, str(error)) from error
    if max(grid.width, grid.height) > SIDE_LIMIT:
        raise Refusal(
            400,
            f"Pixel grid dimensions ({grid.width}x{grid.height}) must be less than or equal to {SIDE_LIMIT}.",
        )
    return grid


def may_be_too_large(grid: Grid) -> bool:
    """Whether a grid can exceed the limit at all (1024 bands of 8 bytes)."""
    return grid.width * grid.height * BAND_LIMIT * 8 > ANSWER_LIMIT


def check_size(bands: Bands, grid: Grid) -> None:
    """Refuse, in Google's words, an answer with these bands on this grid."""
    if len(bands) > BAND_LIMIT:
        raise Refusal(400, f"Number of bands ({len(bands)}) must be less than or equal to {BAND_LIMIT}.")
    size = grid.width * grid.height * sum(_saved(values).dtype.itemsize for _, values, _ in bands)
    if size > ANSWER_LIMIT:
        raise Refusal(
            400, f"Total request size ({size} bytes) must be less than or equal to {ANSWER_LIMIT} bytes."
        )


def chosen(bands: Bands, names: Sequence[str]) -> Bands:
    """The bands that `bandIds` names, in its order; all for none."""
    if not names:
        return bands
    known = {band[0]: band for band in bands}
    for name in names:
        if name not in known:
            raise Refusal(
                400,
                f"Image.select: Band pattern '{name}' was applied to an Image with no matching bands. "
                f"Available bands: [{', '.join(known)}].",
            )
    return [known[name] for name in names]


def encode(bands: Bands, grid: Grid, file_format: str) -> bytes:
    """The answer's bytes."""
    return npy(bands) if file_format == "NPY" else geotiff(bands, grid)


def npy(bands: Bands) -> bytes:
    """A structured array (y, x) with one field a band, as the service writes it."""
    filled = [(name, _filled(values, mask, 0)) for name, values, mask in bands]
    array = np.empty(filled[0][1].shape, dtype=[(name, values.dtype) for name, values in filled])
    for name, values in filled:
        array[name] = values
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


def geotiff(bands: Bands, grid: Grid, nodata: float | None = None) -> bytes:
    """A tiled, compressed GeoTIFF; descriptions are the names of the bands."""
    dtype = np.result_type(*(_saved(values).dtype for _, values, _ in bands))
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=len(bands),
            width=grid.width,
            height=grid.height,
            dtype=dtype,
            crs=grid.crs,
            transform=grid.transform,
            nodata=nodata,
            compress="lzw",
            interleave="pixel",
            tiled=True,
            blockxsize=256,
            blockysize=256,
        ) as raster:
            raster.write(np.stack([_filled(v, m, nodata or 0).astype(dtype) for _, v, m in bands]))
            raster.descriptions = tuple(name for name, _, _ in bands)
        return memory.read()


def _saved(values: np.ndarray) -> np.ndarray:
    return values.astype("uint8") if values.dtype == bool else values


def _filled(values: np.ndarray, mask: np.ndarray, fill: float) -> np.ndarray:
    values = _saved(values)
    return np.where(np.asarray(mask) > 0, values, np.asarray(fill, dtype=values.dtype))
