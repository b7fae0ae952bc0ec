"""Made predictions of a run, cut from whole arrays that serve as the oracle."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.grid import Cell, Grid
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from inference.models.crop_class import CropClass
from inference.product.map_facts import MapFacts

CROPS = (
    CropClass(1, "corn", "#f2c200"),
    CropClass(2, "soybeans", "#2f7d32"),
    CropClass(3, "rice", "#2a9df4"),
    CropClass(4, "cotton", "#d05a8a"),
    CropClass(5, "other", "#9c7a54"),
)

ARKANSAS = ("EPSG:32615", 704_000, 3_924_480)


def made_facts(**given: Any) -> MapFacts:
    facts = MapFacts(
        title="Crop map of Poinsett County 2021",
        season=SUMMER.season(2021, "north"),
        recipe=Recipe(),
        source={"kind": "stac", "href": "catalog.json"},
        model="compact.safetensors",
        version="0.1.0",
        model_digest="0123456789abcdef",
        completeness={"planned": 4, "done": 4, "failed": 0, "skipped": 0},
    )
    return replace(facts, **given)


def made_grid(rows: int, cols: int, cell_size: int = 256, place: tuple[str, float, float] = ARKANSAS) -> Grid:
    crs, west, north = place
    shape = (rows * cell_size, cols * cell_size)
    return Grid(GeoBox(shape, Affine(10, 0, west, 0, -10, north), crs), cell_size)


def random_layers(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """`(3, y, x)` of every code there is, with the confidence and observations that go with it."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(np.array([0, 1, 2, 3, 4, 5, 254, 255], np.uint8), size=shape)
    confidence = rng.integers(0, 101, shape, dtype=np.uint8)
    clear = rng.integers(0, 44, shape, dtype=np.uint8)
    confidence[(codes == 0) | (codes >= 254)] = 255
    clear[codes == 0] = 255
    return np.stack([codes, confidence, clear])


def write_prediction(folder: Path, cell: Cell, bands: NDArray[np.uint8], **profile: Any) -> Path:
    path = folder / "predictions" / f"{cell.name}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "driver": "GTiff",
        "height": bands.shape[1],
        "width": bands.shape[2],
        "count": len(bands),
        "dtype": bands.dtype,
        "crs": str(cell.geobox.crs),
        "transform": cell.geobox.transform,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **(values | profile)) as file:
        file.write(bands)
    return path


@dataclass(frozen=True)
class MadeRun:
    """A run folder with predictions, and what they were cut from."""

    folder: Path
    grid: Grid
    cells: NDArray[np.int32]
    layers: NDArray[np.uint8]
    """`(3, y, x)` of the whole grid; outside in cells that are not planned."""
    facts: MapFacts = field(default_factory=made_facts)


def made_run(
    folder: Path, grid: Grid, layers: NDArray[np.uint8], skip: tuple[tuple[int, int], ...] = ()
) -> MadeRun:
    rows, cols = grid.shape
    cells = np.array([(r, c) for r in range(rows) for c in range(cols) if (r, c) not in skip], np.int32)
    whole, size = layers.copy(), grid.cell_size
    for row, col in skip:
        whole[:, row * size : (row + 1) * size, col * size : (col + 1) * size] = [[[0]], [[255]], [[255]]]
    for row, col in cells:
        part = whole[:, row * size : (row + 1) * size, col * size : (col + 1) * size]
        write_prediction(folder, grid.cell(int(row), int(col)), part)
    return MadeRun(folder, grid, cells, whole)


def leftovers(folder: Path) -> list[str]:
    """What is in a run folder besides its predictions."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if "predictions" not in path.parts
    )
