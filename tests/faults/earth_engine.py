"""A place behind the emulator of Earth Engine: a map of three cells, and samples of a reference map."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import geopandas

from gee_pipeline.earthengine.client import retry, session
from gee_pipeline.earthengine.client.settings import URL_VARIABLE, EarthEngineSettings
from tests.faults.commands import Command, quick
from tests.support import forest_map_place as forest_place
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.server import Emulator
from tests.support.sample_place import Land
from tests.support.tiny_place import tiny_model

LAND: Final = Land(days=("2021-05-03", "2021-05-12", "2021-06-16"), values=(1, 5))


def hurried() -> None:
    """Nobody waits long: not for an answer, nor before a request is made again."""
    quick()
    retry.BASE, retry.CAP, session.OPENING_DEADLINE = 0.01, 0.05, 5.0  # type: ignore[misc]
    defaults = EarthEngineSettings.__init__.__defaults__ or ()
    usual = EarthEngineSettings.deadline
    EarthEngineSettings.__init__.__defaults__ = tuple(5.0 if d == usual else d for d in defaults)


@dataclass(frozen=True)
class EarthEnginePlace:
    """Files, and the server that its commands ask."""

    server: Emulator
    folder: Path

    def command(self, folder: Path, *arguments: Any) -> Command:
        """A command that asks the server, in a copy of the folder."""
        home = str(folder / "logs")  # without credentials; what libraries keep there is no result
        environment = {
            URL_VARIABLE: self.server.url, "NO_GCE_CHECK": "true", "HOME": home, "USERPROFILE": home,
            "CLOUDSDK_CONFIG": home, "APPDATA": home,
        }  # fmt: skip
        access = ("--project", self.server.project, "--service-account", "key.json", "--quiet")
        return replace(Command.of(folder, *arguments, *access, **environment), prepare=hurried)


MAP: Final = (
    "predict", "--aoi", "area.gpkg", "--year", forest_place.YEAR, "--model", "model.safetensors", "--out",
    "new", "--cell-size", forest_place.SIZE, "--workers", 0,
)  # fmt: skip

SAMPLE: Final = (
    "sample", "--aoi", "area_3x1.geojson", "--year", 2021, "--reference", "cdl", "--out", "new.npz",
    "--grid", 0.01, "--bands", "B4", "--season", "year", "--bin-days", "month", "--per-cell", 2,
    "--min-clear-bins", 1,
)  # fmt: skip


@contextmanager
def earth_engine_place(folder: Path) -> Iterator[EarthEnginePlace]:
    """The place and its server, which ends with the block."""
    folder.mkdir(parents=True)
    scenes = forest_place.Scenes()
    with Emulator(Archive([*scenes.archive(), *LAND.archive]), project="crop-maps") as server:
        tiny_model(folder / "model.safetensors", forest_place.RECIPE)
        truth = forest_place.Truth(scenes, forest_place.grown_forest())
        frame = geopandas.GeoDataFrame(geometry=[truth.polygon], crs=forest_place.CRS)
        frame.to_file(folder / "area.gpkg")
        LAND.area(folder, cols=3, rows=1)
        server.key_file(folder).rename(folder / "key.json")
        yield EarthEnginePlace(server, folder)
