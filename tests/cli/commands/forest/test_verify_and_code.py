"""`cropmap forest verify` compares cells with the servers; scripts of `cropmap forest code` map alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import Result
from rasterio.io import MemoryFile

from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.files import DIGEST_KEY
from inference.models.forest_model import Tree, load_forest, save_forest
from tests.support.ee_emulator.server import Emulator
from tests.support.forest_map_place import (
    ASSET,
    CRS,
    LEFT,
    PROJECT,
    SHAPE,
    SIZE,
    TOP,
    YEAR,
    ForestPlace,
    cleared,
    deployed,
    run_cropmap,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, ForestPlace]]:
    with deployed(tmp_path_factory.mktemp("forest")) as found:
        yield found


@pytest.fixture
def server(started: tuple[Emulator, ForestPlace], monkeypatch: pytest.MonkeyPatch) -> Emulator:
    emulator = cleared(started[0])
    monkeypatch.setenv(URL_VARIABLE, emulator.url)
    return emulator


@pytest.fixture
def place(started: tuple[Emulator, ForestPlace], server: Emulator, tmp_path: Path) -> ForestPlace:
    """The place with its deployment, to spoil."""
    shutil.copytree(started[1].folder, tmp_path / "place")
    return replace(started[1], folder=tmp_path / "place")


def call(place: ForestPlace, command: str, *words: Any, access: bool = True) -> Result:
    usual = ["--aoi", place.area, "--year", YEAR, "--forest", place.model, "--cell-size", SIZE]
    key = ["--project", PROJECT, "--service-account", place.key] if access else []
    return run_cropmap("forest", command, *usual, *key, *words)


def records(place: ForestPlace) -> list[dict[str, Any]]:
    found = json.loads((place.folder / "forest.verifications.json").read_text(encoding="utf-8"))
    return [{key: value for key, value in one.items() if key != DIGEST_KEY} for one in found]


def like(place: ForestPlace, left: float, top: float) -> Path:
    """A raster of ones that reaches over the scenes, to lie a map upon."""
    path = place.folder / "like.tif"
    shape = (SHAPE[0] + 3, SHAPE[1] + 2)
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "crs": CRS,
        "height": shape[0],
        "width": shape[1],
    }
    with rasterio.open(path, "w", transform=Affine(10, 0, left, 0, -10, top), **profile) as file:
        file.write(np.ones(shape, np.uint8), 1)
    return path


def changed_on_the_server(place: ForestPlace, server: Emulator) -> None:
    """Put other trees under the name of the deployed asset: class 1 where there was class 2."""
    asset = f"{ASSET}_changed"
    place.deploy(server, asset=asset, overwrite=True)
    model = load_forest(place.model)
    trees = tuple(
        Tree(tree.left, tree.right, tree.feature, tree.threshold, tree.share[:, [1, 0, 2]])
        for tree in model.trees
    )
    other = place.folder / "other.safetensors"
    save_forest(other, replace(model, trees=trees))
    place.deploy(server, model=other, asset=asset, overwrite=True)


def test_cells_that_are_the_same_pass_in_one_line_and_are_written_down(place: ForestPlace) -> None:
    result = call(place, "verify", "--cells", 2, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    assert "of 2 cells" in result.stdout
    assert "are the same on Earth Engine and here" in result.stdout
    (record,) = records(place)
    assert record["passed"] is True
    assert (record["pixels"], record["differing_pixels"], record["seed"]) == (2 * SIZE**2, 0, 1)
    assert record["model"] == load_forest(place.model).digest


def test_as_json_it_tells_all_it_found(place: ForestPlace) -> None:
    result = call(place, "verify", "--cells", 1, "--seed", 4, "--json", "--quiet")
    found = json.loads(result.stdout)
    assert found == records(place)[0]
    assert (found["seed"], len(found["cells"]), found["share"]) == (4, 1, 0.0)


def test_a_difference_ends_with_two_and_names_pixels(place: ForestPlace, server: Emulator) -> None:
    changed_on_the_server(place, server)
    result = call(place, "verify", "--cells", 1, "--json", "--quiet")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["passed"] is False
    assert found["differing_pixels"] >= found["differing"]["class"] > 100
    assert found["differing"]["clear"] == 0
    for pixel in found["examples"]:
        assert pixel["here"] != pixel["servers"]
        assert f"row {pixel['row']} column {pixel['col']}" in result.stderr
    assert [record["passed"] for record in records(place)] == [False]


def test_layers_are_compared_and_a_map_of_them_asks_for_no_second_comparison(place: ForestPlace) -> None:
    result = call(place, "verify", "--cells", 1, "--layers", "margin,second", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["layers"] == ["second", "margin"]
    assert list(found["differing"]) == ["class", "confidence", "clear", "second", "margin"]
    run = place.folder / "run"
    assert call(place, "predict", "--layers", "margin", "--out", run, "--quiet").exit_code == 0
    assert records(place) == [found]


def test_cells_on_the_pixels_of_another_raster_are_compared(place: ForestPlace) -> None:
    raster = like(place, LEFT - 4, TOP + 7)
    result = call(place, "verify", "--cells", 2, "--like", raster, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "are the same on Earth Engine and here" in result.stdout


def test_a_forest_that_is_not_deployed_cannot_be_verified(place: ForestPlace) -> None:
    (place.folder / "forest.deployment.json").unlink()
    result = call(place, "verify")
    assert result.exit_code == 2
    assert "cropmap forest deploy" in result.stderr


# ---- code ----


def test_a_python_script_maps_the_area_without_cropmap(
    place: ForestPlace, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written by the command, run as it stands, and its files hold the map of a loop over pixels."""
    path = place.folder / "map.py"
    result = call(place, "code", "--language", "python", "--out", path, "--project", PROJECT, access=False)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"Script: {path}\n"
    assert not list(server.log)  # nothing was sent
    run_script(path, place, server, monkeypatch)
    np.testing.assert_array_equal(exported(server), place.truth.expected())


