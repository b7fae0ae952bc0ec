"""Bands of a raster by tifffile and imagecodecs, which read many small blocks twice as fast as GDAL.

Both are an extra of the package. What they do not read is no error here: GDAL decides about it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read_bands(path: Path, bands: range, shape: tuple[int, int, int]) -> NDArray[np.int16] | None:
    """Some bands `(band, y, x)` of a tiled raster of int16 that holds band after band.

    Args:
        path: The file.
        bands: Which, from 0.
        shape: All its bands, rows and columns.

    Returns:
        None where the extra `fast` is not installed, or the file is of another kind, or damaged.
    """
    try:
        import tifffile
    except ImportError:
        return None
    out = np.empty((len(bands), *shape[1:]), np.int16)
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            if page.shape != shape or page.dtype != np.int16:
                return None
            tiles = len(page.dataoffsets) // shape[0]
            for index in range(bands.start * tiles, bands.stop * tiles):
                file.filehandle.seek(page.dataoffsets[index])
                packed = file.filehandle.read(page.databytecounts[index])
                tile, (band, _, y, x, _), (_, height, width, _) = page.decode(packed, index)
                place = out[band - bands.start, y : y + height, x : x + width]  # a tile may reach beyond
                place[:] = np.asarray(tile)[0, : place.shape[0], : place.shape[1], 0]
    except Exception:  # tifffile and its codecs raise what they like where a file is damaged
        return None
    return out
