"""A small archive behind the emulator: scenes over three cells, and over the field of the check."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import geopandas
import numpy as np
import shapely
from affine import Affine
from click.testing import CliRunner, Result

from cli.main import cropmap
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster

S2 = "COPERNICUS/S2_SR_HARMONIZED"
SCORE = "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
BANDS = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")
CRS = "EPSG:32615"
CELL = 2_560.0
LEFT, TOP = 245 * CELL, 1_500 * CELL
FIELD = (633_600.0, 3_819_520.0)
"""Corner of the sixteen pixels that `cropmap ee check` looks at."""


def scene(when: str, left: float, top: float, shape: tuple[int, int], value: int = 500) -> list[ImageAsset]:
    """A clear scene of one value and its Cloud Score+, from a corner on; 10 m."""
    time = datetime.fromisoformat(when).replace(tzinfo=UTC)
    name = f"{time:%Y%m%dT%H%M%S}_{time:%Y%m%dT%H%M%S}_T15SXU"

    def raster(number: float, kind: str) -> Raster:
        return Raster(np.full(shape, number, kind), Affine(10, 0, left, 0, -10, top), CRS)

    bands = {band: raster(value, "uint16") for band in BANDS} | {"SCL": raster(4, "uint8")}
    return [
        ImageAsset(f"{S2}/{name}", time, bands, {}),
        ImageAsset(f"{SCORE}/{name}", time, {"cs": raster(0.9, "float32")}, {}),
    ]


def archive() -> Archive:
    """One scene over all three cells; five days later one over the first; one over the field of the check."""
    return Archive(
        [
            *scene("2021-06-05T16:49:01", LEFT, TOP, (256, 3 * 256)),
            *scene("2021-06-11T16:49:01", LEFT, TOP, (256, 230), 700),
            *scene("2021-07-12T16:49:01", FIELD[0] - 100, FIELD[1] + 100, (30, 30)),
        ]
    )


def area(folder: Path) -> Path:
    """Polygon of the three cells."""
    box = shapely.box(LEFT + 1, TOP - CELL + 1, LEFT + 3 * CELL - 1, TOP - 1)
    path = folder / "region.gpkg"
    geopandas.GeoDataFrame(geometry=[box], crs=CRS).to_file(path)
    return path


def run_cropmap(arguments: Sequence[object]) -> Result:
    """The command in this process; an error that is not cropmap's own is raised."""
    return CliRunner().invoke(cropmap, [str(a) for a in arguments], catch_exceptions=False)
