"""A place of 64 pixels where four cells meet: simulated scenes, an untrained model, and whole commands."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from cli.main import cropmap
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation

YEAR = 2021
CROPS = ("corn", "soybeans", "rice", "cotton", "other")
ARKANSAS = {"type": "Polygon", "coordinates": [[[-91, 35], [-90, 35], [-90, 36], [-91, 36], [-91, 35]]]}
RECIPE = Recipe.of(bands=("B2", "B4", "B8"), window=(151, 240), min_clear_bins=2, clock="solar")
CELL_SIZE = 64
"""Pixels along a side of the cells that meet here; those of the usual 256 would be empty but for a corner."""
BINS = 18
"""Five-day bins of days 151 to 240."""

FILES = {
    "area.wkb",
    "composites/composites.vrt",
    "cropmap.log",
    "ledger.jsonl",
    "map/areas.csv",
    "map/clear_observations.qml",
    "map/clear_observations.tif",
    "map/confidence.qml",
    "map/confidence.tif",
    "map/crop_map.qml",
    "map/crop_map.tif",
    "map/crop_map.tif.aux.xml",
    "map/crop_map.tif.vat.cpg",
    "map/crop_map.tif.vat.dbf",
    "map/item.json",
    "map/legend.json",
    "map/quicklook.png",
    "map/report.json",
    "model.safetensors",
    "run.json",
    "run.toml",
} | {f"{kind}/r000{r}_c000{c}.tif" for kind in ("composites", "predictions") for r in (0, 1) for c in (0, 1)}
"""Everything a run leaves, apart from locks."""


def run_cropmap(*arguments: Any) -> Result:
    """The command in this process; an error that is not cropmap's own is raised."""
    return CliRunner().invoke(cropmap, [str(a) for a in arguments], catch_exceptions=False)


def tiny_model(
    path: Path, recipe: Recipe = RECIPE, seed: int = 5, normalisation: Normalisation | None = None
) -> Path:
    """A few hundred weights at random, large enough for several classes to occur."""
    torch.manual_seed(seed)
    config = CropNetConfig("tiny", (6,), (2,), (0.0,), len(recipe.bands), len(CROPS))
    network = CropNet(config)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(4)
    bands = len(recipe.bands)
    checkpoint = Checkpoint(
        config=config,
        classes=tuple(CropClass(k, name, f"#{40 * k:02x}8040") for k, name in enumerate(CROPS, 1)),
        recipe=recipe,
        normalisation=normalisation or Normalisation((0.15,) * bands, (0.1,) * bands),
        weights=network.state_dict(),
        provenance={"data": "pixels made for tests.", "year": YEAR, "footprint": ARKANSAS},
    )
    save_checkpoint(path, checkpoint)
    return path


@dataclass(frozen=True)
class Place:
    """A folder with all that a command needs."""

    folder: Path

    @property
    def area(self) -> Path:
        return self.folder / "area.geojson"

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog.json"

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def fields(self) -> Path:
        return self.folder / "fields.tif"

    def copied(self, folder: Path) -> Place:
        """The same place, to spoil."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    @cached_property
    def polygon(self) -> shapely.Geometry:
        """The area in EPSG:4326."""
        return geopandas.read_file(self.area).geometry.iloc[0]

    def write_area(self, path: Path, geometry: shapely.Geometry, crs: Any = "EPSG:4326") -> Path:
        geopandas.GeoDataFrame(geometry=[geometry], crs=crs).to_file(path)
        return path

    def predict(self, out: Path, *flags: str, **options: Any) -> Result:
        """`cropmap predict` of this place, in this process; an option that is None is left out."""
        return run_cropmap("predict", *self._options(out, {"model": self.model, **options}), *flags)

    def export(self, out: Path, *flags: str, **options: Any) -> Result:
        """`cropmap export` of this place, with the bands of the tiny model."""
        return run_cropmap("export", *self._options(out, {"bands": "B2,B4,B8", **options}), *flags)

    def _options(self, out: Path, given: dict[str, Any]) -> list[Any]:
        usual = {"aoi": self.area, "year": YEAR, "source": self.catalog, "out": out, "workers": 0}
        usual["cell_size"] = CELL_SIZE
        values = {key: value for key, value in (usual | given).items() if value is not None}
        return [part for key, value in values.items() for part in (f"--{key.replace('_', '-')}", value)]


def files(folder: Path) -> set[str]:
    """All files below a folder but the locks, which Windows leaves."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {"run.lock", ".cropmap.log.lock"}


def times(folder: Path) -> dict[str, int]:
    """When composites and predictions were written."""
    places = ("composites", "predictions")
    names = (name for name in files(folder) if name.startswith(places) and name.endswith(".tif"))
    return {name: (folder / name).stat().st_mtime_ns for name in names}


def codes(run: Path) -> NDArray[np.uint8]:
    with rasterio.open(run / "map" / "crop_map.tif") as file:
        return file.read(1)


def report(run: Path) -> dict[str, Any]:
    return json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))
