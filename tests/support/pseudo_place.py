"""A small finished run over made fields: real composites, a real network, and what each pixel shows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
import torch
from numpy.typing import NDArray

from gee_pipeline.aoi import Aoi
from gee_pipeline.bands import NODATA
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER, Season
from gee_pipeline.source import Composite, SceneCounts, Survey
from inference.models.checkpoint import Checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.run.execute import run
from inference.run.plan import RunPlan, load_plan
from inference.run.planning import open_or_create, plan_run
from inference.run.prediction import write_prediction

SIZE = 32
STEP = 10 * SIZE
LEFT, TOP = 499_840, 5_000_320  # multiples of STEP
CRS = "EPSG:32633"
RECIPE = Recipe.of(bands=("B2", "B4"), window=(121, 180), min_clear_bins=3)
SEASON = SUMMER.season(2021, "north")
FIELD = 7  # pixels along a side of a field, which no cell is a multiple of
NAMES = ("corn", "soybeans", "other")


def series_at(row: int, col: int, bins: range) -> NDArray[np.int16]:
    """`(band, bin)` of one pixel of the grid: its field's series and a tenth of noise, half of it gaps."""
    of_field = np.random.default_rng([5, row // FIELD, col // FIELD]).integers(500, 5_000, (2, 73))
    rng = np.random.default_rng([6, row, col])
    series = (of_field + rng.integers(-50, 50, (2, 73))).astype(np.int16)
    series[:, rng.random(73) < 0.5] = NODATA
    return series[:, bins.start : bins.stop]


@dataclass(frozen=True)
class FieldSource:
    """Fields of one series each."""

    about: dict[str, Any] = field(default_factory=lambda: {"kind": "fields"})

    def describe(self) -> dict[str, Any]:
        return self.about

    def survey(self, area: Any, season: Season, bins: range) -> Survey:
        return Survey(1)

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        top, left = cell.row * SIZE, cell.col * SIZE
        values = np.empty((len(bins), 2, SIZE, SIZE), np.int16)
        for y in range(SIZE):
            for x in range(SIZE):
                values[:, :, y, x] = series_at(top + y, left + x, bins).T
        return Composite(values, cell.geobox, bins, RECIPE.bands, SceneCounts(3, 1, 7))


def made_checkpoint(
    seed: int = 7, *, names: tuple[str, ...] = NAMES, dropout: float = 0.2, recipe: Recipe = RECIPE
) -> Checkpoint:
    """A network of a few weights at random that calls fields by several names."""
    torch.manual_seed(seed)
    config = CropNetConfig("tiny", (4,), (2,), (dropout,), len(recipe.bands), len(names))
    network = CropNet(config)
    with torch.no_grad():
        network.head.weight.mul_(6)
        network.head.bias.copy_(torch.zeros(len(names)))
    bands = len(recipe.bands)
    return Checkpoint(
        config=config,
        classes=tuple(CropClass(k, name, f"#{40 * k:02x}8040") for k, name in enumerate(names, 1)),
        recipe=recipe,
        normalisation=Normalisation((0.27,) * bands, (0.13,) * bands),
        weights=network.state_dict(),
        provenance={"data": "fields made for tests."},
    )


def area() -> shapely.Polygon:
    """3 x 2 cells; one corner is cut off so that a cell is not planned, and there is a hole."""
    outline = [(5, 5), (2 * STEP, 5), (2 * STEP, STEP), (3 * STEP, STEP), (3 * STEP, 2 * STEP - 5)]
    hole = [(100, 100), (180, 100), (180, 260), (100, 260)]
    rings = [[(LEFT + x, TOP - y) for x, y in ring] for ring in ([*outline, (5, 2 * STEP - 5)], hole)]
    return shapely.Polygon(rings[0], [rings[1]])


def planned(folder: Path, checkpoint: Checkpoint | None) -> RunPlan:
    """The plan of a run in a folder; without a checkpoint of composites only."""
    model = {}
    if checkpoint is not None:
        model = {"checkpoint": checkpoint, "checkpoint_path": folder.with_suffix(".safetensors")}
        save_checkpoint(model["checkpoint_path"], checkpoint)
    given: dict[str, Any] = {"cell_size": SIZE, **model}
    plan = plan_run(Aoi(area(), pyproj.CRS(CRS)), SEASON, RECIPE, FieldSource(), **given)
    return open_or_create(folder, plan)[0]


def made_run(folder: Path, checkpoint: Checkpoint | None = None) -> Path:
    """A finished run."""
    plan = planned(folder, checkpoint or made_checkpoint())
    summary = run(folder, plan, workers=0, device="cpu")
    assert not summary.failures
    return folder


def copied(run_folder: Path, folder: Path) -> Path:
    """The same run, to spoil."""
    shutil.copytree(run_folder, folder)
    return folder


def whole(run_folder: Path) -> NDArray[np.uint8]:
    """`(3, y, x)` of all predictions on the grid; 0 in cells that are not planned."""
    plan = load_plan(run_folder)
    out = np.zeros((3, *plan.grid.geobox.shape), np.uint8)
    for path in (run_folder / "predictions").glob("*.tif"):
        row, col = int(path.stem[1:5]) * SIZE, int(path.stem[7:11]) * SIZE
        with rasterio.open(path) as file:
            out[:, row : row + SIZE, col : col + SIZE] = file.read()
    return out


def overwrite(run_folder: Path, layers: NDArray[np.uint8]) -> None:
    """Other predictions in place of the run's own."""
    plan = load_plan(run_folder)
    for cell in plan.grid.cells(plan.cells):
        top, left = cell.row * SIZE, cell.col * SIZE
        part = np.ascontiguousarray(layers[:, top : top + SIZE, left : left + SIZE])
        write_prediction(run_folder / "predictions" / f"{cell.name}.tif", part, cell, plan.digest)


def write_raster(path: Path, values: NDArray[Any], run_folder: Path) -> Path:
    """A raster on the pixels of the run."""
    geobox = load_plan(run_folder).grid.geobox
    profile = {"driver": "GTiff", "count": 1, "crs": CRS, "transform": geobox.transform}
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, dtype=values.dtype, **profile) as file:
        file.write(values, 1)
    return path


def row_col(lon: NDArray[Any], lat: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows and columns of the grid that hold places, by pyproj; the grid begins at LEFT, TOP."""
    x, y = pyproj.Transformer.from_crs("EPSG:4326", CRS, always_xy=True).transform(lon, lat)
    return np.floor((TOP - y) / 10).astype(int), np.floor((x - LEFT) / 10).astype(int)
