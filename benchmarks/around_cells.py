"""What a run costs around its cells: resuming, verifying, counting and writing the map.

    python -m benchmarks.around_cells [--cells 2500 10000]

Makes the run of a sparse country, a triangle that fills half of its bounding box, whose cells are all
finished: predictions of fields with noisy confidences, written once a template and then copied to each place.
Then continues the run and writes its map in this process, on as many threads as there are cores, as
`cropmap predict --workers 0` does. CPU time is that of the process, memory is sampled. Exits with 1 where a
limit is missed.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.grid import Cell, Grid
from gee_pipeline.season import SUMMER, Season
from gee_pipeline.source import Composite, Survey
from inference.models.checkpoint import load_checkpoint
from inference.models.shipped import model_path
from inference.product.legend import Legend
from inference.product.map_facts import MapFacts
from inference.product.map_writer import MapDraft
from inference.run.execute import Progress, run
from inference.run.ledger import CellRecord, open_ledger, stamp_of
from inference.run.plan import PlannedModel, RunPlan
from inference.run.planning import open_or_create
from inference.run.prediction import prediction_path, write_prediction

LEFT, TOP = 3_200_000, 4_000_000
"""A corner of the grid in EPSG:3035, multiples of a cell."""

TEMPLATES = 16
"""Cells that differ; the others are copies of these at other places."""

MOST_CPU = 6.0
"""Milliseconds of CPU a cell, all steps together."""

MOST_RESUMING = 0.6
"""Milliseconds a cell until the first unfinished cell is begun: 100,000 in a minute."""

MOST_MEMORY = 2**30
"""Bytes of resident memory."""


class NoSource:
    """A source of a run that needs none: all cells are finished."""

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"kind": "none"}

    def survey(self, area: Any, season: Season, bins: range) -> Survey:
        """Nothing to see."""
        return Survey(0)

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        """Never asked."""
        raise AssertionError(f"{cell.name} is finished")


@dataclass
class Measured:
    """One run."""

    cells: int
    """Number of cells."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds of CPU by step."""
    wall: dict[str, float] = field(default_factory=dict)
    """Seconds by step."""
    peak: int = 0
    """Bytes of resident memory at the highest."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step."""
        cpu, wall = time.process_time(), time.monotonic()
        yield
        self.cpu[name], self.wall[name] = time.process_time() - cpu, time.monotonic() - wall

    @property
    def missed(self) -> list[str]:
        """Limits that were missed."""
        each = 1000 / self.cells
        found = {
            f"CPU above {MOST_CPU} ms a cell": sum(self.cpu.values()) * each > MOST_CPU,
            f"resuming above {MOST_RESUMING} ms a cell": self.wall["resume"] * each > MOST_RESUMING,
            f"memory above {MOST_MEMORY / 2**20:,.0f} MiB": self.peak > MOST_MEMORY,
        }
        return [name for name, is_missed in found.items() if is_missed]