def test_a_script_maps_on_the_pixels_of_another_raster(
    place: ForestPlace, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, raster = place.folder / "map.py", like(place, LEFT - 20, TOP + 10)
    result = call(
        place,
        "code",
        "--language",
        "python",
        "--out",
        path,
        "--like",
        raster,
        "--project",
        PROJECT,
        access=False,
    )
    assert result.exit_code == 0, result.stderr
    run_script(path, place, server, monkeypatch)
    rows, cols = SHAPE
    with written_file(server) as file:
        assert (file.transform.c, file.transform.f) == (LEFT - 20, TOP + 10)
        np.testing.assert_array_equal(file.read()[:, 1 : 1 + rows, 2 : 2 + cols], place.truth.expected())


def run_script(path: Path, place: ForestPlace, server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script as it stands, against the emulator, until its tasks have ended."""

    def initialize(project: str) -> None:
        key = ee.ServiceAccountCredentials(None, str(place.key))
        real(key, url=server.url, project=project)

    real = ee.Initialize
    monkeypatch.setattr(ee, "Initialize", initialize)
    script = {"__name__": "__main__"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), script)
    server.advance(3)


@contextmanager
def written_file(server: Emulator) -> Iterator[rasterio.DatasetReader]:
    """The one file in the folder of Drive."""
    (written,) = server.drive.listing({"q": "mimeType = 'image/tiff'"})["files"]
    with MemoryFile(server.drive.get(written["id"]).data) as memory, memory.open() as file:
        yield file


def exported(server: Emulator) -> Any:
    """The bands `(3, y, x)` of the file in the folder of Drive, which lies on the pixels of the scenes."""
    assert server.drive.names("cropmap") == ["region_2021_r0000_c0000_1x3.tif"]
    with written_file(server) as file:
        assert file.descriptions == ("class", "confidence", "clear")
        assert (file.transform.c, file.transform.f, file.shape) == (LEFT, TOP, SHAPE)
        return file.read()


def test_a_script_for_the_code_editor_comes_on_standard_output(place: ForestPlace) -> None:
    options = ("--language", "javascript", "--name", "county", "--folder", "maps", "--cropland", "worldcover")
    result = call(place, "code", *options, "--quiet", access=False)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("// Crop map county, 2021")
    assert result.stderr == ""
    for line in ('var NAME = "county";', 'var FOLDER = "maps";', f'var ASSETS = ["{ASSET}"];'):
        assert line in result.stdout
    assert "ESA/WorldCover" in result.stdout


def test_a_language_must_be_named(place: ForestPlace) -> None:
    result = call(place, "code", access=False)
    assert result.exit_code == 2
    assert "--language" in result.stderr
