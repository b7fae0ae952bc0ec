"""`cropmap forest predict`: the map of the emulated servers is, pixel by pixel, that of plain loops."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import Result

import inference.product.quicklook
import inference.workflow.served_map
import inference.workflow.tasks
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.files import DIGEST_KEY
from inference.deployment.deployment import deployment_path, load_deployment
from inference.models.forest_model import save_forest
from inference.workflow.request import ForestRequest, Listener
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.ee_emulator.server import Emulator
from tests.support.forest_map_place import (
    ASSET,
    CRS,
    LEFT,
    PROJECT,
    RECIPE,
    SIZE,
    TOP,
    ForestPlace,
    cleared,
    deployed,
    grown_forest,
    mapped,
    run_cropmap,
)
from tests.support.made_forests import model_of
from tests.support.tiny_place import tiny_model

pytestmark = pytest.mark.slow

BUCKET = "gcs://maps/county"
CELLS = 3
"""Cells of the grid; all touch the area."""

FEW = "--unverified"

DRAW = inference.product.quicklook.draw_quicklook
"""What draws quicklooks: most of the time that a map of a few cells takes, so one test alone has it."""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, ForestPlace]]:
    with deployed(tmp_path_factory.mktemp("forest")) as found:
        yield found


@pytest.fixture
def server(started: tuple[Emulator, ForestPlace], monkeypatch: pytest.MonkeyPatch) -> Emulator:
    emulator = cleared(started[0])
    for variable in (URL_VARIABLE, "STORAGE_EMULATOR_HOST", "CROPMAP_DRIVE_URL"):
        monkeypatch.setenv(variable, emulator.url)
    quick = partial(inference.workflow.tasks.export_by_tasks, poll_seconds=0.01)
    monkeypatch.setattr(inference.workflow.tasks, "export_by_tasks", quick)
    monkeypatch.setattr(inference.product.quicklook, "draw_quicklook", lambda path, *_, **__: path.touch())
    return emulator


@pytest.fixture
def place(started: tuple[Emulator, ForestPlace], server: Emulator, tmp_path: Path) -> ForestPlace:
    """The place with its deployment, to spoil."""
    shutil.copytree(started[1].folder, tmp_path / "place")
    return replace(started[1], folder=tmp_path / "place")


def succeeds(result: Result) -> Result:
    assert result.exit_code == 0, result.stderr
    return result


def refused(result: Result, words: str, code: int = 2) -> Result:
    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    return result


def report(run: Path) -> dict[str, Any]:
    return json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))


def classified(server: Emulator) -> list[tuple[float, float]]:
    """Corners of the cells whose predictions were asked for and answered."""
    found = [
        r for r in server.log.of("pixels") if r.status == 200 and r.bands == ("class", "confidence", "clear")
    ]
    return [(r.grid.transform.c, r.grid.transform.f) for r in found]


# --- at once


@pytest.mark.parametrize(
    ("way", "confidence"), [("classifier", "votes"), ("inline", "probability"), ("table", "votes")]
)
def test_the_map_of_the_servers_is_that_of_a_loop_over_pixels_and_trees(
    place: ForestPlace, server: Emulator, tmp_path: Path, way: str, confidence: str
) -> None:
    place.deploy(server, way=way, confidence=confidence, asset=None if way == "inline" else f"{ASSET}_{way}")
    run = tmp_path / "run"
    result = succeeds(place.predict(run))
    expected = place.truth.expected(confidence)
    assert {1, 2, 3, 255} <= set(np.unique(expected[0]))  # there is something to compare
    np.testing.assert_array_equal(mapped(run), expected)
    assert not (run / "composites").exists()
    assert f"Map: {run / 'map' / 'crop_map.tif'}" in result.stdout
    assert "are the same on Earth Engine and here" in result.stderr


def test_the_same_forest_maps_the_same_composites_here(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    """`cropmap predict` with the forest: composites are fetched, trees vote on this machine."""
    words = place.words(tmp_path / "run", forest=None, model=place.model, workers=0)
    result = succeeds(run_cropmap("predict", *words))
    np.testing.assert_array_equal(mapped(tmp_path / "run"), place.truth.expected("votes"))
    assert "Forest forest.safetensors knows" in result.stderr
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept["model"]["kind"] == "local-forest"
    assert report(tmp_path / "run")["model"]["confidence"] == "share of the votes of 7 trees"
    assert report(tmp_path / "run")["command"].startswith("cropmap predict")
    again = succeeds(run_cropmap("predict", "--config", tmp_path / "run" / "run.toml"))
    assert "Continuing" in again.stderr
    refused(place.predict(tmp_path / "run"), "holds a run of something else")


def test_the_run_says_which_forest_made_it_and_how_its_confidence_was_made(
    place: ForestPlace, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference.product.quicklook, "draw_quicklook", DRAW)
    run, before = tmp_path / "run", len(list(server.log))
    succeeds(place.predict(run))
    kept = json.loads((run / "run.json").read_text())
    assert (run / "forest.safetensors").read_bytes() == place.model.read_bytes()
    assert kept["model"]["kind"] == "forest"
    assert kept["source"]["forest"] == {"way": "classifier", "confidence": "votes", "features": "median"}
    assert ASSET not in json.dumps(kept)
    told = report(run)
    assert told["model"]["name"] == "forest.safetensors"
    assert told["model"]["confidence"] == "share of the votes of 7 trees"
    assert told["command"] == f"cropmap forest predict --config {run / 'run.toml'}"
    asked = [r.kind for r in list(server.log)[before:] if r.kind in ("pixels", "value", "asset")]
    assert told["spent"]["requests"] == len(asked)
    assert any("are the same on Earth Engine and here" in text for text in told["notices"])
    item = json.loads((run / "map" / "item.json").read_text())
    assert item["properties"]["cropmap:confidence"] == "share of the votes of 7 trees"
    assert (run / "map" / "quicklook.png").is_file()
    state = json.loads(run_cropmap("status", run, "--json").stdout)
    assert (state["goal"], state["done"], state["planned"]) == ("map", CELLS, CELLS)


def test_without_a_confidence_the_map_has_none_and_says_so(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    place.deploy(server, way="inline", confidence="none")
    run = tmp_path / "run"
    succeeds(place.predict(run))  # the emulator's own vote gives ties to the smaller code as well
    np.testing.assert_array_equal(mapped(run), place.truth.expected("none"))
    assert report(run)["model"]["confidence"].startswith("none, the class is Earth Engine's own vote")


def test_the_same_command_finds_everything_done(place: ForestPlace, server: Emulator, tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeeds(place.predict(run))
    asked = len(classified(server))
    again = succeeds(run_cropmap("forest", "predict", "--config", run / "run.toml"))
    assert len(classified(server)) == asked
    assert "Continuing the run" in again.stderr


def test_cropland_of_the_servers_and_of_a_file_is_mapped_and_nothing_else(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    land = place.truth.scenes.land == 40
    succeeds(place.predict(tmp_path / "servers", FEW, cropland="worldcover"))
    expected = place.truth.expected(cropland=land)
    np.testing.assert_array_equal(mapped(tmp_path / "servers"), expected)
    assert len(classified(server)) == CELLS - 1  # the cell without cropland is not classified
    assert report(tmp_path / "servers")["certificate"]["skipped"] == 1

    mask = tmp_path / "mask.tif"
    with rasterio.open(
        mask, "w", driver="GTiff", dtype="uint8", count=1, height=land.shape[0], width=land.shape[1],
        crs=CRS, transform=Affine(10, 0, LEFT, 0, -10, TOP),
    ) as file:  # fmt: skip
        file.write(place.truth.scenes.land, 1)
    succeeds(place.predict(tmp_path / "file", FEW, cropland_mask=f"{mask}:40"))
    np.testing.assert_array_equal(mapped(tmp_path / "file"), expected)
    assert len(classified(server)) == 2 * (CELLS - 1)


def test_a_failed_cell_is_named_and_the_same_command_asks_for_it_alone(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    broken: list[tuple[float, float]] = []

    def refuse(request: LoggedRequest) -> Answer | None:
        if request.kind != "pixels":
            return None
        corner = request.body["grid"]["affineTransform"]
        broken[:] = broken or [(corner["translateX"], corner["translateY"])]
        here = (corner["translateX"], corner["translateY"]) == broken[0]
        return Answer.error(400, "Classifier could not be read.") if here else None

    server.rule = refuse
    result = refused(place.predict(run, FEW), "1 of 3 cells are missing", code=3)
    assert f"cropmap forest predict --config {run / 'run.toml'}" in result.stderr
    server.rule = None
    before = len(classified(server))
    succeeds(run_cropmap("forest", "predict", "--config", run / "run.toml"))
    assert classified(server)[before:] == broken
    np.testing.assert_array_equal(mapped(run), place.truth.expected())


def test_what_was_finished_before_an_interruption_is_kept(
    place: ForestPlace, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def stop(progress: Any) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    request = ForestRequest(
        place.area, 2021, out=run, cell_size=SIZE, project=PROJECT, forest=place.model, unverified=True,
        service_account=place.key,
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        inference.workflow.served_map.make_served_map(request, Listener(progress=stop))
    kept = {path.name: path.stat().st_mtime_ns for path in (run / "predictions").glob("*.tif")}
    assert len(kept) >= 2
    assert not (run / "map").exists()
    succeeds(run_cropmap("forest", "predict", "--config", run / "run.toml"))
    assert kept.items() <= {p.name: p.stat().st_mtime_ns for p in (run / "predictions").glob("*.tif")}.items()
    np.testing.assert_array_equal(mapped(run), place.truth.expected())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_command_that_is_killed_leaves_whole_cells_and_no_cell_is_asked_for_twice(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    server.rule = lambda request: Answer.slow(0.1) if request.kind == "pixels" else None
    words = [str(word) for word in place.words(run)]
    with subprocess.Popen([sys.executable, "-m", "cli.main", "forest", "predict", *words, FEW]) as process:
        while not list((run / "predictions").glob("*.tif")):
            time.sleep(0.005)
            assert process.poll() is None
        process.kill()
    server.rule = None
    kept = {path.name: path.stat().st_mtime_ns for path in (run / "predictions").glob("*.tif")}
    corners = {origin_of(run / "predictions" / name) for name in kept}
    before = len(classified(server))
    succeeds(run_cropmap("forest", "predict", "--config", run / "run.toml"))
    assert not corners & set(classified(server)[before:])
    assert kept.items() <= {p.name: p.stat().st_mtime_ns for p in (run / "predictions").glob("*.tif")}.items()
    assert not list(run.rglob("*.part"))
    np.testing.assert_array_equal(mapped(run), place.truth.expected())


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    before = server.eecu_seconds
    succeeds(place.predict(tmp_path / "whole", FEW))
    needed = (server.eecu_seconds - before) / 3600
    result = place.predict(run, FEW, max_eecu_hours=needed * 0.7)
    refused(result, "The run stopped within its budget", code=3)
    succeeds(run_cropmap("forest", "predict", "--config", run / "run.toml", "--max-eecu-hours", needed * 10))
    np.testing.assert_array_equal(mapped(run), mapped(tmp_path / "whole"))


# --- by batch tasks


@pytest.mark.parametrize("destination", [BUCKET, "drive:maps"])
def test_the_map_of_batch_tasks_is_that_of_a_loop_over_pixels_and_trees(
    place: ForestPlace, server: Emulator, tmp_path: Path, destination: str
) -> None:
    run = tmp_path / "run"
    first = succeeds(place.predict(run, "--no-wait", "--to", destination))
    look_again = f"cropmap forest predict --config {run / 'run.toml'} --to {destination}"
    assert f"Look again: {look_again}" in first.stdout
    early = run_cropmap("forest", "predict", "--config", run / "run.toml", "--collect")
    if destination == BUCKET:
        refused(early, "files are missing", code=3)
        assert look_again in early.stderr
    else:
        refused(early, "has no folder 'maps'")  # a task makes it
    assert "3 of 3 cells written" in succeeds(run_cropmap(*look_again.split()[1:])).stdout
    exports = [r for r in server.log.of("export") if "image:export" in r.path]
    assert len(exports) == 1
    asked = len(server.log.of("pixels"))
    collected = succeeds(run_cropmap(*look_again.split()[1:], "--collect"))
    assert f"Map: {run / 'map' / 'crop_map.tif'}" in collected.stdout
    np.testing.assert_array_equal(mapped(run), place.truth.expected())
    assert len(server.log.of("pixels")) == asked
    told = report(run)
    assert told["certificate"]["done"] == CELLS
    assert told["spent"]["eecu_hours"] > 0
    assert any("are the same on Earth Engine and here" in text for text in told["notices"])
    assert not (run / "composites").exists()
    found = mapped(run)[0]
    share = ((found > 0) & (found < 254)).sum() / ((found > 0) & (found != 254)).sum()
    words = (*look_again.split()[1:], "--collect", "--min-mapped")
    refused(run_cropmap(*words, share + 0.01), "--min-mapped asks for a class on", code=3)
    succeeds(run_cropmap(*words, share - 0.01))


def test_files_of_tasks_are_single_byte_predictions_on_the_grid_of_the_run(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    succeeds(place.predict(tmp_path / "run", FEW, "--to", BUCKET))
    names = server.storage.names("maps")
    assert len(names) == CELLS
    (tmp_path / "one.tif").write_bytes(server.storage.get("maps", names[0]))
    with rasterio.open(tmp_path / "one.tif") as file:
        assert file.descriptions == ("class", "confidence", "clear")
        assert set(file.dtypes) == {"uint8"}
        assert file.nodata is None
        assert file.shape == (SIZE, SIZE)


def test_a_damaged_file_is_exported_once_more(place: ForestPlace, server: Emulator, tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeeds(place.predict(run, FEW, "--to", BUCKET))
    name = server.storage.names("maps")[2]
    server.storage.put("maps", name, server.storage.get("maps", name)[:500])
    collect = ("forest", "predict", "--config", run / "run.toml", "--collect")
    refused(run_cropmap(*collect), "1 damaged", code=3)
    succeeds(run_cropmap(*collect[:-1]))
    succeeds(run_cropmap(*collect))
    np.testing.assert_array_equal(mapped(run), place.truth.expected())


def test_downloaded_files_need_no_access(
    place: ForestPlace, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, downloads = tmp_path / "run", tmp_path / "downloads"
    succeeds(place.predict(run, FEW, "--to", BUCKET))
    downloads.mkdir()
    for name in server.storage.names("maps"):
        (downloads / name.rpartition("/")[2]).write_bytes(server.storage.get("maps", name))
    before = len(list(server.log))
    words = ("forest", "predict", "--config", run / "run.toml", "--collect", "--downloads", downloads)
    succeeds(run_cropmap(*words))
    assert len(list(server.log)) == before
    np.testing.assert_array_equal(mapped(run), place.truth.expected())


# --- what is refused


def test_a_forest_that_is_not_deployed_is_refused(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    deployment_path(place.model).unlink()
    refused(place.predict(tmp_path / "run"), "Run 'cropmap forest deploy'")
    assert not (tmp_path / "run").exists()


def test_the_deployment_of_another_forest_is_refused(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    save_forest(place.model, model_of(grown_forest(seed=1), 3, recipe=RECIPE))
    refused(place.predict(tmp_path / "run"), "it was trained again since")
    assert not (tmp_path / "run").exists()


def test_a_missing_asset_is_refused_before_anything_is_written(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    path = deployment_path(place.model)
    values = json.loads(path.read_text().replace(ASSET, f"{ASSET}_gone"))
    path.write_text(json.dumps({key: value for key, value in values.items() if key != DIGEST_KEY}))
    refused(place.predict(tmp_path / "run"), f"there is no asset {ASSET}_gone")
    assert not (tmp_path / "run").exists()


def test_servers_that_classify_otherwise_are_refused_before_anything_is_written(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    place.deploy(server, asset=f"{ASSET}_other", overwrite=True)
    replace_asset(place, server, tmp_path, classes=3)
    result = refused(place.predict(tmp_path / "run"), "differ between Earth Engine and here")
    assert "row" in result.stderr
    assert not (tmp_path / "run").exists()


def test_an_asset_that_somebody_wrote_over_is_compared_again(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    place.deploy(server, asset=f"{ASSET}_other", overwrite=True)
    about = deployment_path(place.model).read_bytes()
    succeeds(place.predict(tmp_path / "run"))
    replace_asset(place, server, tmp_path, classes=3)
    assert deployment_path(place.model).read_bytes() == about
    refused(place.predict(tmp_path / "another"), "differ between Earth Engine and here")
    assert not (tmp_path / "another").exists()


def test_a_class_that_the_forest_does_not_know_fails_its_cells(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    place.deploy(server, asset=f"{ASSET}_other", confidence="none", overwrite=True)
    replace_asset(place, server, tmp_path, classes=5)
    refused(place.predict(tmp_path / "run", FEW), "which the run's model with 3 classes", code=2)
    assert not (tmp_path / "run" / "map").exists()


def test_an_unverified_map_says_so(place: ForestPlace, server: Emulator, tmp_path: Path) -> None:
    result = succeeds(place.predict(tmp_path / "run", FEW))
    assert "Warning: What the servers say was not compared" in result.stderr
    assert any("was not compared" in text for text in report(tmp_path / "run")["notices"])


def test_cells_mapped_unverified_stay_so_in_the_report(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeds(place.predict(run, FEW))
    for _ in range(2):  # the run remembers it
        later = succeeds(place.predict(run))
        assert "worked on with --unverified before" in later.stderr
        told = report(run)["notices"]
        assert any("are the same on Earth Engine and here" in text for text in told)
        assert any("compared with nothing" in text for text in told)


def test_a_folder_of_something_else_is_refused_before_cells_are_computed(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.odt").write_text("")
    refused(place.predict(tmp_path / "run"), "holds thesis.odt")
    assert not server.log.of("pixels")


def test_a_collection_from_a_wrong_place_makes_and_changes_no_run(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run, wrong = tmp_path / "run", "gcs://maps/other"
    refused(place.predict(run, "--collect", "--to", wrong), f"no file of this run in {wrong}, and no run in")
    assert not run.exists()
    succeeds(place.predict(run, FEW, "--to", BUCKET))
    kept = (run / "run.toml").read_bytes()
    refused(place.predict(run, "--collect", "--to", wrong), "3 files are missing", code=3)
    refused(place.predict(run, FEW, "--to", wrong), f"write to {BUCKET}, --to is {wrong} now")
    assert (run / "run.toml").read_bytes() == kept


def test_another_forest_does_not_go_on_with_the_run(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeds(place.predict(run, FEW))
    other = place.folder / "other.safetensors"
    save_forest(other, model_of(grown_forest(seed=1), 3, recipe=RECIPE))
    place.deploy(server, model=other, way="inline")
    result = refused(place.predict(run, FEW, forest=other), "holds a run of something else")
    assert "model:" in result.stderr
    assert "source forest:" in result.stderr


def test_without_a_project_the_way_out_is_told(place: ForestPlace, server: Emulator, tmp_path: Path) -> None:
    place.deploy(server, way="inline")
    values = json.loads(place.key.read_text())
    del values["project_id"]
    key = tmp_path / "key.json"
    key.write_text(json.dumps(values))
    result = place.predict(tmp_path / "run", project=None, service_account=key)
    refused(result, "--project")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--to", "maps"], "--to takes gcs://BUCKET/PREFIX"),
        (["--collect"], "Batch tasks need a place to write to"),
        (["--no-wait"], "--no-wait and --most-tasks go with --to alone"),
        (["--downloads", "."], "--downloads goes with --collect"),
        (["--to", BUCKET, "--max-eecu-hours", "3"], "--max-eecu-hours bounds what is fetched at once"),
        (["--cell-size", "100"], "16"),
        (["--cropland-mask", "nowhere.tif"], "nowhere.tif"),
    ],
)
def test_wrong_input_is_refused_and_nothing_written(
    place: ForestPlace, server: Emulator, tmp_path: Path, flags: list[str], words: str
) -> None:
    refused(place.predict(tmp_path / "run", *flags), words)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_a_network_is_no_forest(place: ForestPlace, server: Emulator, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model.safetensors")
    refused(place.predict(tmp_path / "run", forest=model), "not a forest")


def origin_of(path: Path) -> tuple[float, float]:
    with rasterio.open(path) as file:
        return file.transform.c, file.transform.f


def replace_asset(place: ForestPlace, server: Emulator, folder: Path, classes: int) -> None:
    """Somebody writes another forest over the asset of the deployment."""
    path = folder / "other.safetensors"
    save_forest(path, model_of(grown_forest(seed=1, classes=classes), classes, recipe=RECIPE))
    confidence = load_deployment(deployment_path(place.model)).confidence
    place.deploy(server, model=path, asset=f"{ASSET}_other", confidence=confidence, overwrite=True)
