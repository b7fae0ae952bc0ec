"""Whether classes change more often across the borders of cells than inside them, beyond noise.

The noise is the map's own: neighbours are counted by where in a cell they lie, and the borders of cells are
one of as many places as a cell has rows, or columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from inference.run.cell_layers import is_class
from inference.verification.findings import Finding

HIGHEST: Final = 5.0
"""Standard deviations above the mean of the other places beyond which borders count as seams."""

LEAST_PAIRS: Final = 1_000
"""Neighbours at the borders below which nothing is said of them."""


@dataclass(frozen=True)
class Changes:
    """Neighbours that both have a class, by where they lie in a cell, and how many have different ones."""

    pairs: NDArray[np.int64]
    """`(place,)`: place 0 is the border of cells."""
    changes: NDArray[np.int64]
    """`(place,)`."""

    @property
    def at_borders(self) -> float:
        """Share of neighbours with different classes at borders of cells."""
        return float(self.changes[0] / max(self.pairs[0], 1))

    @property
    def inside(self) -> float:
        """The same inside cells."""
        return float(self.changes[1:].sum() / max(self.pairs[1:].sum(), 1))

    @property
    def deviations(self) -> float | None:
        """Standard deviations by which borders lie above the other places; None where there are too few."""
        known = self.pairs[1:] > 0
        if self.pairs[0] < LEAST_PAIRS or known.sum() < 2:
            return None
        shares = self.changes[1:][known] / self.pairs[1:][known]
        binomial = np.sqrt(max(self.inside * (1 - self.inside), 1e-12) / self.pairs[0])
        return float((self.at_borders - shares.mean()) / max(shares.std(ddof=1), binomial))


def class_changes(crop_map: Any, cell_size: int) -> tuple[Changes, Changes]:
    """Changes from column to column, and from row to row.

    Args:
        crop_map: The raster of classes, open for reading; a cell begins at its upper left corner.
        cell_size: Pixels along a side of a cell.
    """
    across, down = (Changes(*(np.zeros(cell_size, np.int64) for _ in range(2))) for _ in range(2))
    for top, codes in _strips(crop_map, cell_size):
        own = codes[1:] if top else codes
        _count(across, own[:, :-1], own[:, 1:], np.arange(1, own.shape[1])[None])
        first = top if top else 1
        _count(down, codes[:-1], codes[1:], np.arange(first, first + len(codes) - 1)[:, None])
    return across, down


def seam_findings(crop_map: Any, cell_size: int) -> Iterator[Finding]:
    """Whether the borders of cells show in a map; arguments as for `class_changes`."""
    across, down = class_changes(crop_map, cell_size)
    yield _seam("seams between columns", across)
    yield _seam("seams between rows", down)


def _seam(name: str, changes: Changes) -> Finding:
    deviations = changes.deviations
    text = f"classes change {changes.at_borders:.1%} at borders of cells and {changes.inside:.1%} inside"
    if deviations is None:
        return Finding(name, None, f"{text}; too few neighbours to say more")
    return Finding(name, deviations <= HIGHEST, f"{text} ({deviations:+.1f} standard deviations)")


def _strips(crop_map: Any, rows: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The first row of each strip, and its codes, behind those of the row above it where there is one."""
    height, width = crop_map.shape
    for top in range(0, height, rows):
        above = min(top, 1)
        yield top, crop_map.read(1, window=Window(0, top - above, width, min(rows, height - top) + above))


def _count(changes: Changes, one: NDArray[np.uint8], other: NDArray[np.uint8], places: NDArray[Any]) -> None:
    size = len(changes.pairs)
    both = is_class(one) & is_class(other)
    place = np.broadcast_to(places % size, one.shape)
    changes.pairs[:] += np.bincount(place[both], minlength=size)
    changes.changes[:] += np.bincount(place[both & (one != other)], minlength=size)
