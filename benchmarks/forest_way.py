"""The way to a map by a Random Forest inside Earth Engine, compared with a forest grown from true labels.

    python -m benchmarks.forest_way --out build/forest_way [--real] [--size 256] [--trees 100]

CropNet maps the western half of an area from its scenes. Pseudo-labels are drawn from that map, a forest is
grown from them, and another from the true labels of the same pixels. Both are deployed to the emulator of
Earth Engine in tests/support/ee_emulator, which holds the same scenes, and map the whole area there. Every
step is the command that a user gives. The scenes are simulated, as those of the demo; with --real they are
painted with real pixels under real clouds (benchmarks/painting.py, needs the real data), and CropNet is
trained on other pixels. Writes report.json and report.md into the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import rasterio
import shapely
from rasterio.warp import transform

from benchmarks.painting import paint, read_canvas, read_clouds, write_scenes
from benchmarks.real_map import CLASSES, CLOUDS, DATA, PARCELS, SAMPLES, SOURCE, Settings, halves, train
from examples.scoring import Score, score
from examples.simulated_scenes import Settings as SceneSettings
from examples.simulated_scenes import simulate
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.files import write_bytes, write_json
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import save_checkpoint
from tests.support.ee_emulator.catalog import archive_of_catalog
from tests.support.ee_emulator.server import Emulator
from training.samples.samples import read_samples

YEAR: Final = 2021
BLOCK: Final = 0.002
"""Degrees: blocks of about 200 m that are held out."""
PROJECT: Final = "crop-maps"
PER_CLASS: Final = 400
"""Pseudo-labels of a class."""
SPACING: Final = 30
"""Metres between them; the default of 60 would leave few in a place as small as this."""


@dataclass(frozen=True)
class Place:
    """Scenes, what is true of them, and the model that maps a part of them."""

    scenes: Path
    """Folder with catalog.json, area.geojson and fields.tif."""
    model: Path | None
    """Checkpoint; None is the one that ships with cropmap."""
    about: str
    """What the scenes are, one sentence."""


@dataclass(frozen=True)
class Row:
    """One map and its scores."""

    what: str
    """Which map, tested where."""
    accuracy: float
    """Overall accuracy of the field pixels, 0 to 1."""
    macro_f1: float
    """Mean F1 of the classes."""
    pixels: int
    """Field pixels."""


def main() -> None:
    """Go the whole way and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build", "forest_way"), help="folder")
    parser.add_argument("--real", action="store_true", help="paint the scenes with real pixels")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data")
    parser.add_argument("--size", type=int, default=256, help="pixels along a side of the simulated scenes")
    parser.add_argument("--trees", type=int, default=100, help="trees of the forests")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    place = painted(options.data, options.out) if options.real else simulated(options.out, options.size)
    facts, rows = go(place, options.out.absolute(), options.trees)
    write_json(options.out / "report.json", {"about": place.about, **facts, "rows": [vars(r) for r in rows]})
    text = "\n".join(table(rows))
    write_bytes(options.out / "report.md", f"{place.about}\n\n{text}\n".encode())
    print(text)


def simulated(out: Path, size: int) -> Place:
    """Scenes like those of the demo."""
    simulate(out / "scenes", SceneSettings(size=size))
    return Place(out / "scenes", None, "The scenes are simulated.")


def painted(data: Path, out: Path) -> Place:
    """Scenes whose fields show eastern pixels of Arkansas, and a model of western ones."""
    model = out / "model.safetensors"
    west, east = halves(read_samples([data / SAMPLES], CLASSES, source=SOURCE))
    if not model.exists():
        save_checkpoint(model, train(west, Settings(epochs=10)))
    if not (out / "scenes" / "catalog.json").exists():
        recipe = Recipe()
        painting = paint(read_canvas(data / PARCELS), east, np.random.default_rng(1))
        clouds = read_clouds(data / CLOUDS.parent, range(recipe.season.first_day, recipe.season.last_day + 1))
        write_scenes(out / "scenes", painting, clouds, recipe.season.season(YEAR, "north"), recipe)
    return Place(out / "scenes", model, "Each field shows one real pixel of Arkansas, under real clouds.")


def go(place: Place, out: Path, trees: int) -> tuple[dict[str, Any], list[Row]]:
    """What each step reported, and how right each map is."""
    scenes = place.scenes.absolute()
    whole, fields = scenes / "area.geojson", scenes / "fields.tif"
    part = west_of(whole, out / "west.geojson")
    with emulated(scenes / "catalog.json", out) as ask:
        local = {"year": YEAR, "source": scenes / "catalog.json", "model": place.model, "workers": 0}
        mask = f"{fields}:1-{len(CLASSES)}"
        ask("predict", aoi=part, out=out / "part", cropland_mask=mask, **local)
        ask("predict", aoi=whole, out=out / "cropnet", **local)
        pseudo = out / "pseudo.npz"
        drawn = ask(
            "forest pseudo-label",
            run=out / "part",
            out=pseudo,
            per_class=PER_CLASS,
            spacing=SPACING,
            reference=fields,
        )
        with_true_labels(pseudo, fields, out / "true.npz")
        forests = {name: by_forest(ask, name, whole, out, trees) for name in ("pseudo", "true")}
    return {"pseudo_labels": drawn, "forests": forests}, rows_of(out, fields, part)


