"""Where the cells of a run come from: the plan, alone or in blocks, or a server that is asked ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.client.budget import Budget
from gee_pipeline.earthengine.client.fetch_threads import FetchThreads
from gee_pipeline.source import RemoteSource
from inference.run.cell_task import fetch_cell
from inference.run.cell_worker import CellBlock, ReadyCell, WorkerSetup
from inference.run.ledger import CellRecord

CellIndex = tuple[int, int]
"""Row and column of a cell."""


class CellQueue(Protocol):
    """Cells that are ready to be worked on, one after another."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""

    @property
    def under_way(self) -> int:
        """Cells that are being made ready."""

    def take(self, wait: bool) -> ReadyCell | CellBlock | CellRecord | None:
        """The next cell, or block of cells, or the record of one that needs no work any more.

        Args:
            wait: Whether to wait for it; without, None says that there is none yet.

        Returns:
            None also where nothing more will come.
        """


class PlannedCells:
    """The cells of a plan, or blocks of them; the workers read their scenes themselves."""

    def __init__(self, places: Iterable[CellIndex | CellBlock]) -> None:
        self.ended, self.under_way = False, 0
        self._places = iter(places)

    def take(self, wait: bool) -> ReadyCell | CellBlock | None:
        """The next cell or block; there is never anything to wait for."""
        place = next(self._places, None)
        self.ended = place is None
        return place if place is None or isinstance(place, CellBlock) else ReadyCell(*place)


def in_blocks(cells: NDArray[np.int32], side: int) -> Iterator[CellBlock]:
    """All cells in squares, row by row in each.

    Args:
        cells: `(n, 2)` rows and columns, each cell once.
        side: Cells along a side of a square.
    """
    rows, cols = cells[:, 0] // side, cells[:, 1] // side
    ordered = cells[np.lexsort((cells[:, 1], cells[:, 0], cols, rows))]
    ends = np.flatnonzero(np.diff(ordered // side, axis=0).any(axis=1)) + 1
    for first, end in pairwise([0, *ends.tolist(), len(ordered)] if len(ordered) else []):
        yield CellBlock(tuple((int(row), int(col)) for row, col in ordered[first:end]))


def fetch_ahead(
    setup: WorkerSetup, places: Iterable[CellIndex], *, threads: int, budget: Budget | None
) -> FetchThreads[CellIndex, ReadyCell | CellRecord]:
    """Cells of which a server makes composites or predictions: some are fetched while others are worked on.

    Taking one raises AccessError where the server refuses all cells, and DiskFullError where the disk has
    no room.

    Args:
        setup: The run.
        places: Rows and columns of its cells.
        threads: Cells to fetch at a time.
        budget: What may be spent; None sets no limit.
    """

    source = setup.source

    def fetch(place: CellIndex) -> ReadyCell | CellRecord:
        try:
            return fetch_cell(setup, *place)
        finally:
            if budget and isinstance(source, RemoteSource):  # it has to know what a cell took before the next
                source.settle()

    return FetchThreads(fetch, places, threads=threads, budget=budget, costs=_costs)


def _costs(cell: ReadyCell | CellRecord) -> bool:
    """Whether the server was asked for a cell; a skipped one without any time was not."""
    if isinstance(cell, CellRecord) and cell.state == "skipped":
        return bool(cell.seconds) and not cell.reused
    return not cell.reused
