"""`cropmap advise` on the tiny place: a trial of squares, whose figures are those of its map."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gee_pipeline.files import read_json
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.predictor import Predictor
from inference.models.told.applicability import Applicability
from inference.models.told.class_curves import ClassCurves
from inference.run.plan import load_plan
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


def test_a_moved_window_is_that_of_longer_composites_and_no_class_is_another(
    place: Place, finished: Path, knowing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.advice.trial.SERIES", 10**6)
    values = json.loads(advised(place, knowing, tmp_path, "--json"))
    plan, model = load_plan(tmp_path / "run"), load_checkpoint(knowing)
    window = plan.recipe.window
    assert plan.bins == range(window.start - 4, window.stop + 4)
    series, codes = [], []
    for cell in plan.grid.cells(plan.cells):
        with rasterio.open(tmp_path / "run" / "predictions" / f"{cell.name}.tif") as file:
            mapped = (file.read(1) > 0) & (file.read(1) < 254)
            codes.append(file.read(1)[mapped])
        with rasterio.open(tmp_path / "run" / "composites" / f"{cell.name}.tif") as file:
            stored = file.read().reshape(len(plan.bins), 3, *mapped.shape)
        series.append(np.moveaxis(stored[:, :, mapped], 2, 0).transpose(0, 2, 1))
    pixels, predictor = np.concatenate(series), Predictor(model, "cpu")
    for shift in values["shifts"]:
        at = 4 + shift["days"] // 5
        moved = np.ascontiguousarray(pixels[:, :, at : at + len(window)])
        said = predictor.probabilities(moved[(moved[:, 0] != -9999).any(axis=1)])
        assert shift["confidence"] == pytest.approx(said.max(axis=1).mean(), abs=1e-5)
    with rasterio.open(finished / "map" / "crop_map.tif") as file:
        whole = file.read(1)
    there = whole[(whole > 0) & (whole < 254)]
    assert np.bincount(np.concatenate(codes)).tolist() == np.bincount(there).tolist()


def test_classes_are_compared_with_the_training_samples_in_words_and_a_picture(
    place: Place, knowing: Path, tmp_path: Path
) -> None:
    model = load_checkpoint(knowing)
    bins = len(model.recipe.window)
    curves = ClassCurves((((0.0,) * bins,) * 3,) * 5)
    path = tmp_path / "curved.safetensors"
    save_checkpoint(path, replace(model, curves=curves))
    text = advised(place, path, tmp_path / "trial")
    values = read_json(tmp_path / "trial" / "advice.json")
    assert values["growth"]
    for one in values["growth"]:  # all that is green is otherwise than what never was
        assert one["difference"] == pytest.approx(np.abs(one["quartiles"][1]).mean(), abs=1e-3)
        assert f"{one['name']} {one['difference']:.2f}" in text
    assert (tmp_path / "trial" / "curves.png").is_file()
    assert "NDVI" not in advised(place, knowing, tmp_path / "without")
    assert not (tmp_path / "without" / "curves.png").exists()