Ask = Callable[..., dict[str, Any]]
"""A command of cropmap with its options -> what it prints with --json."""


def by_forest(ask: Ask, name: str, whole: Path, out: Path, trees: int) -> dict[str, Any]:
    """What the growing of a forest reported; its map of the whole area is made on the servers."""
    forest = out / f"{name}.safetensors"
    access = {"project": PROJECT, "service_account": out / "service-account.json"}
    grown = ask("forest train", out / f"{name}.npz", out=forest, trees=trees, block_size=BLOCK, year=YEAR)
    ask("forest deploy", forest, asset=f"projects/{PROJECT}/assets/{name}", **access)
    ask("forest predict", aoi=whole, year=YEAR, forest=forest, out=out / f"forest-{name}", **access)
    return grown


def rows_of(out: Path, fields: Path, part: Path) -> list[Row]:
    """How right each map is, in the whole area and where CropNet gave no labels."""
    east = east_of(fields, part, out / "east.tif")
    rows = [scored("CropNet, western half", out / "part", fields)]
    maps = {
        "CropNet": "cropnet",
        "forest of pseudo-labels": "forest-pseudo",
        "forest of true labels": "forest-true",
    }
    for name, run in maps.items():
        rows += [scored(f"{name}, whole area", out / run, fields)]
        rows += [scored(f"{name}, eastern half", out / run, east)]
    return rows


def command(environment: dict[str, str], name: str, *files: Path, **options: object) -> dict[str, Any]:
    """What a command of cropmap prints with --json.

    Raises:
        subprocess.CalledProcessError: It did not end well; its message is on stderr.
    """
    given = {key.replace("_", "-"): value for key, value in options.items() if value is not None}
    words = [*name.split(), *files, *(f"--{key}={value}" for key, value in given.items()), "--json"]
    print(f"cropmap {name} ...", file=sys.stderr, flush=True)
    line = [sys.executable, "-m", "cli.main", *map(str, words)]
    done = subprocess.run(line, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, Any] = json.loads(done.stdout)
    return values


@contextmanager
def emulated(catalog: Path, out: Path) -> Iterator[Ask]:
    """Commands that reach an emulated Earth Engine, which holds some scenes."""
    with Emulator(archive_of_catalog(catalog), project=PROJECT) as server:
        server.key_file(out)
        yield partial(command, {**os.environ, URL_VARIABLE: server.url, "NO_GCE_CHECK": "true"})


def west_of(area: Path, target: Path) -> Path:
    """The western half of an area, halved at the middle of its longitudes."""
    shape = geopandas.read_file(area).to_crs("EPSG:4326").union_all()
    west, south, east, north = shape.bounds
    half = shape & shapely.box(west, south, (west + east) / 2, north)
    geopandas.GeoSeries([half], crs="EPSG:4326").to_file(target, driver="GeoJSON")
    return target


def east_of(fields: Path, part: Path, target: Path) -> Path:
    """The true classes outside the western half, as a raster."""
    with rasterio.open(fields) as file:
        codes, profile = file.read(1), file.profile
        half = geopandas.read_file(part).to_crs(file.crs).union_all()
        inside = rasterio.features.geometry_mask([half], codes.shape, file.transform, invert=True)
    with rasterio.open(target, "w", **profile) as file:
        file.write(np.where(inside, 0, codes), 1)
    return target


def with_true_labels(samples: Path, fields: Path, target: Path) -> None:
    """The same samples with the labels of the raster; what is said of pseudo-labels is left out."""
    with np.load(samples) as file:
        arrays = {name: file[name] for name in ("fea", "observed", "lon", "lat")}
    with rasterio.open(fields) as raster:
        xs, ys = transform("EPSG:4326", raster.crs, arrays["lon"], arrays["lat"])
        codes = np.array([one[0] for one in raster.sample(zip(xs, ys, strict=True))])
    kept = codes > 0
    labels = np.array(CLASSES)[codes[kept] - 1]
    np.savez(target, lbl=labels, **{name: array[kept] for name, array in arrays.items()})


def scored(what: str, run: Path, fields: Path) -> Row:
    """How right a map is where there are fields."""
    result: Score = score(run / "map" / "crop_map.tif", fields, CLASSES)
    return Row(what, result.overall_accuracy, result.macro_f1, result.pixels)


def table(rows: list[Row]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield "| map | overall accuracy | macro-F1 | field pixels |"
    yield "|---|--:|--:|--:|"
    for row in rows:
        yield f"| {row.what} | {row.accuracy:.3f} | {row.macro_f1:.3f} | {row.pixels:,} |"


if __name__ == "__main__":
    main()
