"""`cropmap forest predict --layers`: the servers' layers are, pixel by pixel, those of plain loops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import Result

import inference.product.quicklook
import inference.workflow.tasks
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.earthengine.prediction import class_scores
from tests.support.ee_emulator.server import Emulator
from tests.support.forest_map_place import (
    ASSET,
    CLASSES,
    CRS,
    LEFT,
    TOP,
    ForestPlace,
    cleared,
    deployed,
    mapped,
    mapped_layer,
    run_cropmap,
)

pytestmark = pytest.mark.slow

BUCKET = "gcs://maps/county"
ALL = "second,margin,entropy,probabilities"
NAMES = tuple(ALL.split(","))
FEW = "--unverified"


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


def require_layers(run: Path, place: ForestPlace, confidence: str = "votes") -> None:
    np.testing.assert_array_equal(mapped(run), place.truth.expected(confidence))
    for name, values in place.truth.expected_layers(confidence).items():
        np.testing.assert_array_equal(mapped_layer(run, name), values, err_msg=name)


@pytest.mark.parametrize("confidence", ["votes", "probability"])
def test_layers_of_the_servers_are_those_of_a_loop_over_pixels_and_trees(
    place: ForestPlace, server: Emulator, tmp_path: Path, confidence: str
) -> None:
    place.deploy(server, way="inline", confidence=confidence)
    result = succeeds(place.predict(tmp_path / "run", layers=ALL))
    require_layers(tmp_path / "run", place, confidence)
    assert "are the same on Earth Engine and here" in result.stderr
    (kept,) = json.loads((place.folder / "forest.verifications.json").read_text(encoding="utf-8"))
    assert kept["layers"] == list(NAMES)
    assert list(kept["differing"])[3:] == ["second", "margin", "entropy", *_of_classes("probability_")]
    assert not any(kept["differing"].values())


def test_the_same_forest_gives_the_same_layers_on_this_machine(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    words = place.words(tmp_path / "run", forest=None, model=place.model, workers=0, layers=ALL)
    succeeds(run_cropmap("predict", *words))
    require_layers(tmp_path / "run", place)


def test_pixels_that_are_not_cropland_have_no_layers(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    land = place.truth.scenes.land == 40
    succeeds(place.predict(tmp_path / "run", FEW, cropland="worldcover", layers="margin,second"))
    expected = place.truth.expected_layers(cropland=land)
    for name in ("second", "margin"):
        np.testing.assert_array_equal(mapped_layer(tmp_path / "run", name), expected[name])


def test_layers_differ_where_the_servers_compute_them_otherwise(
    place: ForestPlace, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison covers the layers: one that is computed wrongly is found before anything is mapped."""
    wrong = {**class_scores.COMPUTED, "margin": lambda scores: scores.best.multiply(0).add(50)}
    monkeypatch.setattr(class_scores, "COMPUTED", wrong)
    result = place.predict(tmp_path / "run", layers="margin")
    assert result.exit_code == 2
    assert "differ between Earth Engine and here" in result.stderr
    assert "margin" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_comparison_without_layers_does_not_do_for_a_map_with_some(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    compared = "cells are labelled on Earth Engine and here"
    assert compared in succeeds(place.predict(tmp_path / "plain")).stderr
    assert compared in succeeds(place.predict(tmp_path / "layers", layers="entropy")).stderr
    assert compared not in succeeds(place.predict(tmp_path / "again", layers="entropy")).stderr
    assert compared not in succeeds(place.predict(tmp_path / "fewer")).stderr


def test_a_finished_run_gets_layers_and_keeps_its_classes(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeds(place.predict(run, FEW))
    succeeds(place.predict(run, FEW, layers="second,probabilities"))
    np.testing.assert_array_equal(mapped(run), place.truth.expected())
    for name in ("second", "probabilities"):
        np.testing.assert_array_equal(mapped_layer(run, name), place.truth.expected_layers()[name])
    asked = len(server.log.of("pixels"))
    succeeds(run_cropmap("forest", "predict", "--config", run / "run.toml"))
    assert len(server.log.of("pixels")) == asked


def test_batch_tasks_write_the_layers_and_they_are_taken_in(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeds(place.predict(run, FEW, to=BUCKET, layers=ALL))
    name = server.storage.names("maps")[0]
    (tmp_path / "one.tif").write_bytes(server.storage.get("maps", name))
    with rasterio.open(tmp_path / "one.tif") as file:
        assert file.descriptions[3:] == ("second", "margin", "entropy", *_of_classes("probability_"))
    succeeds(run_cropmap("forest", "predict", "--config", run / "run.toml", "--collect"))
    require_layers(run, place)


def test_tasks_of_a_finished_run_are_started_again_for_its_layers(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", ("forest", "predict", "--config", tmp_path / "run" / "run.toml")
    succeeds(place.predict(run, FEW, to=BUCKET))
    succeeds(run_cropmap(*config, "--collect"))
    spent = json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))["spent"]["eecu_hours"]
    succeeds(run_cropmap(*config, "--layers", ALL))
    assert len(server.storage.names("maps")) == 6  # those without layers stay where they are
    succeeds(run_cropmap(*config, "--collect"))
    require_layers(run, place)
    report = json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))
    assert report["spent"]["eecu_hours"] > spent  # what former tasks took still counts


