"""Blocks of cells: what one batch task exports, and the names of the files it leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.grid import Grid, cell_name

BLOCK_SIDE: Final = 8
"""Cells along one side of a block: 64 cells of 256 pixels make a task of minutes to an hour, not of days."""

_FILE = re.compile(r"(?P<block>r\d{4,}_c\d{4,}_\d+x\d+)(?:-(?P<top>\d{10})-(?P<left>\d{10}))?\.tif$")
_NAME = re.compile(r"r(\d{4,})_c(\d{4,})_(\d+)x(\d+)")


@dataclass(frozen=True, order=True)
class Block:
    """A rectangle of cells of the grid."""

    row: int
    """Row of its first cell."""
    col: int
    """Column of its first cell."""
    rows: int
    """Rows of cells."""
    cols: int
    """Columns of cells."""

    @property
    def name(self) -> str:
        """First cell and size, rows before columns, for example `r0008_c0016_8x5`."""
        return f"{cell_name(self.row, self.col)}_{self.rows}x{self.cols}"

    @classmethod
    def named(cls, name: str) -> Block:
        """The block of a name.

        Raises:
            ValueError: It is not the name of a block.
        """
        if not (found := _NAME.fullmatch(name)):
            raise ValueError(f"{name!r} is not the name of a block")
        return cls(*map(int, found.groups()))

    def geobox(self, grid: Grid) -> GeoBox:
        """CRS, transform and shape of its pixels."""
        size = grid.cell_size
        rows = slice(self.row * size, (self.row + self.rows) * size)
        return grid.geobox[rows, self.col * size : (self.col + self.cols) * size]

    def cells(self, planned: NDArray[np.int32]) -> NDArray[np.int32]:
        """The planned cells within it.

        Args:
            planned: Rows and columns `(n, 2)` in row order.
        """
        first, last = np.searchsorted(planned[:, 0], (self.row, self.row + self.rows))
        part = planned[first:last]
        return part[(part[:, 1] >= self.col) & (part[:, 1] < self.col + self.cols)]

    def quarters(self, planned: NDArray[np.int32]) -> list[Block]:
        """Up to four blocks that hold its planned cells, each once; a single cell stays itself.

        Args:
            planned: Rows and columns `(n, 2)` in row order.
        """
        side = max(-(-max(self.rows, self.cols) // 2), 1)
        return list(_clipped(self.cells(planned), side, self.row, self.col))


def plan_blocks(planned: NDArray[np.int32], side: int = BLOCK_SIDE) -> list[Block]:
    """Blocks that hold each planned cell exactly once, in row order.

    The grid is cut into squares; each is clipped to the rectangle around its planned cells, and squares
    without any are left out.

    Args:
        planned: Rows and columns `(n, 2)` of the planned cells, in row order.
        side: Cells along one side of a square.
    """
    return list(_clipped(planned, side, 0, 0))


def cell_of_file(name: str, cell_size: int) -> tuple[Block, tuple[int, int]] | None:
    """The block and the cell, as row and column, that an exported file holds; None for other files.

    Earth Engine cuts a large image into files and ends their names in the row and column of the first
    pixel; an image that fits one file has no such ending.

    Args:
        name: File name without folder, as `file_prefix` began it.
        cell_size: Pixels along one side of a cell, and so of a file.
    """
    if not (found := _FILE.search(name)):
        return None
    block = Block.named(found["block"])
    top, left = int(found["top"] or 0), int(found["left"] or 0)
    cell = block.row + top // cell_size, block.col + left // cell_size
    inside = cell[0] < block.row + block.rows and cell[1] < block.col + block.cols
    return (block, cell) if inside and top % cell_size == left % cell_size == 0 else None


def file_prefix(run: str, block: Block | None = None) -> str:
    """How the names of the files of a run, or of one of its blocks, begin."""
    return f"cropmap-{run}-{block.name if block else ''}"


def _clipped(cells: NDArray[np.int32], side: int, row: int, col: int) -> Iterator[Block]:
    """Squares of cells counted from a row and column, clipped to the cells that they hold."""
    if not len(cells):
        return
    squares = (cells - np.array([row, col], cells.dtype)) // side
    order = np.lexsort((squares[:, 1], squares[:, 0]))
    squares, cells = squares[order], cells[order]
    edges = np.flatnonzero(np.any(np.diff(squares, axis=0), axis=1)) + 1
    for part in np.split(cells, edges):
        (top, left), (bottom, right) = part.min(axis=0), part.max(axis=0)
        yield Block(int(top), int(left), int(bottom - top + 1), int(right - left + 1))
