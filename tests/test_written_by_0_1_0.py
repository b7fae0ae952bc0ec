"""Files written by version 0.1.0 are read, and its runs continue (see written_by_0_1_0/README.md)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from cli.main import cropmap
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.errors import MismatchError
from gee_pipeline.recipe import Recipe
from gee_pipeline.store import composite_path, read_composite
from inference.deployment.asset_tasks import begin
from inference.deployment.deployment import deployment_path, load_deployment
from inference.models.checkpoint import Checkpoint, load_checkpoint
from inference.models.forest_features import forest_features
from inference.models.forest_model import load_forest
from inference.models.networks.cropnet import CropNetConfig
from inference.models.predictor import Predictor
from inference.run.plan import load_plan
from inference.run.task_record import open_tasks, read_tasks
from tests.written_by_0_1_0.made import URL, series, served
from training.fit.options import ClassWeights, SplitRule, TrainingOptions
from training.fit.resume_state import ResumeState
from training.fit.train import train_checkpoint
from training.samples.samples import read_samples
from training.transfer.training_record import Job, read_record

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "written_by_0_1_0"
ARRAYS = dict(np.load(HERE / "expected.npz"))
"""What 0.1.0 read from the files, or an independent reader."""
FACTS = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))

NETWORKS = ("cropnet_2d", "cropnet_1d", "other_recipe")
RUNS = ("finished", "interrupted", "exported")
SAMPLES = ("sampled", "cropglobe", "pseudo")
CELL, SCENES = 32, HERE / "scenes"

torch.set_num_threads(1)  # networks this small only wait for one another


# Models


def network(name: str) -> Checkpoint:
    return load_checkpoint(HERE / f"{name}.safetensors")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_predicts_what_it_did(name: str) -> None:
    checkpoint = network(name)
    predictor = Predictor(checkpoint, "cpu")
    made = series(200, len(checkpoint.recipe.bands), len(checkpoint.recipe.window))
    logits, prediction = predictor.logits(made), predictor.predict(made)
    expected = ARRAYS[f"{name}/logits"]
    # A millionth of the largest logit: float32 itself is no closer from one processor to another.
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6 * max(1, np.abs(expected).max()))
    np.testing.assert_array_equal(prediction.codes, ARRAYS[f"{name}/codes"])
    assert_near(prediction.confidence, ARRAYS[f"{name}/confidence"])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_means_what_it_did(name: str) -> None:
    checkpoint, expected = network(name), FACTS["models"][name]
    assert_recipe(checkpoint.recipe, expected["recipe"])
    assert [asdict(crop) for crop in checkpoint.classes] == expected["classes"]
    assert checkpoint.temperature == expected["temperature"]
    assert list(checkpoint.normalisation.mean) == expected["normalisation"]["mean"]
    assert list(checkpoint.normalisation.std) == expected["normalisation"]["std"]
    assert checkpoint.provenance["cropmap_version"] == "0.1.0"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_keeps_its_digest(name: str) -> None:
    """Runs name their model by it, so a checkpoint that gets another one cannot continue its runs."""
    assert network(name).digest == FACTS["models"][name]["digest"]


def test_a_forest_votes_as_it_did() -> None:
    path, expected = HERE / "forest.safetensors", FACTS["models"]["forest"]
    forest = load_forest(path)
    assert_recipe(forest.recipe, expected["recipe"])
    assert [asdict(crop) for crop in forest.classes] == expected["classes"]
    made = series(60, len(forest.recipe.bands), len(forest.recipe.window))
    votes = forest.votes(forest_features(made, forest.recipe, forest.features))
    np.testing.assert_array_equal(votes, ARRAYS["forest/votes"])


def test_a_deployment_belongs_to_its_forest() -> None:
    forest = load_forest(HERE / "forest.safetensors")
    deployment = load_deployment(deployment_path(HERE / "forest.safetensors"), forest)
    assert deployment.forest == FACTS["models"]["forest"]["digest"]
    assert deployment.assets == ("projects/crop-maps/assets/forest",)
    assert (deployment.way, deployment.confidence, deployment.trees) == ("classifier", "votes", 7)


# Samples


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_the_same_arrays(name: str) -> None:
    samples, expected = read_samples([HERE / f"{name}.npz"], any_classes=True), FACTS["samples"][name]
    np.testing.assert_array_equal(samples.series, ARRAYS[f"{name}/series"])
    crops = np.array(samples.class_names)[samples.labels]
    np.testing.assert_array_equal(crops, ARRAYS[f"{name}/crops"])
    assert samples.lon is not None
    assert samples.lat is not None
    np.testing.assert_array_equal(samples.lon, ARRAYS[f"{name}/lon"])
    np.testing.assert_array_equal(samples.lat, ARRAYS[f"{name}/lat"])
    assert samples.pseudo == (name == "pseudo")
    if expected["recipe"]:
        assert_recipe(samples.recipe, expected["recipe"])
        assert samples.season is not None
        assert (samples.season.year, str(samples.season.start)) == (2021, expected["season_start"])
        assert expected["source"] in samples.source


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_told_about(name: str) -> None:
    assert_success(run_cropmap("samples", "info", HERE / f"{name}.npz"))


# Runs


@pytest.fixture
def scenes_online() -> Iterator[None]:
    with served(SCENES):
        yield


@pytest.mark.parametrize("name", RUNS)
def test_composites_are_read_pixel_for_pixel(name: str) -> None:
    plan, expected = load_plan(HERE / name), FACTS["runs"][name]
    assert len(plan.cells) == expected["cells"]
    assert [plan.bins.start, plan.bins.stop] == expected["bins"]
    found = 0
    for cell in plan.grid.cells(plan.cells):
        path = composite_path(HERE / name, cell)
        if path.exists():
            found += 1
            with rasterio.open(path) as file:
                pixels = file.read()
            assert digest(pixels) == expected["composites"][cell.name]
            composite = read_composite(path, cell, plan.recipe, plan.season, plan.bins)
            np.testing.assert_array_equal(composite.values.reshape(pixels.shape), pixels)
    assert found == {"finished": 2, "interrupted": 3, "exported": 2}[name]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_keeps_its_digest(name: str) -> None:
    """Predictions carry it, so those of a run that gets another one would all be made again."""
    assert load_plan(HERE / name).digest == FACTS["runs"][name]["digest"]


@pytest.mark.parametrize(
    ("name", "planned", "done"), [("finished", 2, 2), ("interrupted", 6, 3), ("exported", 2, 2)]
)
def test_status_tells_how_far_a_run_has_come(name: str, planned: int, done: int) -> None:
    result = run_cropmap("status", HERE / name, "--json")
    assert_success(result)
    state = json.loads(result.stdout)
    assert (state["planned"], state["done"], state["failed"]) == (planned, done, 0)
    words = {"finished": "complete", "interrupted": "stopped", "exported": "complete"}
    assert words[name] in run_cropmap("status", HERE / name).stdout


@pytest.mark.usefixtures("scenes_online")
def test_the_same_command_finds_a_finished_run_finished(tmp_path: Path) -> None:
    run = copied("finished", tmp_path)
    before = cells(run)
    assert_success(predict(run, "cropnet_2d", URL, "two_cells"))
    assert cells(run) == before
    np.testing.assert_array_equal(layers(run), ARRAYS["finished/layers"])
    np.testing.assert_array_equal(layers(HERE / "finished"), ARRAYS["finished/layers"])


@pytest.mark.usefixtures("scenes_online")
def test_run_toml_repeats_a_run(tmp_path: Path) -> None:
    run = copied("finished", tmp_path)
    before = cells(run)
    moved = ["--aoi", HERE / "two_cells.geojson", "--model", HERE / "cropnet_2d.safetensors", "--out", run]
    assert_success(run_cropmap("predict", "--config", HERE / "finished" / "run.toml", *moved))
    assert cells(run) == before


@pytest.mark.usefixtures("scenes_online")
def test_an_interrupted_run_continues_to_the_same_map(tmp_path: Path) -> None:
    run = copied("interrupted", tmp_path)
    before = cells(run)
    more = ["--season-start", "2021-01-01", "--crs", "EPSG:32615"]
    assert_success(predict(run, "other_recipe", URL, "area", *more))
    after = cells(run)
    assert {name: after[name] for name in before} == before  # what was done is kept as it is
    assert len(after) == len(before) + 2 + 3
    made = {path.stem: digest(read(path)) for path in (run / "composites").glob("*.tif")}
    assert made == FACTS["runs"]["interrupted"]["composites"]
    codes, confidence, clear = layers(run)
    expected = ARRAYS["interrupted/layers"]
    np.testing.assert_array_equal(codes, expected[0])
    assert_near(confidence, expected[1])
    np.testing.assert_array_equal(clear, expected[2])


def test_composites_from_a_catalog_on_the_disk_become_a_map(tmp_path: Path) -> None:
    run = moved_with_its_scenes(copied("exported", tmp_path))
    before = cells(run)
    place = ["--aoi", HERE / "two_cells.geojson", "--year", 2021, "--source", SCENES / "catalog.json"]
    work = ["--bands", "B4,B8", "--cell-size", CELL, "--workers", 0, "--out", run]
    assert_success(run_cropmap("export", *place, *work))
    assert cells(run) == before
    assert_success(predict(run, "cropnet_1d", SCENES / "catalog.json", "two_cells"))
    after = cells(run)
    assert {name: after[name] for name in before} == before
    codes, confidence, clear = layers(run)
    expected = ARRAYS["exported/layers"]
    np.testing.assert_array_equal(codes, expected[0])
    assert_near(confidence, expected[1])
    np.testing.assert_array_equal(clear, expected[2])


def moved_with_its_scenes(run: Path) -> Path:
    """The run with the present path of its catalog, for a run is refused when the catalog has another one.

    Nothing else is changed. A map could not be moved so: its predictions carry a digest of the path too.
    """
    path = run / "run.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    assert values["source"]["href"] == "/tmp/place/scenes/catalog.json"
    values["source"]["href"] = str((SCENES / "catalog.json").resolve())
    path.write_text(json.dumps(values), encoding="utf-8")
    return run


# Batch tasks


def test_the_tasks_of_a_run_are_read(tmp_path: Path) -> None:
    """17 cells side by side; the first of three blocks was split, and the process died while submitting."""
    shutil.copy(HERE / "tasks" / "tasks.jsonl", tmp_path)
    planned = np.array([(0, col) for col in range(17)], np.int32)
    tasks = read_tasks(tmp_path)
    assert (tasks.destination, tasks.token) == ("gcs://crop-bucket/north/2021", "a2588457")
    assert tasks.eecu_seconds == pytest.approx(0.081 + 0.173)
    found = [
        (task.subject.block.name, task.state, task.subject.tile, task.attempt, (task.operation or "")[-6:])
        for task in tasks.leaves(planned)
    ]
    assert found == [
        ("r0000_c0000_1x4", "done", 128, 1, "XRXV7N"),
        ("r0000_c0004_1x4", "active", 128, 2, "6E5CP2"),
        ("r0000_c0008_1x8", "submitting", 256, 2, ""),
        ("r0000_c0016_1x1", "done", 256, 1, "5ZRWZE"),
    ]


def test_a_run_goes_on_with_its_tasks(tmp_path: Path) -> None:
    """Another token would be another request's id, and start a task a second time."""
    shutil.copy(HERE / "tasks" / "tasks.jsonl", tmp_path)
    before = (tmp_path / "tasks.jsonl").read_bytes()
    with open_tasks(tmp_path, Destination.parse("gcs://crop-bucket/north/2021")) as writer:
        assert writer.tasks.token == "a2588457"
    assert (tmp_path / "tasks.jsonl").read_bytes() == before


