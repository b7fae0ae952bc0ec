"""A place so small that a command takes a second: four days of scenes, four cells, and all kinds of files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

from gee_pipeline.recipe import Recipe
from inference.models.forest_model import save_forest
from tests.support.fake_catalog import LEFT, TOP, UTM32, FakeCatalog, Layer, raster_v1
from tests.support.made_forests import grown, model_of
from tests.support.tiny_place import tiny_model

YEAR: Final = 2021
CELL: Final = 32
"""Pixels along a side of a cell: the least there is."""
SIZE: Final = 64
"""Pixels along a side of the place."""
BANDS: Final = ("B2", "B8")
RECIPE: Final = Recipe.of(bands=BANDS, window=(121, 135), min_clear_bins=2)
DAYS: Final = ("2021-05-02", "2021-05-04", "2021-05-08", "2021-05-13")
SEASON: Final = """name = "mine"
start = "01-01"
first_day = 121
last_day = 135
"""


def numbers(seed: int, size: int = SIZE, most: int = 6_000) -> NDArray[np.uint16]:
    """Pixels at random."""
    return np.random.default_rng(seed).integers(1, most, (size, size)).astype(np.uint16)


def area() -> shapely.Polygon:
    """Nearly all of the place, in metres, with an oblique side."""
    right, bottom = LEFT + 10 * SIZE, TOP - 10 * SIZE
    corners = [(LEFT + 4, TOP - 4), (right - 4, TOP - 4), (right - 70, bottom + 4), (LEFT + 4, bottom + 4)]
    return shapely.Polygon(corners)


def make_place(folder: Path) -> Path:
    """Everything that commands are given: areas, scenes, models, samples, rasters and tables."""
    folder.mkdir(parents=True)
    _areas(folder)
    _scenes(folder / "scenes")
    tiny_model(folder / "model.safetensors", RECIPE)
    _forest(folder / "forest.safetensors")
    _rasters(folder)
    _samples(folder)
    (folder / "season.toml").write_text(SEASON)
    (folder / "legend.toml").write_text(
        '[[classes]]\nname = "corn"\ncolor = "#f2c200"\nlabels = [0, 1]\n'
        '[[classes]]\nname = "rice"\ncolor = "#2a9df4"\nlabels = [2]\n'
    )
    (folder / "table.toml").write_text("[classes]\ncorn = [1, 4]\nrice = [2]\n")
    return folder


def _areas(folder: Path) -> None:
    frame = geopandas.GeoDataFrame({"name": ["place"]}, geometry=[area()], crs=UTM32)
    frame.to_crs(4326).to_file(folder / "area.geojson")
    frame.to_file(folder / "area.gpkg")
    frame.to_file(folder / "area.shp")


def _scenes(folder: Path) -> None:
    """A catalog with a collection, as large archives have it."""
    catalog = FakeCatalog(folder)
    for number, day in enumerate(DAYS):
        bands = {
            name: Layer(numbers(10 * number + place), fields=raster_v1(scale=1e-4, offset=0, nodata=0))
            for place, name in enumerate(("B02", "B08"))
        }
        score = np.random.default_rng(number).choice(
            np.array([0.2, 0.9], np.float32), (SIZE, SIZE), p=[0.2, 0.8]
        )
        catalog.add(f"S2A_{number}", day, {**bands, "cs": Layer(score)}, platform="sentinel-2a")
    path = catalog.save()
    values = json.loads(path.read_text())
    collection = {
        "type": "Collection", "stac_version": "1.0.0", "id": "s2", "description": "made scenes",
        "license": "proprietary", "links": values["links"],
        "extent": {"spatial": {"bbox": [[9, 46, 10, 47]]}, "temporal": {"interval": [[None, None]]}},
    }  # fmt: skip
    (folder / "collection.json").write_text(json.dumps(collection))
    values["links"] = [{"rel": "child", "href": "./collection.json", "type": "application/json"}]
    path.write_text(json.dumps(values))


def _forest(path: Path) -> None:
    rows = np.random.default_rng(1).integers(0, 6_000, (90, 6)).astype(np.float32)
    labels = np.arange(90) % 3
    save_forest(path, model_of(grown(rows, labels, trees=5, max_leaf_nodes=8), 3, recipe=RECIPE))


def _rasters(folder: Path) -> None:
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": 1, "height": SIZE, "width": SIZE, "dtype": "uint8", "crs": UTM32,
        "transform": Affine(10, 0, LEFT, 0, -10, TOP), "compress": "deflate",
    }  # fmt: skip
    for seed, name in enumerate(("mask", "like", "reference")):
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as file:
            file.write(numbers(seed, most=6).astype(np.uint8), 1)


def _samples(folder: Path) -> None:
    """48 series of 73 bins, of three classes that differ, in three forms of file."""
    chance = np.random.default_rng(2)
    labels = np.arange(48) % 3
    series = (chance.integers(200, 3_000, (48, 2, 73)) + 900 * labels[:, None, None]).astype(np.int16)
    lon, lat = 9 + chance.uniform(0, 2, 48), 46 + chance.uniform(0, 2, 48)
    np.savez(folder / "samples.npz", fea=series, lbl=labels, lon=lon, lat=lat)
    dates = ["2021-05-03", "2021-05-08", "2021-05-13"]
    named = {f"{b}_{d}": series[:, n, 24 + k] for n, b in enumerate(BANDS) for k, d in enumerate(dates)}
    table = pd.DataFrame({"lbl": labels, "lon": lon, "lat": lat, **named})
    table.to_csv(folder / "samples.csv", index=False)
    points = geopandas.points_from_xy(lon, lat)
    frame = geopandas.GeoDataFrame(table.drop(columns=["lon", "lat"]), geometry=points, crs=4326)
    frame.to_parquet(folder / "samples.parquet")


def copied(folder: Path, to: Path) -> Path:
    """The same place, to damage."""
    shutil.copytree(folder, to, symlinks=True)
    return to


def restore(folder: Path, damaged: Path) -> None:
    """Put back what a copy of a place lacks or has otherwise, with its times: scenes are known by them."""
    for path in [p for p in damaged.rglob("*") if p.is_symlink() or p.is_fifo()]:
        path.unlink()
    for name, content in contents(folder).items():
        path = damaged / name
        if path.is_dir():
            path.rmdir()
        if not path.is_file() or _content(path) != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, path)


def contents(folder: Path, names: Iterable[str] = ("**/*",)) -> dict[str, bytes]:
    """Bytes of the files below a folder that match any of some patterns."""
    found = {path for name in names for path in folder.glob(name) if path.is_file()}
    return {path.relative_to(folder).as_posix(): _content(path) for path in sorted(found)}


def _content(path: Path) -> bytes:
    """The bytes of a file, if they are as few as those of all files of the place."""
    return path.read_bytes() if path.stat().st_size < 2**26 else b"vast"