def main(arguments: list[str] | None = None) -> int:
    """Measure runs of some sizes, print them; 0 where all limits hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[2_500, 10_000], help="numbers of cells")
    options = parser.parse_args(arguments)
    missed: list[str] = []
    for number in options.cells:
        with tempfile.TemporaryDirectory(prefix="cropmap-around-") as home:
            found = measure(Path(home) / "run", number)
        print(report(found))
        missed += found.missed
    return int(bool(missed))


def report(found: Measured) -> str:
    """One table of a run."""
    each = 1000 / found.cells
    lines = [f"{found.cells:,} cells, peak memory {found.peak / 2**20:,.0f} MiB"]
    for name, seconds in {**found.cpu, "all": sum(found.cpu.values())}.items():
        wall = found.wall.get(name, sum(found.wall.values()))
        lines.append(f"  {name:<24} {seconds * each:6.2f} ms of CPU a cell, {wall * each:6.2f} ms")
    return "\n".join([*lines, *(f"  missed: {text}" for text in found.missed)])


def measure(folder: Path, number: int) -> Measured:
    """Make the run of a country, continue it and write its map."""
    plan = make_run(folder, number)
    found, facts = Measured(len(plan.cells)), facts_of(plan)
    with sampled_memory(found):
        draft = MapDraft(folder, plan.grid, plan.cells, Legend.of(load_checkpoint(model_path(None)).classes))
        with draft:
            with found.step("resume, verify and write"):
                start_cpu, start = time.process_time(), time.monotonic()

                def resumed(progress: Progress) -> None:
                    found.cpu["resume"] = time.process_time() - start_cpu
                    found.wall["resume"] = time.monotonic() - start

                summary = run(
                    folder, plan, workers=0, device="cpu", on_progress=resumed, cells_taken=draft.cells
                )
            summary.raise_if_incomplete()
            with found.step("overviews, COGs, report"):
                draft.finish(facts)
    for times in (found.cpu, found.wall):
        times["verify and write"] = times.pop("resume, verify and write") - times["resume"]
    return found


def make_run(folder: Path, number: int) -> RunPlan:
    """The plan of a sparse country whose cells are all finished, in its folder."""
    side = round((2 * number) ** 0.5)
    edge = side * 2_560
    corners = [(LEFT, TOP), (LEFT + edge - 1, TOP - edge + 1), (LEFT, TOP - edge + 1)]
    plan = made_plan(folder, (side, side), shapely.Polygon(corners))
    write_cells(folder, plan)
    return plan


def made_plan(folder: Path, cells: tuple[int, int], area: shapely.Polygon) -> RunPlan:
    """The plan of a run with the default model and without a source, in its folder.

    Args:
        folder: Of the run.
        cells: Rows and columns of cells of 256 px from the corner.
        area: In EPSG:3035.
    """
    checkpoint = load_checkpoint(model_path(None))
    names, shape = tuple(crop.name for crop in checkpoint.classes), (cells[0] * 256, cells[1] * 256)
    plan = RunPlan(
        grid=Grid(GeoBox(shape, Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:3035"), 256),
        area=area,
        season=SUMMER.season(2021, "north"),
        recipe=checkpoint.recipe,
        bins=checkpoint.recipe.window,
        source={"kind": "none"},
        model=PlannedModel("compact", checkpoint.digest, names, model_path(None)),
        reader=NoSource(),
    )
    return open_or_create(folder, plan)[0]


def write_cells(folder: Path, plan: RunPlan) -> None:
    """A prediction a cell, and its line in the ledger."""
    cells = list(plan.grid.cells(plan.cells[:TEMPLATES]))
    contents = []
    for index, cell in enumerate(cells):
        write_prediction(prediction_path(folder, cell), made_bands(index), cell, plan.digest)
        contents.append((prediction_path(folder, cell).read_bytes(), place_of(cell)))
    with open_ledger(folder) as ledger:
        ledger.start("map", len(plan.cells), plan.digest)
        for index, cell in enumerate(plan.grid.cells(plan.cells)):
            content, place = contents[index % len(contents)]
            path = prediction_path(folder, cell)
            path.write_bytes(content.replace(place, place_of(cell)))
            rows = [[60_000, 0, 0, 0, 0, 120_000_000, 300_000_000_000]] * 10
            scenes = {"scenes": 60}
            ledger.add(
                CellRecord(cell.name, "done", 65_536, scenes=scenes, values=rows, file=stamp_of(path) or ())
            )


def place_of(cell: Cell) -> bytes:
    """Where a cell lies, as its TIFF says it."""
    return struct.pack("<dd", cell.geobox.transform.c, cell.geobox.transform.f)


def made_bands(seed: int) -> NDArray[np.uint8]:
    """`(3, y, x)`: fields of one class each, noisy confidences, clear observations under drifting clouds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    middles = rng.uniform(0, 256, (80, 2))
    field_of = np.argmin((y[..., None] - middles[:, 0]) ** 2 + (x[..., None] - middles[:, 1]) ** 2, axis=2)
    codes = rng.choice(np.array([1, 2, 3, 4, 5, 254], np.uint8), 80)[field_of]
    sure = rng.integers(60, 100, 80)[field_of] + rng.normal(0, 6, codes.shape)
    confidence = np.where(codes == 254, 255, np.clip(sure, 20, 100)).astype(np.uint8)
    waves = sum(np.sin((y * a + x * b) / 40 + c) for a, b, c in rng.uniform(0.3, 3, (6, 3)))
    clear = (28 + 2 * waves - (rng.random(codes.shape) < 0.1)).round().astype(np.uint8)
    return np.stack([codes, confidence, clear])


def facts_of(plan: RunPlan) -> MapFacts:
    """What the report of the map states."""
    return MapFacts("A made country", plan.season, plan.recipe, plan.source, "compact", plan.version)


@contextmanager
def sampled_memory(found: Measured) -> Iterator[None]:
    """Note the largest resident memory of this process in the block."""
    process, ended = psutil.Process(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            found.peak = max(found.peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


if __name__ == "__main__":
    sys.exit(main())
