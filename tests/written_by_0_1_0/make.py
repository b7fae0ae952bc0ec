"""Writes the files of this folder. It runs with version 0.1.0 of cropmap only, and was run once.

    git checkout 23ce73c  # with this folder beside
    PYTHONPATH=.:tests python -m written_by_0_1_0.make

All data is made: no satellite saw it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyproj
import pystac
import rasterio
import safetensors
import torch
from affine import Affine
from click.testing import CliRunner, Result
from ee_emulator import Archive, Emulator
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pystac.extensions.raster import DataType, RasterBand
from sample_place import Land
from scipy.ndimage import gaussian_filter
from transfer_place import CORN, OTHER, RICE, write_region
from written_by_0_1_0 import made

import inference.deploy
import inference.deployment_probe
import training.loop
from cli.main import cropmap
from examples.scene_writer import OLD_BASELINE, Packing, _add_asset, write_catalog, write_scene
from gee_pipeline.earthengine.session import disconnect
from gee_pipeline.earthengine.settings import URL_VARIABLE
from gee_pipeline.recipe import CloudRule, Recipe
from inference.checkpoint import Checkpoint, default_checkpoint, load_checkpoint, save_checkpoint
from inference.cropnet import PRESETS, CropNetConfig
from inference.forest_model import load_forest
from inference.prediction import write_prediction
from inference.predictor import Predictor
from inference.run_plan import load_plan
from training.loop import Step
from training.options import SplitRule, TrainingOptions
from training.samples import Samples, read_samples
from training.train import train_checkpoint

HERE = Path(__file__).parent
WORK = Path("/tmp/place")
"""Where everything is made; runs, reports and ledgers keep this path."""

CRS, SIZE, ROWS, COLS = "EPSG:32615", 32, 2, 3
STEP = 10 * SIZE
LEFT, TOP = 700_000 // STEP * STEP, 3_900_000 // STEP * STEP
SHAPE = ROWS * SIZE, COLS * SIZE
BANDS = ("B2", "B4", "B8")
CROPS = ("corn", "soybeans", "other")

DEFAULT = Recipe(bands=BANDS)
TWO_BANDS = Recipe(bands=("B4", "B8"))
OTHER_RECIPE = Recipe(
    bands=BANDS,
    bin_days=10,
    window_first_day=131,
    window_last_day=270,
    cloud=CloudRule("cs_cdf", 0.6, (4, 5)),
    min_clear_bins=4,
)
OTHER_OPTIONS = ("--season-start", "2021-01-01", "--crs", CRS)
"""Of the interrupted run."""


def main() -> None:
    """Make everything in `WORK`, and copy here what is kept."""
    assert importlib.metadata.version("cropmap") == "0.1.0"
    torch.set_num_threads(1)
    WORK.mkdir()
    write_scenes(WORK / "scenes")
    write_areas()
    write_checkpoints()
    with made.served(WORK / "scenes"):
        finished_run()
        interrupted_run()
        expected = {"interrupted": continued(WORK / "interrupted")}
    exported_run()
    expected["exported"] = mapped_from_composites()
    write_samples()
    write_forest()
    unfinished_training()
    benchmark_record()
    keep()
    write_expected(expected)


# Scenes, areas and models


@dataclass(frozen=True)
class Crop:
    """How one crop looks: reflectance x 10,000 of B2, B4 and B8."""

    peak: int
    """Day of the year on which it is greenest."""
    days: int
    """How long it is green."""
    green: float
    """How green it gets, 0 to 1."""

    def values(self, day: NDArray[Any] | float) -> list[Any]:
        green = self.green * np.exp(-(((np.asarray(day) - self.peak) / self.days) ** 2))
        return [900 - 350 * green, 1500 - 1000 * green, 1900 + 3200 * green]


LOOKS = (Crop(185, 24, 1.0), Crop(215, 40, 0.7), Crop(250, 60, 0.3))
"""Of each crop."""


def write_scenes(folder: Path) -> None:
    """A scene every fifteen days, some bins and one day with two, some without Cloud Score+; compact JSON."""
    rng = np.random.default_rng(4)
    days = sorted([*range(122, 335, 15), 196, 208, 213, 213])
    items = [_scene(folder, rng, number, day) for number, day in enumerate(days)]
    write_catalog(folder, items, "Made scenes", "Made for tests: no satellite saw this.")
    for path in folder.rglob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")))


def _scene(folder: Path, rng: np.random.Generator, number: int, day: int) -> pystac.Item:
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    crop, field = (rows // 9 + 2 * (cols // 11)) % 3, (rows // 9) * 3 + cols // 11
    lift = 30 * ((rows // 4 + cols // 5 + day) % 3) + 25 * (field % 6)
    bands = {}
    for place, band in enumerate(BANDS):
        curves = np.array([crop_.values(day)[place] for crop_ in LOOKS])
        bands[band] = (10 * np.rint((curves[crop] + lift) / 10)).astype(np.int16)
    cloud = gaussian_filter(rng.standard_normal(SHAPE), 7)
    cloud = (cloud - cloud.mean()) / cloud.std()
    cloud[:7, :12] = np.where(number % 3 == 0, cloud[:7, :12], 3)  # a corner that is hardly ever clear
    score = np.select([cloud < 0.3, cloud < 0.7, cloud < 1.0], [0.91, 0.78, 0.65], 0.2).astype(np.float32)
    classes = np.select([cloud < -0.8, cloud < 0.5, cloud < 0.7, cloud < 1.0], [5, 4, 7, 3], 9)
    scored = number % 4 != 3
    if number % 4 == 1:
        bands["B8"][20:24, 40:52] = made.NODATA
    time = datetime(2021, 1, 1, 17, number % 60, tzinfo=UTC) + timedelta(days=day - 1)
    geobox = GeoBox(SHAPE, Affine(10, 0, LEFT, 0, -10, TOP), CRS)
    item = write_scene(
        folder,
        f"MADE_{time:%Y%m%dT%H%M%S}",
        acquired=time,
        geobox=geobox,
        bands=bands,
        clear_score=score if scored else None,
        scene_classes=None if scored else classes[::2, ::2].astype(np.uint8),
        packing=OLD_BASELINE if number % 5 == 2 else Packing(),
        properties={"simulated": True},
    )
    if scored:
        rank = np.rint(100 * np.clip(score - 0.08, 0, 1)).astype(np.uint8)
        stored = RasterBand.create(nodata=255, data_type=DataType.UINT8, scale=0.01, offset=0)
        _add_asset(item, folder / "items" / item.id, "cs_cdf", rank, geobox, stored)
    return item


def write_areas() -> None:
    """Five of the six cells with a hole, at the edge of the sixth, and a part of two cells."""
    outline: list[tuple[float, float]] = [
        (5, 5),
        (2 * STEP, 5),
        (2 * STEP, STEP),
        (3 * STEP - 7, STEP),
        (3 * STEP - 7, 2 * STEP - 5),
    ]
    hole: list[tuple[float, float]] = [(100, 100), (180, 100), (180, 260), (100, 260)]
    _write_area("area", [[*outline, (5, 2 * STEP - 5)], hole])
    _write_area("two_cells", [[(15, 25), (600, 25), (600, 290), (150, 305)]])


def _write_area(name: str, rings: list[list[tuple[float, float]]]) -> None:
    to = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform
    closed = [[*ring, ring[0]] for ring in rings]
    rounded = [[[round(v, 7) for v in to(LEFT + x, TOP - y)] for x, y in ring] for ring in closed]
    (WORK / f"{name}.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": rounded}))


def write_checkpoints() -> None:
    """Networks of some hundred weights, fitted to made series of the three crops."""
    _write_checkpoint("cropnet_2d", DEFAULT, dimensions=2)
    _write_checkpoint("cropnet_1d", TWO_BANDS, dimensions=1)
    _write_checkpoint("other_recipe", OTHER_RECIPE, dimensions=2)


def _write_checkpoint(name: str, recipe: Recipe, *, dimensions: int) -> None:
    config = CropNetConfig("tiny", (5, 6), (2, 1), (0.2, 0.1), len(recipe.bands), len(CROPS), dimensions)
    options = TrainingOptions(
        dimensions=dimensions,
        epochs=20,
        batch_size=16,
        learning_rate=0.02,
        device="cpu",
    )
    checkpoint = train_checkpoint(crops(recipe), options, SplitRule(), year=2021, config=config)
    save_checkpoint(WORK / f"{name}.safetensors", checkpoint)


def crops(recipe: Recipe, count: int = 96) -> Samples:
    """Made samples in blocks of half a degree."""
    rng = np.random.default_rng(8)
    labels, places = np.arange(count) % len(CROPS), rng.permutation(count) % 16
    middles = (np.arange(recipe.bins_in_season) + 0.5) * recipe.bin_days
    looks = np.array([crop.values(middles) for crop in LOOKS])  # (crop, band of BANDS, bin)
    chosen = looks[:, [BANDS.index(band) for band in recipe.bands]][labels]
    values = chosen + rng.normal(0, 120, chosen.shape) + rng.normal(0, 100, (count, 1, 1))
    gaps = rng.random((count, 1, len(middles))) < 0.3
    return Samples(
        series=np.where(gaps, made.NODATA, np.clip(values, 1, 9_000)).round().astype(np.int16),
        labels=labels,
        class_names=CROPS,
        lon=-91.0 + 0.5 * (places % 4) + rng.uniform(0.02, 0.48, count),
        lat=35.0 + 0.5 * (places // 4) + rng.uniform(0.02, 0.48, count),
        source="Series made for tests.",
        recipe=recipe,
    )


# Runs


def run_cropmap(*arguments: Any) -> Result:
    """A whole command in this process."""
    return CliRunner().invoke(cropmap, [str(a) for a in arguments], catch_exceptions=False)


def succeed(*arguments: Any) -> None:
    """A whole command that must end well."""
    result = run_cropmap(*arguments)
    assert result.exit_code == 0, result.output


def predict(out: Path, model: str, source: Any, area: str, *more: Any) -> list[Any]:
    """The words of `cropmap predict`."""
    place = ["--aoi", WORK / f"{area}.geojson", "--year", 2021, "--source", source, "--out", out]
    work = ["--cell-size", SIZE, "--workers", 0, "--device", "cpu"]
    return ["predict", *place, "--model", WORK / f"{model}.safetensors", *work, *more]


def finished_run() -> None:
    """A map of two cells."""
    succeed(*predict(WORK / "finished", "cropnet_2d", made.URL, "two_cells"))


def interrupted_run() -> None:
    """A map that ends between composite and prediction of its fourth cell; the third has no pixel."""
    write, calls = write_prediction, iter(range(5))

    def interrupted(*arguments: Any, **options: Any) -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt
        write(*arguments, **options)

    with mock.patch("inference.open_run.write_prediction", interrupted):
        words = predict(WORK / "interrupted", "other_recipe", made.URL, "area", *OTHER_OPTIONS)
        assert run_cropmap(*words).exit_code != 0
    for place, count in (("composites", 3), ("predictions", 3)):
        assert len(list((WORK / "interrupted" / place).glob("*.tif"))) == count


def continued(run: Path) -> dict[str, Any]:
    """What the interrupted run becomes, in a copy."""
    copy = shutil.copytree(run, WORK / "continued")
    succeed(*predict(copy, "other_recipe", made.URL, "area", *OTHER_OPTIONS))
    return {"layers": layers(copy), "composites": composites(copy)}


def exported_run() -> None:
    """Composites of two cells from a catalog on the disk."""
    succeed(
        *("export", "--aoi", WORK / "two_cells.geojson", "--year", 2021, "--out", WORK / "exported"),
        *("--source", WORK / "scenes" / "catalog.json", "--bands", ",".join(TWO_BANDS.bands)),
        *("--cell-size", SIZE, "--workers", 0),
    )


def mapped_from_composites() -> dict[str, Any]:
    """The map that the exported composites become, in a copy."""
    copy = shutil.copytree(WORK / "exported", WORK / "mapped")
    succeed(*predict(copy, "cropnet_1d", WORK / "scenes" / "catalog.json", "two_cells"))
    return {"layers": layers(copy), "composites": composites(copy)}


def layers(run: Path) -> NDArray[np.uint8]:
    """Class, confidence and clear observations `(3, y, x)` of a map, by rasterio."""
    found = []
    for name in ("crop_map", "confidence", "clear_observations"):
        with rasterio.open(run / "map" / f"{name}.tif") as file:
            found.append(file.read(1))
    return np.stack(found)


def composites(run: Path) -> dict[str, str]:
    """SHA-256 of the pixels `(band, y, x)` of each composite, little-endian int16, by rasterio."""
    found = {}
    for path in sorted((run / "composites").glob("*.tif")):
        with rasterio.open(path) as file:
            found[path.stem] = hashlib.sha256(file.read().astype("<i2").tobytes()).hexdigest()
    return found


# Samples, a forest, a training, a benchmark


@contextmanager
def emulated(archive: Archive) -> Iterator[list[Any]]:
    """The options that reach an emulated Earth Engine."""
    with Emulator(archive, project="crop-maps") as server:
        (WORK / "key").mkdir(exist_ok=True)
        key = server.key_file(WORK / "key")
        with mock.patch.dict("os.environ", {URL_VARIABLE: server.url}):
            yield ["--project", "crop-maps", "--service-account", key]
    disconnect()


def write_samples() -> None:
    """Samples of `cropmap sample`, of CropGlobe's packaging, and of `cropmap forest pseudo-label`."""
    days = [f"2021-{month:02d}-{day:02d}" for month in (5, 6, 7, 8) for day in (3, 13, 23)]
    land = Land(days=days, values=(1, 5, 24))
    with emulated(land.archive) as access:
        place = ["--aoi", land.area(WORK, cols=2, rows=1), "--year", 2021, "--reference", "cdl"]
        rule = ["--grid", 0.01, "--per-cell", 3, "--cloud-threshold", 0.6]
        succeed("sample", *place, *rule, "--out", WORK / "sampled.npz", *access)
    write_cropglobe(WORK / "cropglobe.npz")
    rules = ["--confidence", 40, "--neighbours", 3, "--passes", 4, "--agree", 3, "--per-class", 12]
    out = ["--out", WORK / "pseudo.npz", "--device", "cpu"]
    succeed("forest", "pseudo-label", "--run", WORK / "finished", *rules, "--spacing", 20, *out)


