"""`cropmap advise` on the tiny place: a trial of squares, whose figures are those of its map."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gee_pipeline.files import read_json
from inference.models.applicability import Applicability
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from tests.support.tiny_place import YEAR, Place, run_cropmap

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def knowing(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    square = tuple(map(tuple, np.eye(5).tolist()))
    model = load_checkpoint(place.model)
    path = tmp_path_factory.mktemp("knowing") / "model.safetensors"
    save_checkpoint(path, replace(model, applicability=Applicability(square, square, 1.0, 50)))
    return path


def advised(place: Place, model: Path, out: Path, *more: object) -> str:
    asked = ("--aoi", place.area, "--year", YEAR, "--source", place.catalog, "--model", model)
    result = run_cropmap("advise", *asked, "--out", out, "--workers", 0, *more)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_the_figures_are_those_of_the_map_of_the_squares(place: Place, knowing: Path, tmp_path: Path) -> None:
    values = json.loads(advised(place, knowing, tmp_path, "--json"))
    with rasterio.open(tmp_path / "run" / "map" / "crop_map.tif") as file:
        codes = file.read(1)
    with rasterio.open(tmp_path / "run" / "map" / "applicability.tif") as file:
        unlike = file.read(1)
    with rasterio.open(tmp_path / "run" / "map" / "confidence.tif") as file:
        sure = file.read(1)
    mapped = (codes > 0) & (codes < 254)
    assert values["pixels"] == mapped.sum()
    assert values["outside"] == pytest.approx((unlike[mapped] > 100).mean())
    assert values["confidence"] == pytest.approx(sure[mapped].mean() / 100)
    assert [*values["classes"].values()] == [pytest.approx((codes[mapped] == k).mean()) for k in range(1, 6)]
    assert values["never"] == [name for name, share in values["classes"].items() if share == 0]
    own = next(one for one in values["shifts"] if one["days"] == 0)
    assert own["confidence"] == pytest.approx(
        values["confidence"], abs=0.02
    )  # of some of the pixels, unrounded
    assert values["expected"] is None
    assert read_json(tmp_path / "advice.json") == values


def test_it_says_what_to_do(place: Place, knowing: Path, tmp_path: Path) -> None:
    text = advised(place, knowing, tmp_path)
    assert "The scenes are simulated" in text
    assert "nobody tried this model on places as unlike as this" in text
    assert text.splitlines()[-1].startswith("Next: Do not rely on this model here")


def test_a_model_that_does_not_tell_is_tried_all_the_same(place: Place, tmp_path: Path) -> None:
    text = advised(place, place.model, tmp_path)
    assert "Unlike the training samples" not in text
    assert "does not tell how unlike" in text


def test_given_again_nothing_is_computed_again(place: Place, knowing: Path, tmp_path: Path) -> None:
    first = advised(place, knowing, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "predictions").iterdir()}
    assert advised(place, knowing, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "predictions").iterdir()} == before
