"""Where the cells of a run come from: the plan itself, or a server, from which they are fetched ahead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from inference.budget import Budget
from inference.cell_work import fetch_cell
from inference.crew import Crew
from inference.ledger import CellRecord
from inference.open_run import Job, Ready

Place = tuple[int, int]
"""Row and column of a cell."""


class Supply(Protocol):
    """Cells that are ready to be worked on, one after another."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""

    def take(self, wait: bool) -> Ready | CellRecord | None:
        """The next cell, or the record of one that needs no work any more.

        Args:
            wait: Whether to wait for it; without, None says that there is none yet.

        Returns:
            None also where nothing more will come.
        """


class Planned:
    """The cells of a plan; the workers read their scenes themselves."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.ended = False
        self._places = iter(places)

    def take(self, wait: bool) -> Ready | None:
        """The next cell; there is never anything to wait for."""
        place = next(self._places, None)
        self.ended = place is None
        return None if place is None else Ready(*place)


def fetch_ahead(
    job: Job, places: Iterable[Place], *, threads: int, budget: Budget | None
) -> Crew[Place, Ready | CellRecord]:
    """Cells of which a server makes composites or predictions: some are fetched while others are worked on.

    Taking one raises AccessError where the server refuses all cells, and DiskFullError where the disk has
    no room.

    Args:
        job: The run.
        places: Rows and columns of its cells.
        threads: Cells to fetch at a time.
        budget: What may be spent; None sets no limit.
    """

    def fetch(place: Place) -> Ready | CellRecord:
        return fetch_cell(job, *place)

    return Crew(fetch, places, threads=threads, budget=budget, costs=_costs)


def _costs(cell: Ready | CellRecord) -> bool:
    """Whether the server was asked for a cell; a skipped one without any time was not."""
    if isinstance(cell, CellRecord) and cell.state == "skipped":
        return bool(cell.seconds) and not cell.reused
    return not cell.reused
