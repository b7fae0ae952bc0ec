"""A small run without scenes: composites are drawn from a generator seeded by the cell."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyproj
import shapely
import torch

from gee_pipeline.aoi import Aoi
from gee_pipeline.bands import NODATA
from gee_pipeline.errors import AccessError, SceneReadError
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER, Season
from gee_pipeline.source import Composite, SceneCounts, Spent, Survey
from inference.models.checkpoint import Checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.run.completeness import RunSummary
from inference.run.cropland import CroplandMask
from inference.run.execute import run
from inference.run.plan import RunPlan
from inference.run.planning import open_or_create, plan_run

torch.set_num_threads(1)  # networks this small only wait for one another

SIZE = 32
STEP = SIZE * 10
LEFT, TOP = 499_840, 5_000_320  # multiples of STEP
RECIPE = Recipe.of(bands=("B2", "B4"), window=(121, 180))
SEASON = SUMMER.season(2021, "north")


@dataclass(frozen=True)
class FakeSource:
    """Composites with gaps, made up; it writes down which cells it was asked for."""

    calls: Path | None = None
    """File that gets one line a call, also from worker processes."""
    broken: tuple[str, ...] = ()
    """Cells whose scenes cannot be read."""
    deadly: tuple[str, ...] = ()
    """Cells that kill the worker process, as a system short of memory does."""
    delay: float = 0.0
    """Seconds a cell takes."""
    about: dict[str, Any] = field(default_factory=lambda: {"kind": "fake", "href": "nowhere"})

    def describe(self) -> dict[str, Any]:
        return self.about

    def survey(self, area: Any, season: Season, bins: range) -> Survey:
        return Survey(1)

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        if self.calls:
            with self.calls.open("a") as file:
                file.write(f"{cell.name}\n")
        time.sleep(self.delay)
        if cell.name in self.deadly:
            os._exit(9)
        if cell.name in self.broken:
            raise SceneReadError(f"scene S2A_{cell.name} cannot be read")
        return Composite(values_of(cell, bins), cell.geobox, bins, RECIPE.bands, SceneCounts(3, 1, 7))

    def called(self) -> list[str]:
        """Names of the cells asked for, in order."""
        return self.calls.read_text().split() if self.calls and self.calls.exists() else []


def values_of(cell: Cell, bins: range) -> Any:
    """Composite `(bin, band, y, x)` of a cell: each bin has its own seed, half of the pixels are gaps."""
    out = np.empty((len(bins), len(RECIPE.bands), *cell.geobox.shape), np.int16)
    for place, index in enumerate(bins):
        generator = np.random.default_rng([cell.row, cell.col, index])
        out[place] = generator.integers(100, 6_000, out.shape[1:])
        out[place, :, generator.random(out.shape[2:]) < 0.4] = NODATA
    return out


def polygon() -> shapely.Polygon:
    """An area of 3 x 2 cells with an oblique side and a hole; the corner cell is only grazed."""
    outline = [(5, 5), (3 * STEP - 5, 5), (3 * STEP - 5, 200), (2 * STEP, 2 * STEP - 5), (5, 2 * STEP - 5)]
    hole = [(100, 100), (180, 100), (180, 260), (100, 260)]
    shifted = [[(LEFT + x, TOP - y) for x, y in ring] for ring in (outline, hole)]
    return shapely.Polygon(shifted[0], [shifted[1]])


def aoi(area: Any = None, crs: str = "EPSG:32633") -> Aoi:
    return Aoi(area or polygon(), pyproj.CRS(crs))


def checkpoint(seed: int = 1, recipe: Recipe = RECIPE) -> Checkpoint:
    """A network of a few hundred weights."""
    torch.manual_seed(seed)
    config = CropNetConfig("tiny", (4,), (2,), (0.1,), len(recipe.bands), 3)
    return Checkpoint(
        config=config,
        classes=tuple(
            CropClass(i, n, "#336699") for i, n in enumerate(["corn", "soybeans", "other"], start=1)
        ),
        recipe=recipe,
        normalisation=Normalisation((0.3,) * len(recipe.bands), (0.15,) * len(recipe.bands)),
        weights=CropNet(config).state_dict(),
        provenance={"data": "made for tests."},
    )


def saved(folder: Path, seed: int = 1) -> Path:
    path = folder / f"model{seed}.safetensors"
    save_checkpoint(path, checkpoint(seed))
    return path


def map_plan(
    folder: Path, source: FakeSource, *, seed: int = 1, cropland: CroplandMask | None = None, **options: Any
) -> RunPlan:
    """The plan of a map; the model's file is written to `folder`."""
    model = saved(folder, seed)
    return plan_run(
        options.pop("aoi", aoi()),
        options.pop("season", SEASON),
        RECIPE,
        source,
        checkpoint=checkpoint(seed),
        checkpoint_path=model,
        cropland=cropland,
        cell_size=SIZE,
        **options,
    )


