"""The files that the commands of the documents name, small and made: a run, samples, models, field data."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from pathlib import Path
from typing import Final

import geopandas
import numpy as np
import pandas as pd
import pyproj
import rasterio
import rasterio.transform
import shapely
from rasterio.features import shapes

from examples.simulated_scenes import Settings, simulate
from gee_pipeline.recipe import USUAL, RecipeOptions
from inference.models.shipped import FAST, model_path
from tests.support.patch_place import write_datasets
from tests.support.tiny_place import CROPS, run_cropmap
from tests.support.transfer_place import CORN, COTTON, OTHER, RICE, SOYBEANS, write_region

ROOT: Final = Path(__file__).resolve().parents[2]
YEAR: Final = 2021
TABLE_YEAR: Final = 2024
NO_CLASS: Final = 9999
"""A label that no class of a legend lists."""
COUNT: Final = 150
"""Samples of a file."""
AREAS: Final = ("region", "county", "country", "here")
RUNS: Final = ("county", "here", "demo/run")
SAMPLES: Final = ("samples", "there", "here", "elsewhere", "arkansas", "california", "labels")
MODELS: Final = ("model", "here", "small")

DECLARED: Final = {"corn": "MIS", "soybeans": "SOJ", "rice": "RIZ"}
"""Codes of a French declaration; others are declared as alfalfa."""

SMALL: Final = ("--cell-size", "32", "--workers", "0")
"""Four cells, in this process."""


def make_world(folder: Path) -> None:
    """Everything, in one folder.

    Args:
        folder: Is made.
    """
    simulate(folder / "scenes", Settings(size=64))
    for name in AREAS:
        shutil.copy(folder / "scenes" / "area.geojson", folder / f"{name}.geojson")
    for name in MODELS:
        shutil.copy(model_path(FAST), folder / f"{name}.safetensors")
    _runs(folder)
    _samples(folder)
    _published(folder)
    _fields(folder)
    _words(folder)
    write_datasets(folder / "crops")


def _runs(folder: Path) -> None:
    """A finished run under several names, and two of areas with other names, by which maps are called."""
    given = ("--year", YEAR, "--source", folder / "scenes" / "catalog.json", *SMALL, "--quiet")
    run("predict", "--aoi", folder / "region.geojson", "--out", folder / "run", *given)
    for name in RUNS:
        shutil.copytree(folder / "run", folder / name)
    for name in ("2022", "2023"):
        area = shutil.copy(folder / "region.geojson", folder / f"area-{name}.geojson")
        run("predict", "--aoi", area, "--model", "fast", "--out", folder / name, *given)


def run(*words: object) -> None:
    """A command that ends well."""
    done = run_cropmap(*words)
    assert done.exit_code == 0, done.stderr


def _samples(folder: Path) -> None:
    """Series of the run at pixels of its fields, moved into twelve squares, so that there are folds."""
    with rasterio.open(folder / "scenes" / "fields.tif") as file:
        codes = file.read(1)
        rows, columns = np.nonzero(codes)
        drawn = np.random.default_rng(1).permutation(len(rows))[:COUNT]
        x, y = rasterio.transform.xy(file.transform, rows[drawn], columns[drawn])
        lon, lat = pyproj.Transformer.from_crs(file.crs, "EPSG:4326", always_xy=True).transform(x, y)
    names = [CROPS[code - 1] for code in codes[rows[drawn], columns[drawn]]]
    places = geopandas.points_from_xy(lon, lat, crs="EPSG:4326")
    geopandas.GeoDataFrame({"label": names}, geometry=places).to_file(folder / "points.gpkg")
    run("labels", "collect", folder / "run", folder / "points.gpkg", "--out", folder / "collected.npz")
    with np.load(folder / "collected.npz") as file:
        made = dict(file)
    for seed, name in enumerate(SAMPLES):
        np.savez(folder / f"{name}.npz", **made | _spread(len(made["lbl"]), seed))
    _table(folder, made | _spread(len(made["lbl"]), 0))


def _spread(count: int, seed: int) -> dict[str, np.ndarray]:
    """Places in twelve squares of 0.3 degrees."""
    rng = np.random.default_rng(seed)
    square = rng.integers(0, 12, count)
    lon, lat = -91 + 0.3 * (square % 4), 35 + 0.3 * (square // 4)
    return {"lon": lon + rng.uniform(0, 0.2, count), "lat": lat + rng.uniform(0, 0.2, count)}


def _table(folder: Path, made: dict[str, np.ndarray]) -> None:
    """The same as field data of another year."""
    first = pd.Timestamp(TABLE_YEAR, 1, 1)
    days = [f"{first + pd.Timedelta(days=5 * k + 2):%Y-%m-%d}" for k in range(73)]
    series = {f"{b}_{d}": made["fea"][:, i, k] for k, d in enumerate(days) for i, b in enumerate(USUAL.bands)}
    facts = {
        "label": made["lbl"],
        "lon": made["lon"],
        "lat": made["lat"],
        "farm": [f"farm {k % 10}" for k in range(len(made["lbl"]))],
    }
    table = pd.DataFrame(facts | series)
    table.to_csv(folder / "fields.csv", index=False)
    table.to_parquet(folder / "fields.parquet")


def _published(folder: Path) -> None:
    """Files as CropGlobe, AlphaEarth and WorldCereal publish them."""
    counts = dict.fromkeys((CORN, SOYBEANS, RICE, COTTON, OTHER), 8)
    for seed, region in enumerate(("FRA", "BEL", "NLD", "GBR", "USA", "ARG")):
        write_region(folder / "cropglobe", region, counts, seed=seed)
    rng, labels = np.random.default_rng(3), np.arange(COUNT) % 7
    embeddings = rng.normal(0, 0.1, (COUNT, 64)).astype(np.float32)
    np.savez(folder / "alphaearth_USA.npz", fea=embeddings, lbl=labels, **_spread(COUNT, 3))
    _spectra(folder)
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "visits.csv", folder / "docs")
    legend = folder / "docs" / "worldcereal_legend.toml"
    shutil.copy(ROOT / "docs" / legend.name, legend)
    classes = tomllib.loads(legend.read_text(encoding="utf-8"))["classes"]
    labels = np.array([one.get("labels", [NO_CLASS])[0] for one in classes] * 8)
    np.savez(
        folder / "canada_2017.npz",
        series=rng.integers(200, 4000, (len(labels), 9, 12)).astype(np.int16),
        bands=["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12"],
        months=[f"2017-{month:02}-01" for month in range(1, 13)],
        croptype=labels,
        lon=rng.uniform(-103, -99, len(labels)),
        lat=rng.uniform(49, 53, len(labels)),
    )


def _spectra(folder: Path) -> None:
    """Spectra as `cropmap sample --sensor emit` writes them, and those of a benchmark."""
    recipe = RecipeOptions(("emit",)).applied()
    said = {"recipe": recipe.to_dict(), "source": "Simulated spectra."}
    said |= {"request": {"year": 2023, "season_start": "2023-01-01"}}
    (folder / "spectra").mkdir()
    regions = ("spectra/emit_FRA", "spectra/emit_BEL", "spectra/emit_NLD", "spectra/emit_GBR", "emit_USA")
    for seed, name in enumerate(regions):
        rng, labels = np.random.default_rng(seed), np.arange(COUNT) % 3
        values = rng.integers(1_000, 4_000, (COUNT, len(recipe.bands), 2)).astype(np.int16)
        metadata = np.array(json.dumps(said))
        places = _spread(COUNT, seed)
        np.savez(folder / f"{name}.npz", fea=values, lbl=labels, metadata=metadata, **places)


def _fields(folder: Path) -> None:
    """The fields of the simulation as parcels, and some of their middles as visits."""
    names = {k: name for k, name in enumerate(CROPS, 1)}
    with rasterio.open(folder / "scenes" / "fields.tif") as file:
        codes = file.read(1)
        found = list(shapes(codes, codes > 0, 4, file.transform))
        crs = file.crs
    outlines = [shapely.geometry.shape(outline) for outline, _ in found]
    crops = [names.get(int(code), "other") for _, code in found]
    parcels = geopandas.GeoDataFrame({"crop": crops, "label": crops}, geometry=outlines, crs=crs)
    parcels["id"] = parcels["parcel_id"] = parcels.index + 1
    for name in ("parcels", "lpis"):
        parcels.to_file(folder / f"{name}.gpkg")
    register = parcels.assign(CODE_CULTU=[DECLARED.get(crop, "LUZ") for crop in crops])
    register.to_file(folder / "RPG.gpkg")
    visits = parcels.set_geometry(parcels.geometry.representative_point()).to_crs("EPSG:4326")
    region = geopandas.read_file(folder / "region.geojson").to_crs(crs).buffer(-20).to_crs("EPSG:4326")
    visits = visits[visits.within(region.iloc[0])]
    places = {"lon": visits.geometry.x, "lat": visits.geometry.y, "label": visits["crop"]}
    pd.DataFrame(places).to_csv(folder / "visits.csv", index=False)
    districts = geopandas.GeoDataFrame(
        {"name": ["all"]}, geometry=[shapely.box(*parcels.total_bounds).buffer(1_000)], crs=crs
    )
    districts.to_file(folder / "districts.gpkg")


def _words(folder: Path) -> None:
    """Legend, words of a publisher, a census."""
    entries = [
        f'[[classes]]\nname = "{name}"\ncolor = "#{30 * code:02x}8040"\nlabels = ["{name}"]\n'
        for code, name in enumerate(CROPS, 1)
    ]
    (folder / "legend.toml").write_text("\n".join(entries), encoding="utf-8")
    (folder / "colors.toml").write_text('corn = "#ffd400"\n', encoding="utf-8")
    (folder / "agency.toml").write_text('agency = "Office of Agriculture"\n', encoding="utf-8")
    with (folder / "census.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["class", "hectares", "year", "map"])
        rows.writerow(["corn", 12, YEAR, f"crop-map-of-area-2022-{YEAR}"])


def visit(folder: Path) -> None:
    """Labels of the places that were suggested."""
    path = folder / "run" / "places_to_visit.gpkg"
    places = geopandas.read_file(path)
    places["label"] = [CROPS[k % len(CROPS)] for k in range(len(places))]
    places.to_file(path)


def gather(folder: Path, path: str) -> None:
    """As many labels as a small map has no room for."""
    shutil.copy(folder / "samples.npz", folder / path)


def answer(folder: Path, *, differ: bool) -> None:
    """Sheets of two interpreters, and what they agree on where they differ.

    Args:
        folder: The world, with sheets of one sample.
        differ: Whether they do, at three points.
    """
    sheets = sorted(folder.rglob("answers-*.csv"))
    for number, sheet in enumerate(sheets):
        points = pd.read_csv(sheet, dtype={"id": str}).sort_values("id")
        said = np.arange(len(points)) % len(CROPS)
        said[:3] += number * differ
        points["answer"] = [CROPS[k % len(CROPS)] for k in said]
        points.to_csv(sheet, index=False)
    points[["id", "answer"]].head(3).to_csv(folder / "agreed.csv", index=False)
    points[["id", "answer"]].to_csv(folder / "answers.csv", index=False)
