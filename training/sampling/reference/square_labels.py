"""Which class the land of a square has: one code for each point of its lattice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import PIXEL_SIZE
from training.sampling.reference.class_table import NO_CLASS
from training.sampling.squares.grid import SampleCell

BLOCK: Final = 2048
"""Pixels of 10 m along a side of what is read of a file at once: its arrays take about 100 MB."""


@dataclass(frozen=True)
class SquareLabels:
    """The labels of a square's lattice."""

    codes: NDArray[np.uint8]
    """`(y, x)`: label + 1, 0 where there is no class or another is too near."""
    values: NDArray[Any]
    """`(y, x)`: values of the map, whole numbers or texts."""
    known: NDArray[np.bool_]
    """`(y, x)`: where the map has a value."""


class LabelReader(Protocol):
    """A reference map, square by square; many threads may use it at once."""

    def require(self) -> None:
        """Look at the map once, before all squares fail of the same fault.

        Raises:
            InputError: It cannot be used.
        """

    def read(self, cell: SampleCell, spacing: int, buffer: float) -> SquareLabels:
        """The labels of a square.

        Args:
            cell: The square.
            spacing: Metres between two points of its lattice.
            buffer: Metres around a point that must have its class.

        Raises:
            CropmapError: The map cannot be read there.
        """


@dataclass(frozen=True)
class Block:
    """A part of a lattice and the 10 m pixels around it."""

    rows: slice
    """Rows of the lattice."""
    cols: slice
    """Columns of the lattice."""
    geobox: GeoBox
    """Pixels of 10 m that hold its points, and as many around them as the buffer needs."""
    margin: int
    """Pixels before the first point, in both directions."""
    step: int
    """Pixels from one point to the next."""

    def at_points(self, values: NDArray[Any], row: int = 0, col: int = 0) -> NDArray[Any]:
        """Values `(y, x)` of the lattice's points, or of the pixels some rows and columns away from them."""
        top, left = self.margin + row, self.margin + col
        height, width = self.rows.stop - self.rows.start, self.cols.stop - self.cols.start
        return values[
            top : top + (height - 1) * self.step + 1 : self.step,
            left : left + (width - 1) * self.step + 1 : self.step,
        ]


def blocks(lattice: GeoBox, spacing: int, buffer: float) -> Iterator[Block]:
    """The parts of a lattice, none of more than `BLOCK` pixels of 10 m a side besides the buffer.

    Args:
        lattice: Of a square; the centres of its pixels are those of 10 m pixels.
        spacing: Metres between its points.
        buffer: Metres around a point that are looked at.
    """
    step, margin = spacing // PIXEL_SIZE, int(buffer // PIXEL_SIZE)
    points = max(BLOCK // step, 1)
    height, width = lattice.shape
    for top in range(0, height, points):
        for left in range(0, width, points):
            rows, cols = slice(top, min(top + points, height)), slice(left, min(left + points, width))
            x, y = lattice.transform * (left + 0.5, top + 0.5)
            corner = (x - (margin + 0.5) * PIXEL_SIZE, y + (margin + 0.5) * PIXEL_SIZE)
            tall, wide = ((part.stop - part.start - 1) * step + 1 + 2 * margin for part in (rows, cols))
            transform = Affine(PIXEL_SIZE, 0, corner[0], 0, -PIXEL_SIZE, corner[1])
            yield Block(rows, cols, GeoBox((tall, wide), transform, lattice.crs), margin, step)


def pure_at_points(codes: NDArray[np.uint8], block: Block, buffer: float) -> NDArray[np.uint8]:
    """Codes `(y, x)` of a block's points where all pixels within the buffer have the same, else 0.

    It is what Earth Engine's neighbourhoods of a circle give: a pixel belongs to the circle where its centre
    is no farther than the buffer.

    Args:
        codes: `(y, x)` of the block's pixels.
        block: The block.
        buffer: Metres; below one pixel nothing is cut away.
    """
    here = block.at_points(codes)
    pure, radius = np.ones(here.shape, np.bool_), buffer / PIXEL_SIZE
    for row in range(-block.margin, block.margin + 1):
        for col in range(-block.margin, block.margin + 1):
            if row * row + col * col <= radius * radius:
                pure &= block.at_points(codes, row, col) == here
    return np.where(pure, here, NO_CLASS).astype(np.uint8)
