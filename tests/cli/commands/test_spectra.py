"""Spectra of EMIT all the way: sampled from an emulated Earth Engine, learned, and mapped there and here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from gee_pipeline.earthengine.client.session import disconnect
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.recipe import RecipeOptions
from inference.models.checkpoint import load_checkpoint
from inference.models.forest_model import load_forest
from inference.models.networks.cropnet import PRESETS
from tests.support.ee_emulator.server import Emulator
from tests.support.emit_place import KEPT, EmitLand, spectrum
from tests.support.quick_deploy import deploy_at_once
from tests.support.tiny_place import run_cropmap

pytestmark = pytest.mark.slow

NODATA, NOT_ENOUGH = -9999, 255
SPECTRA = RecipeOptions(("emit",)).applied()
FIT = ("--epochs", 30, "--batch-size", 32, "--learning-rate", 0.003, "--device", "cpu", "--split", "random")


PLACE = ("--year", 2023, "--reference", "cdl", "--grid", 0.01, "--sensor", "emit", "--buffer", 30)


@pytest.fixture(scope="module")
def land() -> EmitLand:
    return EmitLand()


@pytest.fixture(scope="module")
def server(land: EmitLand) -> Iterator[Emulator]:
    with Emulator(land.archive) as emulator:
        yield emulator


@pytest.fixture
def access(server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Options with which a command reaches the emulator."""
    monkeypatch.setenv(URL_VARIABLE, server.url)
    deploy_at_once(monkeypatch)
    yield ["--project", server.project, "--service-account", str(server.key_file(tmp_path))]
    disconnect()


def succeeds(*words: Any) -> str:
    result = run_cropmap(*words)
    assert result.exit_code == 0, result.stderr
    return result.stderr


def sampled(land: EmitLand, folder: Path, access: list[str], *words: Any) -> dict[str, Any]:
    """What `cropmap sample` writes of two squares."""
    out = folder / "samples.npz"
    succeeds("sample", "--aoi", land.area(folder, 2, 1), *PLACE, "--out", out, *words, *access)
    with np.load(out) as file:
        return dict(file)


@pytest.mark.parametrize(("words", "months"), [((), (6, 8)), (("--bin-days", "month:8"), (8,))])
def test_samples_hold_the_medians_of_months_that_a_loop_finds(land, tmp_path, access, words, months):
    found = sampled(land, tmp_path, access, "--per-cell", 3, *words)
    assert found["fea"].shape == (6, len(KEPT), len(months))
    for values, lon, lat in zip(found["fea"], found["lon"], found["lat"], strict=True):
        np.testing.assert_array_equal(values, land.spectra(lon, lat, months))
    assert (found["fea"][:, 0] == NODATA).any() or months == (8,)
    kept = json.loads(str(found["metadata"]))
    assert "EMIT" in kept["source"]


def test_raw_samples_keep_every_pass_with_its_flag_beside_the_medians(land, tmp_path, access):
    found = sampled(land, tmp_path, access, "--per-cell", 1, "--raw")
    with np.load(tmp_path / "samples.raw.npz") as file:
        raw = dict(file)
    assert raw["bands"].tolist() == list(SPECTRA.bands)
    assert "SIMULATED" in str(raw["metadata"])
    rows = 0
    for number, (lon, lat) in enumerate(zip(found["lon"], found["lat"], strict=True)):
        own, seen = raw["sample"] == number, land.seen(lon, lat)
        assert raw["time"][own].tolist() == [round(time.timestamp() * 1000) for time, _, _ in seen]
        assert raw["flag"][own].tolist() == [flag for _, _, flag in seen]
        np.testing.assert_array_equal(raw["values"][own], [values for _, values, _ in seen])
        rows += len(seen)
    assert len(raw["sample"]) == rows == 12
    assert set(raw["score"].tolist()) == {NODATA}
    again = run_cropmap(
        "sample", "--aoi", land.area(tmp_path, 2, 1), *PLACE, "--out", tmp_path / "samples.npz"
    )
    assert again.exit_code == 2
    assert "raw" in again.stderr


def made_samples(
    folder: Path, name: str = "samples.npz", count: int = 240, shift: float = 0.0, *, said: Any = False
) -> Path:
    """Spectra of two classes as `cropmap sample` packs them, written down without it."""
    rng = np.random.default_rng(4)
    labels = np.arange(count) % 2
    mean, difference = np.stack([spectrum(month) for month in (6, 8)], axis=2)[:, KEPT]
    values = mean + shift + difference * np.where(labels == 0, 1, -1)[:, None, None]
    values = values + rng.normal(0, 0.03, values.shape)
    places = {"lon": np.linspace(-91, -90, count), "lat": np.linspace(34, 36, count)}
    if said:  # as `cropmap sample` does, by whose clock days are those of the sun
        request = {"year": 2023, "season_start": "2023-01-01"}
        said = {"recipe": SPECTRA.to_dict(), "source": "made", "request": request}
        places["metadata"] = np.array(json.dumps(said))
    np.savez(folder / name, fea=np.round(values * 10_000).astype(np.int16), lbl=labels, **places)
    return folder / name


def area(land: EmitLand, folder: Path) -> Path:
    """Polygon of 30 pixels by 30 in the middle of the land, within one cell of 32."""
    left, top = (320 * round(edge / 320) for edge in (land.left + 2_400, land.top - 2_400))
    path = folder / "area.gpkg"
    box = shapely.box(left + 1, top - 299, left + 299, top - 1)
    geopandas.GeoDataFrame(geometry=[box], crs=land.crs).to_file(path)
    return path


