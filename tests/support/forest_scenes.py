"""A place for forests on the servers: made scenes over six small cells, as the emulator keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites import graph
from gee_pipeline.grid import Grid
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.sensors import SENTINEL_2
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster

CRS = "EPSG:32632"
SIZE = 8
LEFT, TOP = 512_000, 5_120_000
MEDIANS = Recipe.of(bands=("B2", "B8"), window=(121, 155), min_clear_bins=3)
WAVES = Recipe.of(bands=("B3", "B8", "B8A", "B11", "B12"), window=(121, 165), min_clear_bins=3)
SEASON = SUMMER.season(2021, "north")
BANDS = ("B2", "B3", "B8", "B8A", "B11", "B12")


def grid() -> Grid:
    """Two rows and three columns of cells."""
    return Grid(GeoBox((2 * SIZE, 3 * SIZE), Affine(10, 0, LEFT, 0, -10, TOP), CRS), SIZE)


def area() -> shapely.Geometry:
    """All cells but most of the last one, with a hole; its edges pass no centre of a pixel."""
    whole = shapely.box(LEFT + 21, TOP - 141, LEFT + 173, TOP - 13)
    tongue = shapely.box(LEFT + 171, TOP - 62, LEFT + 232, TOP - 23)
    return whole.union(tongue) - shapely.box(LEFT + 61, TOP - 103, LEFT + 93, TOP - 64)


def scenes(seed: int = 1, count: int = 26) -> Archive:
    """Seven weeks over parts of the grid: several a day, clouds, holes, some without Cloud Score+."""
    rng = np.random.default_rng(seed)
    archive = Archive([])
    for i in range(count):
        when = datetime(2021, 4, 30, 10, 30, tzinfo=UTC) + timedelta(
            int(rng.integers(48)), int(rng.integers(9))
        )
        _add(archive, rng, f"S{rng.integers(1_000):03d}_{i}", when, scored=i % 4 != 0)
    return archive


def _add(archive: Archive, rng: np.random.Generator, name: str, time: datetime, *, scored: bool) -> None:
    left, top = LEFT + 10 * int(rng.integers(-9, 12)), TOP + 10 * int(rng.integers(-6, 9))
    shape = (20, 24)

    def raster(values: Any, dtype: str) -> Raster:
        return Raster(values.astype(dtype), Affine(10, 0, left, 0, -10, top), CRS, nodata=0)

    bands = {band: raster(_holed(rng, shape), "uint16") for band in BANDS}
    bands["SCL"] = raster(rng.integers(1, 12, shape), "uint8")
    archive.add(ImageAsset(f"{SENTINEL_2.collection}/{name}", time, bands, {}))
    if scored:
        score = np.where(rng.random(shape) < 0.6, 0.8, 0.4)
        archive.add(
            ImageAsset(
                f"{SENTINEL_2.clouds.score_collection}/{name}", time, {"cs": raster(score, "float32")}, {}
            )
        )


def _holed(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Reflectance with some pixels that have none."""
    return np.where(rng.random(shape) < 0.03, 0, rng.integers(1, 9_000, shape))


def add_worldcover(archive: Archive) -> None:
    """A mask in which half of the pixels are cropland."""
    classes = np.random.default_rng(5).choice([10, 40], (2 * SIZE, 3 * SIZE)).astype(np.uint8)
    raster = Raster(classes, Affine(10, 0, LEFT, 0, -10, TOP), CRS, nodata=0)
    archive.add(ImageAsset(f"{graph.WORLDCOVER}/2021", datetime(2021, 1, 1, tzinfo=UTC), {"Map": raster}, {}))