def write_cropglobe(path: Path) -> None:
    """Ten bands whose gaps are filled and told by `observed`; one sample is sparse, one is there twice."""
    count = 33
    fea = made.series(count, 10, 73)
    observed = fea[:, 0] != made.NODATA
    for row, seen in zip(fea, observed, strict=True):
        for band in row:
            band[:] = np.interp(np.arange(73), np.flatnonzero(seen), band[seen])
    observed[7, 3:] = False
    fea[9], observed[9] = fea[8], observed[8]
    labels = np.arange(count) % 3 * 3  # corn, wheat, other
    labels[9] = labels[8]
    lon, lat = -91 + 0.04 * np.arange(count), 35 + 0.03 * (np.arange(count) * 7 % count)
    np.savez_compressed(path, fea=fea, lbl=labels, observed=observed, lon=lon, lat=lat)


def write_forest() -> None:
    """A forest of the pseudo-labels, deployed to an emulated Earth Engine."""
    forest = WORK / "forest.safetensors"
    grow = ["--trees", 7, "--max-leaf-nodes", 8, "--split", "random"]
    succeed("forest", "train", WORK / "pseudo.npz", "--out", forest, *grow)
    quick = partial(inference.deploy.deploy, poll_seconds=0, sleep=lambda seconds: None)
    with (
        emulated(Archive([])) as access,
        mock.patch.multiple(inference.deployment_probe, ROWS=6, TIES=2),
        mock.patch.object(inference.deploy, "deploy", quick),
    ):
        succeed("forest", "deploy", forest, "--asset", "projects/crop-maps/assets/forest", *access)