def test_the_tasks_of_a_deployment_are_gone_on_with() -> None:
    path = HERE / "tasks" / "forest.deployment.tasks.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    assets = [f"projects/crop-maps/assets/forest_class_{code}" for code in (1, 2, 3)]
    record = begin(path, written["about"], assets)
    assert record.token == "9bc8f80b"
    assert [(task.subject, task.state, task.attempt) for task in record.tasks] == [
        (assets[0], "active", 1),
        (assets[1], "submitting", 1),
        (assets[2], "planned", 0),
    ]
    assert record.tasks[0].operation == "projects/crop-maps/operations/WXC2QPL3CNQ7KNHX25Y4ID7A"
    assert record.to_dict() == written


# Trainings


# The one rule of class weights that version 0.1.0 had.
TRAINING = TrainingOptions(epochs=4, batch_size=8, learning_rate=0.01, device="cpu", class_weights="balanced")
NETWORK = CropNetConfig("tiny", (3, 4), (2, 1), (0.2, 0.1), 10, 3)


def test_an_unfinished_training_is_read() -> None:
    folder = HERE / "model.progress"
    state = ResumeState(folder, json.loads((folder / "training.json").read_text(encoding="utf-8"))).read()
    assert state is not None
    weights = np.concatenate([values.numpy().ravel() for _, values in sorted(state["network"].items())])
    np.testing.assert_array_equal(weights.astype(np.float32), ARRAYS["training/weights"])
    assert state["history"] == FACTS["training"]["history"]


