"""The bins of many cells, kept on the disk until all bins of a cell are there."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA


class BinStore:
    """Bins written one after another and read again by cell; the file has no name and ends with its process.

    Memory holds none of them: the bins of a block of cells take gigabytes.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file.

        Args:
            folder: A folder on the disk that has room for the composites.

        Raises:
            OSError: The folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the store
        self._places: dict[tuple[int, int], int] = {}

    def __enter__(self) -> BinStore:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def put(self, cell: int, place: int, values: NDArray[np.int16]) -> None:
        """Keep one bin of a cell.

        Args:
            cell: Number of the cell.
            place: Of the bin in the composite.
            values: `(band, y, x)`.

        Raises:
            OSError: The disk has no room.
        """
        self._places[cell, place] = self._file.tell()
        self._file.write(np.ascontiguousarray(values).data)

    def read(self, cell: int, out: NDArray[np.int16]) -> None:
        """The bins that were kept of a cell; the others are nodata.

        Args:
            cell: Number of the cell.
            out: `(bin, band, y, x)`, C-contiguous.
        """
        for place, values in enumerate(out):
            start = self._places.get((cell, place))
            if start is None:
                values[:] = NODATA
            else:
                self._file.seek(start)
                self._file.readinto(values.data)