def export_plan(source: FakeSource, **options: Any) -> RunPlan:
    """The plan of composites only."""
    area, season = options.pop("aoi", aoi()), options.pop("season", SEASON)
    return plan_run(area, season, options.pop("recipe", RECIPE), source, cell_size=SIZE, **options)


def carry_out(folder: Path, plan: RunPlan, **options: Any) -> RunSummary:
    """Open the folder and run, in this process unless options say otherwise."""
    opened, _ = open_or_create(folder, plan)
    return run(folder, opened, **{"workers": 0, "device": "cpu", **options})


def predictions(folder: Path) -> dict[str, bytes]:
    """Content of all prediction files by name."""
    return {path.name: path.read_bytes() for path in sorted((folder / "predictions").glob("*"))}


@dataclass(frozen=True)
class FakeBlocks(FakeSource):
    """A source that makes the composites of many cells together."""

    def read_block(
        self, cells: Sequence[Cell], season: Season, bins: range, folder: Path
    ) -> Iterator[tuple[Cell, Composite]]:
        if self.calls:
            with self.calls.open("a") as file:
                file.write(f"block-of-{len(cells)}\n")
        assert folder.name == "composites"
        if any(cell.name in self.deadly for cell in cells):
            os._exit(9)
        for cell in cells:
            if cell.name not in self.broken:
                yield (
                    cell,
                    Composite(values_of(cell, bins), cell.geobox, bins, RECIPE.bands, SceneCounts(3, 1, 7)),
                )


@dataclass(frozen=True)
class FakeListed(FakeBlocks):
    """A source that has its scenes kept for other processes, and writes down from which of both it reads."""

    listed: bool = False

    def kept(self, folder: Path, extent: Any, season: Season, bins: range) -> FakeListed:
        assert folder.is_dir()
        return replace(self, listed=True)

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        self._note()
        return super().read_cell(cell, season, bins)

    def read_block(self, cells: Sequence[Cell], *arguments: Any) -> Iterator[tuple[Cell, Composite]]:
        self._note()
        return super().read_block(cells, *arguments)

    def _note(self) -> None:
        assert self.calls
        with self.calls.open("a") as file:
            file.write("from-the-list\n" if self.listed else "from-the-catalog\n")


class Server:
    """What the fake server remembers; it cannot be sent to another process, as a session cannot."""

    def __init__(self) -> None:
        self.spent = Spent()
        self.lock = threading.Lock()
        self.under_way = self.most = 0
        self.notices = ["Earth Engine allows fewer requests at once."]
        self.labels: list[str] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return (Server, ())


@dataclass(frozen=True)
class FakeRemote(FakeSource):
    """A source whose cells cost computing time at a server."""

    server: Server = field(default_factory=Server, compare=False)
    cost: float = 36.0
    """EECU-seconds per cell."""
    measured: bool = True
    refusing: bool = False
    bare: tuple[str, ...] = ()
    """Cells without cropland."""

    def cells_ahead(self, bins: int, cell_size: int) -> int:
        return 3

    def spent(self) -> Spent:
        return self.server.spent

    def label(self, name: str) -> None:
        self.server.labels.append(name)

    def settle(self) -> None:
        pass

    def keeping(self, folder: Path) -> Self:
        return self

    def take_notices(self) -> list[str]:
        told, self.server.notices = self.server.notices, []
        return told

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        if self.refusing:
            raise AccessError("Earth Engine does not know the project crop-maps.")
        with self.server.lock:
            self.server.under_way += 1
            self.server.most = max(self.server.most, self.server.under_way)
        try:
            composite = super().read_cell(cell, season, bins)
        finally:
            with self.server.lock:
                self.server.under_way -= 1
                more = Spent(4, 1000, self.cost, 0) if self.measured else Spent(4, 1000, 0.0, 4)
                self.server.spent += more
        mask = np.full(cell.geobox.shape, cell.name not in self.bare)
        values = np.where(mask, composite.values, np.int16(-9999))
        return Composite(values, cell.geobox, bins, composite.bands, composite.counts, mask)