@pytest.mark.parametrize("rule", ["capped", "effective", "none"])
def test_an_unfinished_training_weighed_classes_alike(tmp_path: Path, rule: ClassWeights) -> None:
    options = replace(TRAINING, class_weights=rule)
    samples, folder = read_samples([HERE / "cropglobe.npz"]), copied("model.progress", tmp_path)
    with pytest.raises(MismatchError, match=f"class_weights: balanced then, {rule} now"):
        train_checkpoint(samples, options, SplitRule("random"), year=2021, config=NETWORK, folder=folder)


def test_an_unfinished_training_goes_on(tmp_path: Path) -> None:
    folder = copied("model.progress", tmp_path)
    facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    # By design a training continues with the versions it began with; all else must still be the same.
    facts |= {"cropmap": importlib.metadata.version("cropmap"), "torch": torch.__version__}
    (folder / "training.json").write_text(json.dumps(facts), encoding="utf-8")
    starts: list[int] = []
    samples = read_samples([HERE / "cropglobe.npz"])
    checkpoint = train_checkpoint(
        samples,
        TRAINING,
        SplitRule("random"),
        year=2021,
        config=NETWORK,
        progress=lambda step: starts.append(step.start),
        folder=folder,
    )
    former = FACTS["training"]
    assert set(starts) == {3 * len(former["history"]) + former["batches"]}  # three batches in an epoch
    history = checkpoint.metrics["history"]
    assert len(history) == TRAINING.epochs
    assert history[: len(former["history"])] == former["history"]