def truth(land: EmitLand, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Class of each pixel by the reference map, and whether both months are observed; pixel by pixel."""
    import pyproj

    with rasterio.open(run / "map" / "crop_map.tif") as file:
        height, width, transform = file.height, file.width, file.transform
    back = pyproj.Transformer.from_crs(land.crs, "EPSG:4326", always_xy=True)
    codes, seen = np.zeros((height, width), int), np.zeros((height, width), int)
    for y, x in np.ndindex(height, width):
        lon, lat = back.transform(*(transform * (x + 0.5, y + 0.5)))
        seen[y, x] = (land.spectra(lon, lat)[0] != NODATA).sum()
        row, col = (int(v) for v in land.pixel(lon, lat, 30))
        codes[y, x] = 1 if land.map[row, col] == 1 else 2
    return codes, seen


def layer(run: Path, name: str) -> np.ndarray:
    with rasterio.open(run / "map" / f"{name}.tif") as file:
        return file.read(1)


def require_map(land: EmitLand, run: Path) -> None:
    """The map has no class where a month is missing, and the reference map's elsewhere, but at edges."""
    codes, seen = truth(land, run)
    found, inside = layer(run, "crop_map"), layer(run, "crop_map") != 0
    np.testing.assert_array_equal(layer(run, "clear_observations")[inside], seen[inside])
    np.testing.assert_array_equal((found == NOT_ENOUGH)[inside], (seen < 2)[inside])
    mapped = inside & (seen == 2)
    assert mapped.sum() > 100
    assert (found == codes)[mapped].mean() > 0.85  # pixels of 60 m lie across the edges of fields


@pytest.mark.parametrize("model", ["mlp", "cropnet-1d"])
def test_networks_on_both_months_map_what_earth_engine_has(model, land, tmp_path, access, monkeypatch):
    monkeypatch.setitem(PRESETS, "compact", ((8, 8, 8, 8), (2, 1, 2, 1)))
    file, run = tmp_path / "model.safetensors", tmp_path / "run"
    words = [made_samples(tmp_path), "--sensors", "emit", "--year", 2023, "--model", model, "--out", file]
    succeeds("train", *words, *FIT)
    checkpoint = load_checkpoint(file)
    assert checkpoint.recipe == SPECTRA
    if model == "cropnet-1d":
        assert checkpoint.config.along == "bands"
    place = ["--aoi", area(land, tmp_path), "--year", 2023, "--out", run, "--cell-size", 32, "--workers", 0]
    succeeds("predict", *place, "--model", file, *access)
    require_map(land, run)
    if model == "mlp":
        there = ["--out", tmp_path / "there", "--on", "servers", "--model", file]
        succeeds("predict", *place[:4], "--cell-size", 32, *there, *access)
        for name in ("crop_map", "clear_observations", "confidence"):
            np.testing.assert_array_equal(layer(tmp_path / "there", name), layer(run, name))


def test_a_forest_maps_both_months_on_the_servers_and_here_alike(land, server, tmp_path, access):
    file = tmp_path / "forest.safetensors"
    words = [made_samples(tmp_path), "--sensors", "emit", "--year", 2023, "--trees", 20, "--out", file]
    succeeds("forest", "train", *words, "--split", "random")
    assert load_forest(file).recipe == SPECTRA
    place = ["--aoi", area(land, tmp_path), "--year", 2023, "--cell-size", 32]
    succeeds("predict", *place, "--out", tmp_path / "here", "--model", file, "--workers", 0, *access)
    require_map(land, tmp_path / "here")
    asset = f"projects/{server.project}/assets/spectra"
    succeeds("forest", "deploy", file, "--asset", asset, *access)
    succeeds("forest", "predict", *place, "--out", tmp_path / "there", "--forest", file, *access)
    for name in ("crop_map", "clear_observations", "confidence"):
        np.testing.assert_array_equal(layer(tmp_path / "there", name), layer(tmp_path / "here", name))


def test_the_benchmark_compares_models_on_spectra_with_table_5(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "compact", ((8, 8, 8, 8), (2, 1, 2, 1)))
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    made_samples(data, "emit_FRA.npz", said=True)
    made_samples(data, "emit_BEL.npz", 60, shift=0.01)
    words = ["--data", data, "--source", "FRA", "--targets", "BEL", "--sensors", "emit", "--out", out]
    fit = ["--preset", "compact", "--epochs", 15, "--learning-rate", 0.003, "--batch-size", 32]
    options = ["--models", "cropnet-1d,mlp,rf", "--seeds", 1, "--split", "random", "--device", "cpu"]
    result = run_cropmap("benchmark", *words, *fit, *options, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    cells = {cell["model"]: cell for cell in json.loads(result.stdout)["cells"]}
    assert {name: cell["accuracy"] > 0.9 for name, cell in cells.items()} == dict.fromkeys(cells, True)
    assert cells["cropnet-1d"]["published"]["accuracy"] == 91.41
    assert cells["rf"]["published"] is None
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "The models see EMIT." in text
    assert "a calendar month, of the season's 6 and 8" in text
    again = run_cropmap("benchmark", "--config", out / "run.toml", "--json", "--quiet")
    assert json.loads(again.stdout)["trained"] == 0


def test_what_moves_series_along_time_is_refused_for_months_that_are_chosen(tmp_path):
    words = [made_samples(tmp_path), "--sensors", "emit", "--year", 2023, "--out", tmp_path / "m.safetensors"]
    result = run_cropmap("train", *words, *FIT, "--augmentation", "paper")
    assert result.exit_code == 2
    assert "do not follow one another. Say --augmentation none." in result.stderr
