"""A run for batch tests: few small cells, and a server whose pixels are a formula of their place."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from gee_pipeline.earthengine.client.session import Session, connect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites.block_scenes import SIDE
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from inference.run.plan import RunPlan
from inference.run.planning import open_or_create, plan_run
from tests.support.ee_emulator.drive import Drive
from tests.support.ee_emulator.log import Log
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_emulator.storage import Storage
from tests.support.ee_emulator.tasks import Tasks
from tests.support.fake_runs import FakeSource, aoi

SIZE = 16
STEP = SIZE * 10
LEFT, TOP = 500_000 // STEP * STEP, 5_000_000 // STEP * STEP
RECIPE = Recipe.of(bands=("B2", "B4"), window=(121, 135))
SEASON = SUMMER.season(2021, "north")
NAMES = [f"{band}_{index}" for index in (24, 25, 26) for band in ("B2", "B4")]
NODATA = -9999
BUCKET = Destination("gcs", "crop-bucket", "north/2021")
DRIVE = Destination("drive", "crops")
EARTH_ENGINE = {"kind": "earthengine", "cropland": "none"}


def value_at(band: int, x: float, y: float) -> int:
    """What the server has at a pixel's centre: different for neighbours and bands, one in eleven empty."""
    column, row = int(x // 10), int(y // 10)
    if (column + 3 * row) % 11 == 0:
        return NODATA
    return (7 * column + 13 * row + 1_009 * band) % 6_000


def pixels_by_formula(image: Any, grid: Any) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """What the server computes in place of an image: `value_at` of whole arrays."""
    column = (grid.transform.c + 5 + 10 * np.arange(grid.width)).astype(int)[None, :] // 10
    row = (grid.transform.f - 5 - 10 * np.arange(grid.height)).astype(int)[:, None] // 10
    empty, valid = (column + 3 * row) % 11 == 0, np.ones((grid.height, grid.width), bool)
    return [
        (name, np.where(empty, NODATA, (7 * column + 13 * row + 1_009 * n) % 6_000).astype(np.int16), valid)
        for n, name in enumerate(NAMES)
    ]


def scenes_of_a_cell(expression: Any, archive: None) -> dict[str, Any]:
    """What the server answers to a question for scenes: four, two on one day, one without score."""
    days, names = [datetime(2021, 5, day, 17, tzinfo=UTC) for day in (3, 3, 6, 9)], ["A", "B", "C", "D"]
    times = [int(day.timestamp() * 1000) for day in days]
    return {"index": names, "time": times, "scored": names[1:], "parts": [names] * SIDE**2}


def expected_values(row: int, col: int) -> NDArray[np.int16]:
    """The composite `(bin, band, y, x)` of a cell, pixel by pixel."""
    out = np.empty((3, 2, SIZE, SIZE), np.int16)
    for index in np.ndindex(out.shape):
        bin_, band, y, x = index
        centre = LEFT + col * STEP + 10 * x + 5, TOP - row * STEP - 10 * y - 5
        out[index] = value_at(bin_ * 2 + band, *centre)
    return out


def a_row_of_cells(count: int) -> shapely.Polygon:
    return shapely.box(LEFT + 4, TOP - STEP + 4, LEFT + count * STEP - 4, TOP - 4)


def planned(folder: Path, cells: int = 17, **about: Any) -> RunPlan:
    """A run of cells side by side: 17 of them make blocks of 8, 8 and 1."""
    source = FakeSource(about=EARTH_ENGINE | about)
    plan = plan_run(aoi(a_row_of_cells(cells)), SEASON, RECIPE, source, cell_size=SIZE)
    opened, _ = open_or_create(folder, plan)
    return opened


def server_of(**options: Any) -> Emulator:
    return Emulator(None, evaluate=scenes_of_a_cell, image_pixels=pixels_by_formula, **options)


def cleared(server: Emulator) -> Emulator:
    """The same server without tasks, files and scripts: a client that is connected stays so."""
    server.storage, server.drive, server.log, server.rule = Storage(), Drive(), Log(), None
    server.tasks = Tasks(
        server.project, server._drawing, server.value, server.storage, server.drive, server.assets
    )
    server._image_pixels = pixels_by_formula
    server._scripts.clear()
    return server


def session_of(server: Emulator, folder: Path) -> Session:
    folder.mkdir(exist_ok=True)
    settings = EarthEngineSettings(
        project=server.project, service_account=server.key_file(folder), url=server.url
    )
    return connect(settings)