def test_the_record_of_a_benchmark_is_read() -> None:
    expected = FACTS["benchmark"]
    job = Job(**expected["job"])
    values = json.loads((HERE / "benchmark" / f"{job.name}.json").read_text(encoding="utf-8"))
    wanted = {code: region["samples"] for code, region in values["regions"].items()}
    record = read_record(HERE / "benchmark", job, values["facts"], wanted)
    assert record is not None
    assert record.digest == expected["digest"]
    assert (list(record.names), record.best_epoch) == (expected["names"], expected["best_epoch"])
    assert record.held_out_accuracy == expected["held_out_accuracy"]
    assert {code: region.counts.tolist() for code, region in record.regions.items()} == expected["confusion"]


# Steps


def run_cropmap(*arguments: Any) -> Result:
    """The command in this process; an error that is not cropmap's own is raised."""
    return CliRunner().invoke(cropmap, [str(a) for a in arguments], catch_exceptions=False)


def predict(run: Path, model: str, source: Any, area: str, *more: Any) -> Result:
    """The command that made a run, with the present places of its files."""
    place = ["--aoi", HERE / f"{area}.geojson", "--year", 2021, "--source", source, "--out", run]
    work = ["--cell-size", CELL, "--workers", 0, "--device", "cpu"]
    return run_cropmap("predict", *place, "--model", HERE / f"{model}.safetensors", *work, *more)


def copied(name: str, folder: Path) -> Path:
    """A copy to work in."""
    return Path(shutil.copytree(HERE / name, folder / name))


def cells(run: Path) -> dict[str, tuple[int, bytes]]:
    """When each composite and prediction was written, and its content."""
    found = [path for place in ("composites", "predictions") for path in (run / place).glob("*.tif")]
    return {path.relative_to(run).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def layers(run: Path) -> NDArray[np.uint8]:
    """Class, confidence and clear observations `(3, y, x)` of a map."""
    names = ("crop_map", "confidence", "clear_observations")
    return np.stack([read(run / "map" / f"{name}.tif")[0] for name in names])


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as file:
        return file.read()


def digest(pixels: NDArray[Any]) -> str:
    """SHA-256 of the pixels `(band, y, x)` of a composite."""
    return hashlib.sha256(pixels.astype("<i2").tobytes()).hexdigest()


def assert_success(result: Result) -> None:
    assert result.exit_code == 0, result.output


def assert_near(confidence: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """Percent that were rounded: another processor may round a half to the other side."""
    assert np.abs(confidence.astype(int) - expected).max() <= 1


def assert_recipe(recipe: Recipe, stored: dict[str, Any]) -> None:
    """All that a file of 0.1.0 says of its recipe is still so; new fields may have come."""
    found = recipe.to_dict()
    assert {key: found.get(key) for key in stored} == stored
