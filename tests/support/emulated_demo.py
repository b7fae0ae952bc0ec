"""The demo's simulated scenes behind the emulator of Earth Engine, for notebooks and what is true of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray

from examples.simulated_scenes import CENTRE, CRS, Settings, simulate
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from tests.support.ee_emulator.catalog import archive_of_catalog
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.ee_emulator.server import Emulator
from tests.support.notebooks import NOTEBOOKS

YEAR = 2021


@dataclass(frozen=True)
class EmulatedDemo:
    """A folder with scenes, and a server that holds them."""

    folder: Path
    server: Emulator

    @property
    def catalog(self) -> Path:
        """The same scenes for the local engine."""
        return self.folder / "scenes" / "catalog.json"

    def box(self, name: str, *, east: range, north: range) -> Path:
        """File of an area, less a margin that holds no centre of a pixel.

        Args:
            name: What it is called.
            east: Pixels to the east of the middle of the scenes.
            north: Pixels to the north of it.
        """
        x, y = CENTRE
        corners = (x + 10 * east.start, y + 10 * north.start, x + 10 * east.stop, y + 10 * north.stop)
        path = self.folder / f"{name}.gpkg"
        box = shapely.box(*corners).buffer(-2, join_style="mitre")
        geopandas.GeoSeries([box], crs=CRS).to_file(path)
        return path

    def notebook(self, name: str) -> Path:
        """A copy of a notebook in this folder, where what it writes may stay."""
        return Path(shutil.copy(NOTEBOOKS / name, self.folder))

    def truth(self, like: Path) -> NDArray[Any]:
        """Codes `(y, x)` of the fields on the pixels of a map, 0 between them, read by rasterio."""
        with rasterio.open(like) as crop_map, rasterio.open(self.folder / "scenes" / "fields.tif") as fields:
            window = fields.window(*crop_map.bounds).round_offsets().round_lengths()
            return np.asarray(fields.read(1, window=window, boundless=True, fill_value=0))


def _end_tasks(server: Emulator, asked: LoggedRequest) -> None:
    """Tasks have ended at the first look: the next would come a quarter of a minute later."""
    if asked.kind in ("operation", "operations"):
        server.advance(3)


@contextmanager
def emulated_demo(folder: Path, settings: Settings) -> Iterator[EmulatedDemo]:
    """The place; whoever looks for Earth Engine in this process and its kernels finds the emulator."""
    catalog = simulate(folder / "scenes", settings)
    with Emulator(archive_of_catalog(catalog)) as server, pytest.MonkeyPatch.context() as patch:
        server.rule = partial(_end_tasks, server)
        patch.setenv(URL_VARIABLE, server.url)
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(server.key_file(folder)))
        patch.setenv("NO_GCE_CHECK", "true")
        yield EmulatedDemo(folder, server)
        assert not server.errors