TRAINING = TrainingOptions(epochs=4, batch_size=8, learning_rate=0.01, device="cpu")
NETWORK = CropNetConfig("tiny", (3, 4), (2, 1), (0.2, 0.1), 10, 3)


class Stopped(Exception):
    """Stands for the end of the process."""


def unfinished_training() -> None:
    """A training that ends in its second epoch."""

    def stop(step: Step) -> None:
        if step.done == 8:
            raise Stopped

    samples, folder = read_samples([WORK / "cropglobe.npz"]), WORK / "model.progress"
    rule = SplitRule("random")
    with mock.patch.object(training.loop, "KEEP_SECONDS", 0.0):
        try:
            train_checkpoint(samples, TRAINING, rule, year=2021, config=NETWORK, progress=stop, folder=folder)
        except Stopped:
            return
    raise AssertionError("the training went on")


def benchmark_record() -> None:
    """The record of one training between two made regions."""
    for seed, code in enumerate(("USA", "FRA")):
        write_region(WORK / "regions", code, {CORN: 20, RICE: 20, OTHER: 20}, seed=seed)
    regions = ["--data", WORK / "regions", "--source", "USA", "--targets", "FRA", "--models", "cropnet"]
    fit = ["--preset", "compact", "--epochs", 2, "--batch-size", 32, "--device", "cpu", "--seeds", 1]
    with mock.patch.dict(PRESETS, {"compact": ((8, 8, 8, 8), (2, 1, 2, 1))}):
        succeed("benchmark", *regions, *fit, "--out", WORK / "benchmark")


