"""Square blocks of pixels drawn at random, and pixels in each: points that lie near one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from assessment.sample.districts import Districts
from assessment.sample.drawing import Units
from assessment.sample.frame import Labeller, Progress, with_progress
from assessment.sample.map_file import TILE, AssessedMap, reading
from assessment.sample.strata import Partition
from gee_pipeline.errors import InputError

MOST_BLOCKS: Final = 20_000_000
"""Blocks of a map at most: their pixels are counted in 160 MB."""


@dataclass(frozen=True)
class BlockFrame:
    """The blocks of a map, from its top left corner."""

    side: int
    """Pixels along a side."""
    shape: tuple[int, int]
    """Rows and columns of blocks."""
    pixels: NDArray[np.int64]
    """`(block,)`: pixels of the frame, row by row."""

    @property
    def count(self) -> int:
        """Blocks with a pixel of the frame."""
        return int(np.count_nonzero(self.pixels))

    def window(self, block: int, assessed: AssessedMap) -> Window:
        """The pixels of a block; the last ones end where the map does."""
        row, col = divmod(block, self.shape[1])
        top, left = row * self.side, col * self.side
        height, width = assessed.shape
        return Window(left, top, min(self.side, width - left), min(self.side, height - top))

    def name(self, block: int) -> str:
        """What a block is called."""
        row, col = divmod(block, self.shape[1])
        return f"r{row}_c{col}"


def count_blocks(assessed: AssessedMap, metres: float, report: Progress = lambda *_: None) -> BlockFrame:
    """How many pixels of the frame each block has, window by window.

    Args:
        assessed: The map.
        metres: Side of a block; it is rounded to whole pixels.
        report: Receives the windows read and all windows.

    Raises:
        InputError: Blocks are smaller than 2 pixels, or too many.
    """
    side = round(metres / abs(assessed.transform.a))
    height, width = assessed.shape
    shape = -(-height // max(side, 1)), -(-width // max(side, 1))
    if side < 2 or shape[0] * shape[1] > MOST_BLOCKS:
        raise InputError(
            f"A block has a side of 2 pixels or more, and a map at most {MOST_BLOCKS:,} blocks; got blocks "
            f"of {metres:g} m on pixels of {abs(assessed.transform.a):g} m. Choose other --blocks."
        )
    pixels = np.zeros(shape, np.int64)
    step = max(TILE // side, 1) * side
    with reading(assessed.path, assessed) as file:
        for window in with_progress(assessed, report, step):
            codes = file.read(1, window=window)
            inside = np.ones(codes.shape, bool) if assessed.outside is None else codes != assessed.outside
            y, x = window.row_off // side, window.col_off // side
            rows = np.add.reduceat(inside.astype(np.int64), np.arange(0, window.height, side), axis=0)
            found = np.add.reduceat(rows, np.arange(0, window.width, side), axis=1)
            pixels[y : y + found.shape[0], x : x + found.shape[1]] = found
    return BlockFrame(side, shape, pixels.ravel())


def draw_blocks(
    assessed: AssessedMap,
    partition: Partition,
    districts: Districts,
    frame: BlockFrame,
    blocks: int,
    points: int,
    seed: int,
) -> Units:
    """A simple random sample of blocks, and one of pixels in each; of a small block all pixels.

    Args:
        assessed: The map.
        partition: What its pixels are.
        districts: Its districts.
        frame: Its blocks.
        blocks: Blocks to draw.
        points: Points in all, shared out evenly.
        seed: Two draws with one seed are the same.

    Raises:
        InputError: There are fewer blocks, or less than 2 points for each.
    """
    there = np.flatnonzero(frame.pixels)
    each = points // max(blocks, 1)
    if not 2 <= blocks <= len(there) or each < 2:
        raise InputError(
            f"At least 2 blocks are drawn, with 2 points or more each; the map has {len(there):,} blocks, "
            f"got {blocks:,} with {points:,} points. Change --blocks-drawn or --points."
        )
    rng = np.random.default_rng([seed, frame.side, blocks])
    chosen = np.sort(rng.choice(there, blocks, replace=False))
    found: list[NDArray[Any]] = []
    with Labeller(assessed, partition, districts) as labeller:
        for block in chosen.tolist():
            window = frame.window(block, assessed)
            labels = labeller.labels(window).ravel()
            inside = np.flatnonzero(labels >= 0)
            flat = rng.choice(inside, min(each, len(inside)), replace=False)
            rows, cols = np.divmod(flat, window.width)
            part, district = np.divmod(labels[flat], partition.districts)
            probability = blocks / len(there) * len(flat) / len(inside)
            area = assessed.pixel_hectares(window).ravel()[flat]
            place = (window.row_off + rows, window.col_off + cols, part, district, np.full(len(flat), block))
            found.append(np.column_stack([*place, area, np.full(len(flat), probability)]))
    table = rng.permutation(np.concatenate(found))
    row, col, part, district, block = table[:, :5].T.astype(np.intp)
    return Units(row, col, part, district, np.zeros_like(row), table[:, 5], table[:, 6], block)
