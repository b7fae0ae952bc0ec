"""`cropmap code`: scripts that run a small network without cropmap, and what they cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas
import numpy as np
import pytest
from affine import Affine
from click.testing import Result
from odc.geo.geobox import GeoBox

from gee_pipeline.files import write_sealed
from inference.deployment.network_deployment import NetworkDeployment
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.forest_model import save_forest
from inference.models.networks.specification import NetworkConfig, build_network
from inference.scripts import map_script
from tests.support.ee_asking import offline_client
from tests.support.forest_map_place import (
    BANDS,
    BINS,
    CLASSES,
    CRS,
    LEFT,
    RECIPE,
    SHAPE,
    SIZE,
    TOP,
    YEAR,
    Scenes,
    Truth,
    grown_forest,
    run_cropmap,
)
from tests.support.made_forests import model_of
from tests.support.made_networks import made_network
from tests.support.network_oracle import logits_of, probabilities
from tests.support.running_scripts import drawn

pytestmark = pytest.mark.slow

TRUTH = Truth(Scenes(), grown_forest())
WEIGHTS = "projects/crop-maps/assets/weights"
SPARSE = (slice(None, None, 5), slice(None, None, 3))
"""The pixels that are worked out in loops."""


@pytest.fixture(autouse=True)
def client() -> Iterator[None]:
    with offline_client():  # nothing can be sent
        yield


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an area and a network."""
    area = geopandas.GeoDataFrame(geometry=[TRUTH.polygon], crs=CRS)
    area.to_file(tmp_path / "region.gpkg")
    save_checkpoint(tmp_path / "small.safetensors", made_network(RECIPE, (4, 3), (2, 1), seed=1))
    return tmp_path


def code(place: Path, *flags: Any, model: Any = None) -> Result:
    area = ("--aoi", place / "region.gpkg", "--year", YEAR, "--cell-size", SIZE)
    return run_cropmap("code", *area, "--model", model or place / "small.safetensors", *flags)


def succeeds(result: Result) -> Result:
    assert result.exit_code == 0, result.stderr
    return result


def test_a_python_script_maps_the_area_without_cropmap(place: Path) -> None:
    """What it computes are, at every third column of every fifth row, the answers of loops over layers."""
    path = place / "map.py"
    result = succeeds(code(place, "--language", "python", "--out", path, "--project", "crop-maps"))
    assert result.stdout == f"Script: {path}\n"
    script = script_of(path)
    (tile,) = script.TILES
    assert (tile["left"], tile["top"], tile["height"], tile["width"]) == (LEFT, TOP, *SHAPE)
    geobox = GeoBox(SHAPE, Affine(10, 0, LEFT, 0, -10, TOP), CRS)
    bands = drawn(script.map_of(tile), TRUTH.scenes.archive(), geobox)
    found = np.stack([band.data[SPARSE] for band in bands.values()])
    expected = looped(place / "small.safetensors")[:, *SPARSE]
    assert {0, 1, 2, 3, 255} <= set(np.unique(expected[0]))
    np.testing.assert_array_equal(found, expected)


def script_of(path: Path) -> Any:
    """The names that a script defines."""
    found = {"__name__": "script"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), found)
    return SimpleNamespace(**found)


def looped(model: Path) -> np.ndarray:
    """Class, confidence and clear observations of the grid; at the sparse pixels those of the network."""
    checkpoint, out = load_checkpoint(model), TRUTH.expected()
    wanted = np.zeros(SHAPE, bool)
    wanted[SPARSE] = True
    for y, x in np.argwhere(wanted & np.isin(out[0], (1, 2, 3))):
        bins = [[-9999 if v is None else v for v in values] for values in TRUTH.scenes.series(y, x)]
        shares = probabilities(checkpoint, logits_of(checkpoint, np.array(bins, np.int16).T))
        out[:2, y, x] = 1 + np.argmax(shares), np.floor(100 * max(shares) + 0.5)
    return out


def test_a_script_for_the_code_editor_comes_on_standard_output(place: Path) -> None:
    flags = ("--name", "county", "--folder", "maps", "--cropland", "worldcover", "--layers", "margin")
    result = succeeds(code(place, "--language", "javascript", "--quiet", *flags))
    assert result.stderr == ""
    assert result.stdout.startswith("// Crop map county, 2021: a small neural network")
    for line in ('var NAME = "county";', 'var FOLDER = "maps";', 'var LAYER_BANDS = ["margin"];'):
        assert line in result.stdout
    assert "ESA/WorldCover" in result.stdout


def test_deployed_weights_are_read_from_their_tables(place: Path) -> None:
    digest = load_checkpoint(place / "small.safetensors").digest
    write_sealed(place / "small.deployment.json", NetworkDeployment(digest, (WEIGHTS,)).to_dict())
    text = succeeds(code(place, "--language", "javascript")).stdout
    assert f'var ASSETS = ["{WEIGHTS}"];' in text
    assert f'var MODEL = "{digest}";' in text
    assert "WEIGHTS" not in text


def test_a_script_that_is_large_for_the_code_editor_is_said_to_be(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_script, "LARGE", 20_000)
    assert "cropmap deploy" in succeeds(code(place, "--language", "javascript")).stderr
    assert "cropmap deploy" not in succeeds(code(place, "--language", "python")).stderr


def transformer(path: Path) -> None:
    """The file of a network whose layers the servers do not know."""
    bare = made_network(RECIPE)
    config = NetworkConfig("transformer", len(BANDS), len(BINS), CLASSES)
    weights = dict(build_network(config, RECIPE, bare.normalisation).state_dict())
    save_checkpoint(path, replace(bare, config=config, weights=weights))


def forest(path: Path) -> None:
    """The file of a forest."""
    save_forest(path, model_of(grown_forest(), CLASSES, recipe=RECIPE))


@pytest.mark.parametrize(
    ("make", "flags", "said"),
    [
        (None, ("--model", "accurate"), "cropmap distill"),  # 128 channels
        (transformer, (), "cropmap distill"),
        (forest, (), "cropmap forest code"),
        (None, ("--layers", "sets"), "cropmap evaluate --calibrate"),  # its file has no limits of sets
        (None, ("--name", "north county"), "Give another --name"),
    ],
)
def test_what_the_servers_cannot_run_is_refused_before_anything_is_written(
    place: Path, make: Any, flags: tuple[str, ...], said: str
) -> None:
    if make is not None:
        make(place / "small.safetensors")
    result = code(place, "--language", "python", "--out", place / "map.py", *flags)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (place / "map.py").exists()


def test_a_script_is_not_written_over_its_model(place: Path) -> None:
    model = place / "small.safetensors"
    before = model.read_bytes()
    result = code(place, "--language", "python", "--out", model)
    assert result.exit_code == 2
    assert model.read_bytes() == before


@pytest.mark.parametrize("flags", [(), ("--language", "r")])
def test_a_language_must_be_one_of_two(place: Path, flags: tuple[str, ...]) -> None:
    result = code(place, *flags)
    assert result.exit_code == 2
    assert "--language" in result.stderr