# What is kept, and what 0.1.0 reads from it


KEPT = (
    *("scenes", "area.geojson", "two_cells.geojson", "finished", "interrupted", "exported"),
    *("cropnet_2d.safetensors", "cropnet_1d.safetensors", "other_recipe.safetensors"),
    *("sampled.npz", "cropglobe.npz", "pseudo.npz"),
    *("forest.safetensors", "forest.deployment.json", "model.progress"),
)


def keep() -> None:
    """Copy everything but pictures and locks."""
    ignored = shutil.ignore_patterns("*.png", "*.lock", "run.owner*")
    for name in KEPT:
        if (WORK / name).is_dir():
            shutil.copytree(WORK / name, HERE / name, ignore=ignored)
        else:
            shutil.copy(WORK / name, HERE / name)
    (record,) = (WORK / "benchmark" / "runs").glob("*.json")
    (HERE / "benchmark").mkdir()
    shutil.copy(record, HERE / "benchmark" / record.name)


def write_expected(runs: dict[str, Any]) -> None:
    """`expected.npz` and `expected.json`."""
    runs["finished"] = {"layers": layers(HERE / "finished"), "composites": composites(HERE / "finished")}
    arrays = {f"{name}/layers": run["layers"] for name, run in runs.items()}
    facts: dict[str, Any] = {"version": "0.1.0", "runs": {}, "models": {}, "samples": {}}
    for name, run in runs.items():
        digest = load_plan(HERE / name).digest
        facts["runs"][name] = {"composites": run["composites"], "digest": digest, **_run_facts(HERE / name)}
    for name in ("cropnet_2d", "cropnet_1d", "other_recipe", "compact"):
        path = default_checkpoint() if name == "compact" else HERE / f"{name}.safetensors"
        checkpoint = load_checkpoint(path)
        arrays |= {f"{name}/{key}": values for key, values in _answers(checkpoint).items()}
        facts["models"][name] = _model_facts(path, "cropmap") | {"digest": checkpoint.digest}
    forest = HERE / "forest.safetensors"
    arrays["forest/votes"] = _votes(forest, made.series(60, len(BANDS), len(DEFAULT.window)))
    facts["models"]["forest"] = _model_facts(forest, "cropmap_forest") | {
        "digest": load_forest(forest).digest
    }
    for name in ("sampled", "cropglobe", "pseudo"):
        arrays |= {f"{name}/{key}": values for key, values in _series(HERE / f"{name}.npz").items()}
        facts["samples"][name] = _sample_facts(HERE / f"{name}.npz")
    arrays["training/weights"], facts["training"] = _training_facts(HERE / "model.progress")
    facts["benchmark"] = _benchmark_facts(next((HERE / "benchmark").glob("*.json")))
    np.savez_compressed(HERE / "expected.npz", **arrays)
    (HERE / "expected.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def _run_facts(run: Path) -> dict[str, Any]:
    values = json.loads((run / "run.json").read_text())
    names = sorted(path.stem for path in (run / "predictions").glob("*.tif"))
    return {
        "cells": values["cells"],
        "predictions": names,
        "bins": values["bins"],
        "season": values["season"],
    }


def _model_facts(path: Path, entry: str) -> dict[str, Any]:
    """What the metadata of a model file holds, by safetensors alone."""
    with safetensors.safe_open(path, "np") as file:
        values = json.loads(file.metadata()[entry])
    kept = ("recipe", "recipe_digest", "classes", "temperature", "normalisation", "features")
    return {key: values[key] for key in kept if key in values}


def _answers(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """Logits, codes and confidence, after a look at another way to the same logits."""
    recipe = checkpoint.recipe
    series = made.series(200, len(recipe.bands), len(recipe.window))
    predictor = Predictor(checkpoint, "cpu")
    logits, prediction = predictor.logits(series), predictor.predict(series)
    times = np.arange(series.shape[2])
    filled = [[np.interp(times, times[b != made.NODATA], b[b != made.NODATA]) for b in one] for one in series]
    scale = checkpoint.normalisation
    mean, std = (np.array(v)[None, :, None] for v in (scale.mean, scale.std))
    x = torch.from_numpy((np.array(filled) / 10_000 - mean) / std)[:, None]
    with torch.inference_mode():
        plain = checkpoint.build().double()(x).numpy()
    print(f"{recipe.digest}: logits to {abs(plain).max():.2f}, off by {abs(plain - logits).max():.1e}")
    print("  classes", np.bincount(prediction.codes))
    np.testing.assert_allclose(logits, plain, rtol=1e-4, atol=1e-4)
    return {"logits": logits, "codes": prediction.codes, "confidence": prediction.confidence}


def _votes(path: Path, series: NDArray[np.int16]) -> NDArray[np.int64]:
    """`(pixel, class)`: what each tree says, walked node by node; gaps are filled in exact fractions."""
    with safetensors.safe_open(path, "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    ends = np.cumsum(arrays["nodes"]).tolist()
    votes = np.zeros((len(series), arrays["share"].shape[1]), np.int64)
    for pixel, one in enumerate(series):
        row = [value for band in one for value in _filled(band.tolist())]
        for root in [0, *ends[:-1]]:
            node = 0
            while arrays["feature"][root + node] >= 0:
                low = row[arrays["feature"][root + node]] <= arrays["threshold"][root + node]
                node = arrays["left" if low else "right"][root + node]
            votes[pixel, arrays["share"][root + node].argmax()] += 1
    return votes


def _filled(band: list[int]) -> list[int]:
    seen = {t: value for t, value in enumerate(band) if value != made.NODATA}
    out = []
    for t in range(len(band)):
        before = max((s for s in seen if s <= t), default=min(seen))
        after = min((s for s in seen if s >= t), default=max(seen))
        share = Fraction(t - before, after - before) if after > before else Fraction(0)
        out.append(int((seen[before] + (seen[after] - seen[before]) * share + Fraction(1, 2)) // 1))
    return out


def _series(path: Path) -> dict[str, NDArray[Any]]:
    """Series and labels of the file's own rows that a training sees, by numpy; names in place of labels."""
    names = ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other")
    with np.load(path) as file:
        fea, seen = file["fea"], file["observed"]
        series = np.where(seen[:, None], fea, made.NODATA).astype(np.int16)
        kept, known = [], set()
        for row, one in enumerate(series):
            enough = (one[0, 24:67] != made.NODATA).sum() >= 8  # days 121 to 334
            if enough and one.tobytes() not in known:
                kept.append(row)
                known.add(one.tobytes())
        crops_ = np.array([label if file["lbl"].dtype.kind == "U" else names[label] for label in file["lbl"]])
        return {
            "series": series[kept],
            "crops": crops_[kept],
            "lon": file["lon"][kept],
            "lat": file["lat"][kept],
        }


def _sample_facts(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        told = json.loads(str(file["metadata"])) if "metadata" in file else {}
    request = told.get("request", {})
    about = {key: request[key] for key in ("year", "season_start", "kind") if key in request}
    return {"recipe": told.get("recipe"), "source": told.get("source"), **about}


def _training_facts(folder: Path) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """All weights one behind the other, and what is told of the epochs, by torch alone."""
    state = torch.load(folder / "state.pt", weights_only=True)
    weights = [values.numpy().ravel() for _, values in sorted(state["network"].items())]
    facts = {"history": state["history"], "batches": len(state["losses"]), "best": state["best"]["epoch"]}
    return np.concatenate(weights).astype(np.float32), facts


def _benchmark_facts(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text())
    kept = ("digest", "job", "names", "held_out_accuracy", "best_epoch")
    regions = {code: region["confusion"] for code, region in values["regions"].items()}
    return {"confusion": regions, **{key: values[key] for key in kept}}


if __name__ == "__main__":
    main()
