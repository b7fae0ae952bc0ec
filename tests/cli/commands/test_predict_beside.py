"""What is said of a place while it is mapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gee_pipeline.errors import CorruptFileError
from inference.advice import beside
from inference.advice.beside import EarlyLook, unlike_of
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.predictor import Predictor
from inference.models.told.applicability import Applicability
from inference.run.execute import Progress
from inference.workflow.request import Listener, MapRequest
from tests.support.tiny_place import YEAR, Place, run_cropmap

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def knowing(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of the place with an area of applicability that few of its answers lie in."""
    square = tuple(map(tuple, np.eye(5).tolist()))
    path = tmp_path_factory.mktemp("knowing") / "model.safetensors"
    model = load_checkpoint(place.model)
    save_checkpoint(path, replace(model, applicability=Applicability(square, square, 1.0, 50)))
    return path


@pytest.fixture(scope="module")
def run(place: Place, knowing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known") / "run"
    assert place.predict(folder, model=knowing).exit_code == 0
    return folder


def test_the_share_is_that_of_the_stored_composites(
    run: Path, knowing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "PIXELS", 10**6)
    model, series = load_checkpoint(knowing), []
    for path in sorted((run / "composites").glob("*.tif")):
        with rasterio.open(run / "predictions" / path.name) as file:
            codes = file.read(1)
        with rasterio.open(path) as file:
            stored = file.read().reshape(len(model.recipe.window), 3, *codes.shape)
        mapped = (codes > 0) & (codes < 254)
        series.append(np.moveaxis(stored[:, :, mapped], 2, 0).transpose(0, 2, 1))
    said = Predictor(model, "cpu").probabilities(np.ascontiguousarray(np.concatenate(series)))
    assert model.applicability is not None
    assert unlike_of(run) == (model.applicability.layer(said) > 100).mean()


def test_a_model_that_does_not_tell_is_not_asked(finished: Path) -> None:
    assert unlike_of(finished) is None


def states(*done: int, planned: int = 16) -> list[Progress]:
    return [Progress(n, 0, planned, 0, 0.0, None) for n in done]


@pytest.mark.parametrize(
    ("seen", "warned"),
    [
        (states(0, 3, 4, 5, 16), 1),  # once, when four are done
        (states(0, 3), 0),
        (states(16), 0),  # a run that is finished is not looked at again
        (states(1, 2, 3, planned=4), 0),  # a small map is there as soon as the warning
    ],
)
def test_it_is_said_once_and_early(
    place: Place, run: Path, seen: list[Progress], warned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    passed: list[Progress] = []
    request = MapRequest(aoi=place.area, year=YEAR, source=str(place.catalog), out=run)
    listener = EarlyLook(request, Listener(said.append, passed.append)).listener
    for state in seen:
        assert listener.progress is not None
        listener.progress(state)
    assert passed == seen
    assert len(said) == warned
    assert all("Warning: " in text and "unlike what the model was trained on" in text for text in said)
    share = unlike_of(run)
    assert share is not None
    assert share > 0.2


def damaged(folder: Path) -> None:
    raise CorruptFileError(f"{folder} is damaged")


def test_a_place_alike_and_a_damaged_composite_are_passed_over(
    place: Place, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    request = MapRequest(aoi=place.area, year=YEAR, source=str(place.catalog), out=run)
    monkeypatch.setattr(beside, "INSIDE", 1.0)
    progress = EarlyLook(request, Listener(said.append)).listener.progress
    assert progress is not None
    progress(states(4)[0])
    monkeypatch.undo()
    monkeypatch.setattr(
        beside, "load_plan", lambda folder: (_ for _ in ()).throw(CorruptFileError("damaged"))
    )
    progress = EarlyLook(request, Listener(said.append)).listener.progress
    assert progress is not None
    progress(states(4)[0])
    assert said == []


def test_a_trial_of_the_same_is_repeated_and_another_is_not(
    place: Place, knowing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("--aoi", place.area, "--year", YEAR, "--source", place.catalog, "--workers", 0)
    assert run_cropmap("advise", *asked, "--model", knowing).exit_code == 0
    text = "The trial in area-2021-advice says: "
    told = run_cropmap("predict", *asked, "--model", knowing, "--out", tmp_path / "a")
    assert text in told.stderr
    assert "of the pixels are unlike the training samples. Do not rely on this model here" in told.stderr
    quiet = run_cropmap("predict", *asked, "--model", knowing, "--out", tmp_path / "a", "--quiet")
    assert text not in quiet.stderr
    other = run_cropmap("predict", *asked, "--model", "fast", "--out", tmp_path / "b")
    assert text not in other.stderr  # another network


def test_a_map_of_many_cells_is_warned_of_once_and_is_the_same(
    place: Place, knowing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "CELLS", 1)
    loud = place.predict(tmp_path / "loud", model=knowing, cell_size=32)
    assert loud.exit_code == 0, loud.stderr
    assert loud.stderr.count("of the pixels in the first cells are unlike") == 1
    quiet = place.predict(tmp_path / "quiet", "--quiet", model=knowing, cell_size=32)
    assert quiet.exit_code == 0
    assert "in the first cells" not in quiet.stderr
    for path in sorted((tmp_path / "loud" / "predictions").glob("*.tif")):
        with (
            rasterio.open(path) as one,
            rasterio.open(tmp_path / "quiet" / "predictions" / path.name) as other,
        ):
            np.testing.assert_array_equal(one.read(), other.read())
