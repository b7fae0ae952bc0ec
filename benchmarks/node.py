"""What a GPU waits for: cells from composites on disk to prediction files, with a stand-in for the card.

    python -m benchmarks.node [--card 1700000] [--cores 16] [--cells 24] [--limit 0.6]

One process works on cells as a worker on a GPU does, with as many threads as this machine has cores. In
place of the card stands a wait of as long as it would take: series are copied into buffers, and a thread at
a time sleeps. The card's rate is given by its share for the cores that are here, for its machine has more:
of 1.7 million pixels a second with 16 cores, two get 212,500. Simulated, then, is the card; reading, filling
of buffers and writing are real. Exits with 1 where less than the limit of the card's rate is reached.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from benchmarks.around_cells import LEFT, TOP, NoSource, made_plan
from benchmarks.model_input import made_composite
from gee_pipeline.store import composite_path, write_composite
from inference.models.checkpoint import Checkpoint, load_checkpoint
from inference.models.crop_class import CropClass
from inference.models.gpu_form import BATCH
from inference.models.pixel_prediction import Prediction, ScoredPrediction
from inference.models.shipped import model_path
from inference.run.cell_worker import CellWorker, WorkerSetup
from inference.run.plan import RunPlan

CARD: Final = 1_700_000.0
"""Pixels per second of a `compact` network on one H100, when it reaches what is wanted of it."""

CORES: Final = 16
"""Cores of the machine that such a card is in."""

LIMIT: Final = 0.6
"""Part of the card's rate that must be reached."""


@dataclass
class StandIn:
    """A model that takes as long as a card would, and says nothing of worth."""

    checkpoint: Checkpoint
    """Whose classes and recipe it has."""
    rate: float
    """Pixels per second."""
    busy: float = 0.0
    """Seconds that the card would have worked."""
    _card: Lock = field(default_factory=Lock)

    @property
    def classes(self) -> tuple[CropClass, ...]:
        """What its codes mean."""
        return self.checkpoint.classes

    @property
    def recipe(self) -> Any:
        """How the series are made."""
        return self.checkpoint.recipe

    def predict(self, series: NDArray[np.int16]) -> Prediction:
        """The first class for all, after the time that a card would take."""
        with self._card:
            ends = time.perf_counter() + len(series) / self.rate
            buffer = np.empty((*series.shape[1:], BATCH), np.int16)
            for start in range(0, len(series), BATCH):
                part = series[start : start + BATCH]
                buffer[:, :, : len(part)] = part.transpose(1, 2, 0)
            time.sleep(max(0.0, ends - time.perf_counter()))
            self.busy += len(series) / self.rate
        ones = np.ones(len(series), np.uint8)
        return Prediction(ones * self.classes[0].code, ones)

    def scored(self, series: NDArray[np.int16]) -> ScoredPrediction:
        """Never asked: no layers are wanted."""
        raise AssertionError("no layers are wanted")

    def probabilities(self, series: NDArray[np.int16]) -> NDArray[np.float32]:
        """Never asked: no layers are wanted."""
        raise AssertionError("no layers are wanted")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 where the limit is reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--card", type=float, default=CARD, help=f"the card's px/s [{CARD:,.0f}]")
    parser.add_argument("--cores", type=int, default=CORES, help=f"cores of its machine [{CORES}]")
    parser.add_argument("--cells", type=int, default=24, help="cells of 256 px [24]")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"part of the card's rate [{LIMIT}]")
    options = parser.parse_args(arguments)
    here = os.cpu_count() or 1
    card = options.card * here / options.cores
    with tempfile.TemporaryDirectory(prefix="cropmap-node-") as home:
        plan = make_run(Path(home) / "run", options.cells)
        rate, busy = measure(Path(home) / "run", plan, card, here)
    print(
        f"{here} of {options.cores} cores, a stand-in for a card of {card:,.0f} px/s (simulated): composites "
        f"to predictions {rate:,.0f} px/s, {rate / card:.0%} of it; it was busy {busy:.0%} of the time"
    )
    return int(rate < options.limit * card)


def make_run(folder: Path, cells: int) -> RunPlan:
    """A run of cells in a row, whose composites are there (made up)."""
    plan = made_plan(folder, (1, cells), shapely.box(LEFT, TOP - 2_560, LEFT + 2_560 * cells, TOP))
    for cell in plan.grid.cells(plan.cells):
        path = composite_path(folder, cell)
        write_composite(
            path, made_composite(cell, seed=cell.col), plan.recipe, plan.season, plan.shown_source
        )
    return plan


def measure(folder: Path, plan: RunPlan, card: float, threads: int) -> tuple[float, float]:
    """Pixels per second from composites to predictions, and the part of the time that the card worked."""
    setup = WorkerSetup(folder, NoSource(), composites_only=False)
    worker, model = CellWorker(setup), StandIn(load_checkpoint(model_path(None)), card)
    worker._pixel_model = model
    first, *cells = plan.grid.cells(plan.cells)
    worker.map_cell(first)  # compiles
    busy, start = model.busy, time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        pixels = sum(record.pixels for record in pool.map(worker.map_cell, cells))
    seconds = time.perf_counter() - start
    return pixels / seconds, (model.busy - busy) / seconds


if __name__ == "__main__":
    sys.exit(main())
