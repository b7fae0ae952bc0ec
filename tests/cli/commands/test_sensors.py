"""From scenes of several sensors, and of one value a year, to a map: whole commands on both sources."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline import sensors
from gee_pipeline.earthengine.client.session import disconnect
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.sensors import ALPHAEARTH
from inference.models.checkpoint import load_checkpoint
from inference.models.forest_model import load_forest
from inference.models.networks.cropnet import PRESETS
from inference.models.networks.normalisation import Normalisation
from tests.support.ee_emulator.archive import ImageAsset, Raster
from tests.support.ee_emulator.server import Emulator
from tests.support.fake_catalog import LEFT, TOP, UTM32
from tests.support.made_sensor import MADE_UP, made_shot
from tests.support.quick_deploy import deploy_at_once
from tests.support.sample_place import Land
from tests.support.sensor_scenes import SensorScenes, Shot, optical, plain, radar
from tests.support.tiny_place import YEAR, run_cropmap, tiny_model

pytestmark = pytest.mark.slow

NODATA, OUTSIDE, NOT_ENOUGH = -9999, 0, 255
SIDE = 10
"""Pixels along a side of the area."""
GEOBOX = GeoBox((SIDE, SIDE), Affine(10, 0, LEFT + 30, 0, -10, TOP - 40), UTM32)
SEASON = SUMMER.season(YEAR, "north")
PROJECT = "crop-maps"


def area(folder: Path) -> Path:
    """Polygon of the pixels of `GEOBOX`."""
    box = shapely.box(LEFT + 31, TOP - 40 - 10 * SIDE + 1, LEFT + 30 + 10 * SIDE - 1, TOP - 41)
    path = folder / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[box], crs=UTM32).to_file(path)
    return path


def predict(folder: Path, model: Path, name: str, **options: Any) -> Path:
    """The run of `cropmap predict`."""
    usual = {"aoi": area(folder), "year": YEAR, "out": folder / name, "model": model, "workers": 0}
    given = usual | {"cell_size": 32} | options
    words = [word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", value)]
    result = run_cropmap("predict", *words)
    assert result.exit_code == 0, result.stderr
    return folder / name


def layer(run: Path, name: str) -> np.ndarray:
    """A raster of a map on the pixels of `GEOBOX`."""
    with rasterio.open(run / "map" / f"{name}.tif") as file:
        assert file.transform.a == 10
        window = file.window(*GEOBOX.boundingbox.bbox)
        return file.read(1, window=window)


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Options with which a command reaches an emulator that has an archive."""
    open_servers = []
    deploy_at_once(monkeypatch)

    def serve(archive: Any) -> dict[str, Any]:
        emulator = Emulator(archive, project=PROJECT)
        open_servers.append(emulator)
        emulator.__enter__()
        monkeypatch.setenv(URL_VARIABLE, emulator.url)
        return {"project": PROJECT, "service_account": emulator.key_file(tmp_path)}

    yield serve
    for emulator in open_servers:
        emulator.__exit__(None, None, None)
    disconnect()


# ---- two sensors ----


RADAR = Recipe.of(bands=("B4", "B8", "VV", "VH"), window=(121, 150), min_clear_bins=3, clock="solar")
"""Six bins."""

WHEAT_OR_MAIZE = (("winter wheat", 1110), ("maize", 1200))

MADE_BANDS = ("X2", "X1", "B4")


def shots(other: Any, bands: tuple[str, ...]) -> list[Shot]:
    """A month: optical in four of six bins, the other sensor in five."""
    days = (("S2", (1, 7, 8, 16, 27)), ("X", (2, 6, 13, 18, 22)))
    clear = [optical(f"S2_{d}", f"2021-05-{d:02}T10:30:00", d, bands, cloudy=0.3) for d in days[0][1]]
    return clear + [other(f"X_{d}", f"2021-05-{d:02}T05:30:00", 100 * d) for d in days[1][1]]