@pytest.mark.parametrize("to", [None, BUCKET])
def test_the_map_lies_on_the_pixels_of_another_raster(
    place: ForestPlace, server: Emulator, tmp_path: Path, to: str | None
) -> None:
    """Its corner lies within the area, and its size is no multiple of a cell."""
    raster, shape, right, down = tmp_path / "like.tif", (27, 70), 5, 3
    transform = Affine(10, 0, LEFT + 10 * right, 0, -10, TOP - 10 * down)
    with rasterio.open(
        raster, "w", driver="GTiff", dtype="uint8", count=1, height=shape[0], width=shape[1], crs=CRS,
        transform=transform,
    ) as file:  # fmt: skip
        file.write(np.ones(shape, np.uint8), 1)
    run = tmp_path / "run"
    succeeds(place.predict(run, FEW, like=raster, layers="second", to=to))
    if to:
        succeeds(run_cropmap("forest", "predict", "--config", run / "run.toml", "--collect"))
    wanted = [place.truth.expected()[:1], place.truth.expected_layers()["second"]]
    for name, values in zip(("crop_map", "second"), wanted, strict=True):
        with rasterio.open(run / "map" / f"{name}.tif") as file:
            assert (file.transform, file.shape) == (transform, shape)
            np.testing.assert_array_equal(
                file.read(), values[:, down : down + shape[0], right : right + shape[1]]
            )


@pytest.mark.parametrize("to", [None, BUCKET])
def test_without_a_confidence_layers_are_refused_by_name(
    place: ForestPlace, server: Emulator, tmp_path: Path, to: str | None
) -> None:
    place.deploy(server, way="inline", confidence="none")
    result = place.predict(tmp_path / "run", layers="margin,second", to=to)
    assert result.exit_code == 2
    assert "--layers second,margin" in result.stderr
    assert "--confidence none" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_layer_that_the_model_never_gives_fails_its_cells(
    place: ForestPlace, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {**class_scores.COMPUTED, "second": lambda scores: scores.code.add(CLASSES)}
    monkeypatch.setattr(class_scores, "COMPUTED", wrong)
    result = place.predict(tmp_path / "run", FEW, layers="second")
    assert result.exit_code == 2
    assert "Earth Engine gave the second" in result.stderr


def test_layers_of_another_classification_are_not_put_beside_the_classes(
    place: ForestPlace, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    succeeds(place.predict(run, FEW))
    place.deploy(server, asset=f"{ASSET}_other")
    percent = class_scores.percent
    monkeypatch.setattr(class_scores, "percent", lambda part, whole: percent(part, whole).subtract(1))
    result = place.predict(run, FEW, layers="margin")
    assert result.exit_code == 2
    assert "what these were made of has changed" in result.stderr


def _of_classes(text: str) -> list[str]:
    return [f"{text}{code}" for code in range(1, CLASSES + 1)]