def expected(scenes: SensorScenes, model: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class and observed bins `(y, x)`, and where the class leads by far: pixel by pixel, in 64 bits."""
    checkpoint = load_checkpoint(model)
    recipe, scale = checkpoint.recipe, checkpoint.normalisation
    cube = scenes.loop(GEOBOX, SEASON, recipe.window, recipe)
    network = checkpoint.build().double().eval()
    codes, clear = (np.zeros(GEOBOX.shape, int) for _ in range(2))
    sure = np.ones(GEOBOX.shape, bool)
    for y, x in np.ndindex(*GEOBOX.shape):
        rows, counts = [], []
        for group in recipe.sensors:
            own = cube[:, [recipe.bands.index(band) for band in group.bands], y, x].T.astype(float)
            seen = np.flatnonzero(own[0] != NODATA)
            counts.append(len(seen))
            scaled = own / group.sensor.scale
            rows += [np.interp(range(own.shape[1]), seen, one[seen]) for one in scaled if len(seen)]
        clear[y, x] = min(counts)
        if min(counts) < recipe.min_clear_bins:
            codes[y, x] = NOT_ENOUGH
            continue
        values = (np.array(rows) - np.array(scale.mean)[:, None]) / np.array(scale.std)[:, None]
        with torch.no_grad():
            logits = network(torch.from_numpy(values[None, None]))[0].numpy()
        codes[y, x] = logits.argmax() + 1
        sure[y, x] = np.diff(np.sort(logits)[-2:])[0] > 1e-3
    return codes, clear, sure


RADAR_SCALE = Normalisation((0.3, 0.3, -20.0, -20.0), (0.2, 0.2, 15.0, 15.0))
MADE_SCALE = Normalisation((0.0, 0.0, 0.3), (40.0, 40.0, 0.2))
CASES = {"radar": (RADAR.bands, RADAR_SCALE, radar), "made up": (MADE_BANDS, MADE_SCALE, made_shot)}


@pytest.mark.parametrize("case", CASES)
def test_scenes_of_two_sensors_become_a_map(case, tmp_path, monkeypatch, served):
    monkeypatch.setitem(sensors.SENSORS, MADE_UP.name, MADE_UP)
    bands, normalisation, other = CASES[case]
    recipe = Recipe.of(bands=bands, window=(121, 150), min_clear_bins=3, clock="solar")
    optical_bands = tuple(band for band in recipe.bands if band.startswith("B"))
    scenes = SensorScenes(tmp_path / "scenes").save(*shots(other, optical_bands))
    model = tiny_model(tmp_path / "model.safetensors", recipe, normalisation=normalisation)
    run = predict(tmp_path, model, "run", source=scenes.path)
    codes, clear, sure = expected(scenes, model)
    assert len(set(codes[codes != NOT_ENOUGH].tolist())) > 1  # the model tells classes apart
    assert (codes == NOT_ENOUGH).any()
    np.testing.assert_array_equal(layer(run, "clear_observations"), clear)
    np.testing.assert_array_equal(layer(run, "crop_map")[sure], codes[sure])
    assert sure.mean() > 0.9
    again = predict(tmp_path, model, "served", **served(scenes.archive))
    for name in ("crop_map", "confidence", "clear_observations"):
        np.testing.assert_array_equal(layer(again, name), layer(run, name))


# ---- months ----


def monthly_samples(path: Path) -> Path:
    """Two classes of May to July in files with named bands: one bright where the other is dark."""
    rng = np.random.default_rng(8)
    code = np.where(np.arange(60) % 2, 1200, 1110)
    near = np.where(code == 1110, 4_500, 1_500)[:, None] + rng.integers(-900, 900, (60, 12))
    series = np.stack([6_000 - near, near], axis=1).astype(np.int16)
    places = {"lon": 9 + rng.uniform(0, 1, 60), "lat": 46 + rng.uniform(0, 1, 60)}
    np.savez(path, series=series, bands=np.array(["B04", "B08"]), croptype=code, **places)
    return path


def test_a_network_that_is_trained_on_months_maps_on_both_sources(tmp_path, monkeypatch, served):
    monkeypatch.setitem(PRESETS, "compact", ((8, 8, 8, 8), (2, 1, 2, 1)))
    model, legend = tmp_path / "months.safetensors", tmp_path / "legend.toml"
    entries = (f'[[classes]]\nname = "{n}"\ncolor = "#10{c}"\nlabels = [{c}]\n' for n, c in WHEAT_OR_MAIZE)
    legend.write_text("\n".join(entries), encoding="utf-8")
    season = ("--bands", "B4,B8", "--bin-days", "month", "--window", "121:212", "--min-clear-bins", 2)
    fit = ("--epochs", 10, "--learning-rate", 0.005, "--batch-size", 16, "--device", "cpu", "--quiet")
    words = ("--legend", legend, "--year", YEAR, "--split", "random", "--out", model)
    trained = run_cropmap("train", monthly_samples(tmp_path / "a.npz"), *season, *fit, *words)
    assert trained.exit_code == 0, trained.stderr

    days = ("04-30", "05-01", "05-15", "05-31", "06-01", "06-20", "07-31", "08-01")
    looks = [optical(f"S{d}", f"2021-{d}T10:30:00", i, ("B4", "B8"), cloudy=0.5) for i, d in enumerate(days)]
    scenes = SensorScenes(tmp_path / "scenes").save(*looks)
    run = predict(tmp_path, model, "run", source=scenes.path)
    codes, clear, sure = expected(scenes, model)
    assert {1, 2, NOT_ENOUGH} == set(codes.ravel().tolist())
    np.testing.assert_array_equal(layer(run, "clear_observations"), clear)
    np.testing.assert_array_equal(layer(run, "crop_map")[sure], codes[sure])
    assert sure.mean() > 0.9
    again = predict(tmp_path, model, "served", **served(scenes.archive))
    for name in ("crop_map", "confidence", "clear_observations"):
        np.testing.assert_array_equal(layer(again, name), layer(run, name))


def test_an_export_names_the_bands_of_all_sensors_and_is_what_a_map_uses(tmp_path):
    scenes = SensorScenes(tmp_path / "scenes").save(*shots(radar, ("B4", "B8")))
    words = ["--aoi", area(tmp_path), "--year", YEAR, "--source", scenes.path, "--out", tmp_path / "run"]
    more = ["--bands", "B4,B8,VV,VH", "--window", "121:150", "--cell-size", 32, "--workers", 0]
    result = run_cropmap("export", *words, *more, "--json")
    assert result.exit_code == 0, result.stderr
    (cell,) = (tmp_path / "run" / "composites").glob("*.tif")
    with rasterio.open(cell) as file:
        assert file.descriptions == tuple(f"{b}_{i}" for i in range(24, 30) for b in ("B4", "B8", "VV", "VH"))
        values = file.read(window=file.window(*GEOBOX.boundingbox.bbox)).reshape(6, 4, SIDE, SIDE)
    np.testing.assert_array_equal(values, scenes.loop(GEOBOX, SEASON, range(24, 30), RADAR))
    again = run_cropmap("export", "--config", tmp_path / "run" / "run.toml", "--json")
    assert again.exit_code == 0, again.stderr
    before = cell.stat().st_mtime_ns
    predict(tmp_path, tiny_model(tmp_path / "m.safetensors", RADAR), "run", source=scenes.path)
    assert cell.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--sensors", "sentinel-3"],
            "Sensors are sentinel-2, sentinel-1, alphaearth, emit; got 'sentinel-3'",
        ),
        (["--sensors", "sentinel-1", "--bands", "B4"], "by --bands, or as all of some --sensors"),
        (["--sensors", "sentinel-1", "--cloud-threshold", "0.5"], "do not hide the ground from Sentinel-1"),
        (["--sensors", "emit", "--cloud-threshold", "0.5"], "found by a band of its own images"),
        (["--sensors", "emit", "--bin-days", "month:8,6"], "for some in order, counted from 1 to 12"),
        (["--sensors", "sentinel-1,sentinel-1"], "each band once"),
    ],
)
def test_sensors_that_make_no_recipe_are_refused(tmp_path, options, words):
    result = run_cropmap("export", "--aoi", area(tmp_path), "--year", YEAR, *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_estimate_counts_the_bands_of_all_sensors(tmp_path):
    words = ["--aoi", area(tmp_path), "--year", YEAR, "--samples", 0, "--json"]
    both = run_cropmap("estimate", *words, "--sensors", "sentinel-2,sentinel-1")
    assert both.exit_code == 0, both.stderr
    assert json.loads(both.stdout)["counted"]["bands"] == 12


def on_servers(folder: Path, model: Path, kind: str, access: dict[str, Any]) -> Path:
    """The run of a map that the servers make, of a model that was deployed."""
    asset = f"projects/{PROJECT}/assets/{kind}"
    key = [word for name, value in access.items() for word in (f"--{name.replace('_', '-')}", value)]
    command = ("forest", "deploy") if kind == "forest" else ("deploy",)
    deployed = run_cropmap(*command, model, "--asset", asset, *key)
    assert deployed.exit_code == 0, deployed.stderr
    place = ["--aoi", area(folder), "--year", YEAR, "--out", folder / "there", "--cell-size", 32]
    words = (
        ("forest", "predict", "--forest") if kind == "forest" else ("predict", "--on", "servers", "--model")
    )
    result = run_cropmap(*words, model, *place, *key)
    assert result.exit_code == 0, result.stderr
    return folder / "there"


# ---- an input without time ----


def embeddings(labels: np.ndarray, seed: int) -> np.ndarray:
    """Unit vectors of 64 numbers, `(sample, 64)`, of which the first three tell the label."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.1, (len(labels), 64))
    values[np.arange(len(labels)), labels] += 2
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def samples(tmp_path):
    """A file of 240 embeddings of three crops, as CropGlobe packs them."""
    labels = np.arange(240) % 3
    path = tmp_path / "alphaearth_USA.npz"
    places = {"lon": np.linspace(-91, -90, 240), "lat": np.linspace(34, 36, 240)}
    np.savez(path, fea=embeddings(labels, 1), lbl=labels + 1, **places)
    return path


@pytest.fixture
def year(tmp_path):
    """A yearly image of three crops in stripes, with a hole; and the class of each pixel of `GEOBOX`."""
    stripes = np.arange(400) // 20 % 20 // 7
    cube = embeddings(stripes.clip(0, 2), 2).T.reshape(64, 20, 20)
    cube[5, 8, 9] = -32_768.0
    bands = dict(zip(ALPHAEARTH.band_names, cube, strict=True))
    shot = plain("alphaearth", "zone_32", "2021-01-01T00:00:00", bands)
    truth = stripes.reshape(20, 20)[4 : 4 + SIDE, 3 : 3 + SIDE]
    return SensorScenes(tmp_path / "scenes").save(shot), truth


@pytest.mark.parametrize("kind", ["forest", "mlp"])
def test_embeddings_train_a_model_and_become_a_map_on_both_sources(kind, samples, year, served, tmp_path):
    model = tmp_path / "model.safetensors"
    words = [samples, "--sensors", "alphaearth", "--year", YEAR, "--out", model]
    if kind == "forest":
        result = run_cropmap("forest", "train", *words, "--trees", 20)
        assert result.exit_code == 0, result.stderr
        recipe = load_forest(model).recipe
    else:
        result = run_cropmap(
            "train",
            *words,
            "--model",
            "mlp",
            "--epochs",
            30,
            "--batch-size",
            32,
            "--learning-rate",
            0.01,
            "--device",
            "cpu",
        )
        assert result.exit_code == 0, result.stderr
        recipe = load_checkpoint(model).recipe
    assert (recipe.sensor_names, recipe.bin_days, recipe.min_clear_bins) == (("alphaearth",), 365, 1)
    scenes, truth = year
    run = predict(tmp_path, model, "run", source=scenes.path)
    codes, hole = layer(run, "crop_map"), np.zeros((SIDE, SIDE), bool)
    hole[8 - 4, 9 - 3] = True
    assert codes[hole].tolist() == [NOT_ENOUGH]
    assert (codes[~hole] == truth[~hole] + 1).mean() > 0.95
    access, names = served(scenes.archive), ("crop_map", "confidence", "clear_observations")
    again = predict(tmp_path, model, "served", **access)
    there = on_servers(tmp_path, model, kind, access)
    for name in names:
        np.testing.assert_array_equal(layer(again, name), layer(run, name))
        np.testing.assert_array_equal(layer(there, name), layer(run, name))


def test_embeddings_are_sampled_as_a_loop_over_the_yearly_image_finds_them(tmp_path, served):
    land = Land(days=(), values=(1, 5))
    numbers = np.random.default_rng(6).uniform(-1.005, 1.005, (64, 480, 480)).astype(np.float32)
    archive = land.archive
    grid = Affine(10, 0, land.left, 0, -10, land.top)
    bands = {name: Raster(numbers[i], grid, land.crs) for i, name in enumerate(ALPHAEARTH.band_names)}
    archive.add(ImageAsset(f"{ALPHAEARTH.collection}/zone_15", datetime(YEAR, 1, 1, tzinfo=UTC), bands))
    out = tmp_path / "alphaearth.npz"
    place = ["--aoi", land.area(tmp_path), "--year", YEAR, "--reference", "cdl", "--out", out]
    access = [w for k, v in served(archive).items() for w in (f"--{k.replace('_', '-')}", v)]
    words = ["--sensor", "alphaearth", "--grid", 0.01, "--per-cell", 5, "--buffer", 30]
    result = run_cropmap("sample", *place, *words, *access)
    assert result.exit_code == 0, result.stderr
    with np.load(out) as file:
        assert file["fea"].shape == (30, 64, 1)
        for values, lon, lat in zip(file["fea"], file["lon"], file["lat"], strict=True):
            own = numbers[(slice(None), *land.pixel(lon, lat, 10))].astype(float)
            whole = np.floor(own * 9_000 + 0.5) if np.abs(own).max() <= 1 else np.full(64, NODATA)
            np.testing.assert_array_equal(values[:, 0], whole)
        assert "SATELLITE_EMBEDDING" in json.loads(str(file["metadata"]))["source"]
    trained = run_cropmap(
        "forest", "train", out, "--trees", 3, "--split", "random", "--out", tmp_path / "f.safetensors"
    )
    assert trained.exit_code == 0, trained.stderr
    assert load_forest(tmp_path / "f.safetensors").recipe.sensor_names == ("alphaearth",)
