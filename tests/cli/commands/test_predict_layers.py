"""`cropmap predict --layers`: more rasters of the same map, at once or later, and nothing else changes."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate

import inference.run.cell_worker
from gee_pipeline.stac.composites.source import StacSource
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.predictor import Predictor
from inference.models.series import model_input
from inference.models.told.applicability import Applicability
from inference.models.told.prediction_sets import PredictionSets
from tests.support.tiny_place import CROPS, FILES, Place, files, report, times

pytestmark = pytest.mark.slow

ALL = "second,margin,entropy,probabilities"
RASTERS = ("second", "margin", "entropy", "probabilities")
MORE = {f"map/{name}.{kind}" for name in RASTERS for kind in ("tif", "qml")} | {"map/second.tif.aux.xml"}


@pytest.fixture(scope="module")
def layered(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map with all layers from the start."""
    run = tmp_path_factory.mktemp("layered") / "run"
    result = place.predict(run, layers=ALL)
    assert result.exit_code == 0, result.stderr
    return run


def raster(run: Path, name: str) -> NDArray[np.uint8]:
    with rasterio.open(run / "map" / f"{name}.tif") as file:
        return file.read()


def cells(run: Path) -> dict[str, NDArray[np.uint8]]:
    found = {}
    for path in sorted((run / "predictions").glob("*.tif")):
        with rasterio.open(path) as file:
            found[path.stem] = file.read()
    return found


def test_class_confidence_and_observations_are_those_of_a_map_without_layers(
    finished: Path, layered: Path
) -> None:
    for name in ("crop_map", "confidence", "clear_observations"):
        np.testing.assert_array_equal(raster(layered, name), raster(finished, name))
    for name, bands in cells(finished).items():
        np.testing.assert_array_equal(cells(layered)[name][:3], bands)
    assert files(layered) == FILES | MORE


def test_layers_are_those_of_the_softmax_of_the_stored_composites(place: Place, layered: Path) -> None:
    """The network in 64 bits on each pixel's own series: within the rounding of a percent."""
    checkpoint = load_checkpoint(place.model)
    network, window = checkpoint.build().double(), checkpoint.recipe.window
    compared = 0
    for name, bands in cells(layered).items():
        with rasterio.open(layered / "composites" / f"{name}.tif") as file:
            stored = file.read().reshape(len(window), 3, *file.shape)
        mapped = (bands[0] > 0) & (bands[0] < 254)
        if not mapped.any():
            continue
        series = np.moveaxis(stored[:, :, mapped], 2, 0).transpose(0, 2, 1)
        given = model_input(np.ascontiguousarray(series), checkpoint.normalisation, checkpoint.recipe)
        x = torch.from_numpy(given).double()
        with torch.no_grad():
            logits = network(x) / checkpoint.temperature
        shares = logits.softmax(dim=1).numpy()
        second, margin, entropy, *percents = bands[3:, mapped]
        ranked = np.sort(shares, axis=1)
        clear_cut = ranked[:, -2] - ranked[:, -3] > 1e-5
        np.testing.assert_array_equal(second[clear_cut], 1 + np.argsort(shares, axis=1)[clear_cut, -2])
        np.testing.assert_allclose(margin, 100 * (ranked[:, -1] - ranked[:, -2]), atol=0.51)
        np.testing.assert_allclose(np.stack(percents, 1), 100 * shares, atol=0.51)
        nats = -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1)
        np.testing.assert_allclose(entropy, 100 * nats / np.log(5), atol=0.51)
        assert (bands[3:, ~mapped] == 255).all()
        compared += mapped.sum()
    assert compared > 1_000


@pytest.mark.parametrize("name", RASTERS)
def test_each_layer_is_a_cog_on_the_pixels_of_the_map(layered: Path, name: str) -> None:
    path = layered / "map" / f"{name}.tif"
    assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as file, rasterio.open(layered / "map" / "crop_map.tif") as crops:
        assert (file.transform, file.shape, file.crs) == (crops.transform, crops.shape, crops.crs)
        assert set(file.dtypes) == {"uint8"}
        assert file.nodata == 255
        assert file.count == (5 if name == "probabilities" else 1)
        values, codes = file.read(), crops.read(1)
    mapped = (codes > 0) & (codes < 254)
    assert (values[:, ~mapped] == 255).all()
    assert (values[:, mapped] <= (5 if name == "second" else 100)).all()


def test_bands_of_probabilities_have_the_names_of_the_classes_and_sum_to_one(layered: Path) -> None:
    with rasterio.open(layered / "map" / "probabilities.tif") as file:
        assert file.descriptions == CROPS
        total = file.read().astype(int).sum(axis=0)
    mapped = raster(layered, "margin")[0] < 255
    assert (abs(total[mapped] - 100) <= 2).all()  # five roundings
    confidence, codes = raster(layered, "confidence")[0], raster(layered, "crop_map")[0]
    percents = raster(layered, "probabilities")
    for y, x in np.argwhere(mapped):
        assert percents[codes[y, x] - 1, y, x] == confidence[y, x] == percents[:, y, x].max()


def test_the_second_class_is_coloured_and_named_like_the_map(layered: Path) -> None:
    with rasterio.open(layered / "map" / "crop_map.tif") as crops:
        colours, names = crops.colormap(1), crops.tags()
    with rasterio.open(layered / "map" / "second.tif") as second:
        for code in range(1, 6):
            assert second.colormap(1)[code] == colours[code]
            assert second.tags()[f"CLASS_{code}"] == names[f"CLASS_{code}"]
        assert second.tags()["CLASS_255"] == "none"
        assert "CLASS_0" not in second.tags()
    codes, second_codes = raster(layered, "crop_map")[0], raster(layered, "second")[0]
    mapped = (codes > 0) & (codes < 254)
    assert (codes[mapped] != second_codes[mapped]).all()
    assert (layered / "map" / "second.qml").read_text(encoding="utf-8").count("paletteEntry") == 5


def test_the_stac_item_and_the_report_name_the_layers(layered: Path) -> None:
    item = pystac.Item.from_file(str(layered / "map" / "item.json"))
    assert set(RASTERS) < set(item.assets)
    percents = item.assets["probabilities"].extra_fields["raster:bands"]
    assert [band["name"] for band in percents] == list(CROPS)
    values = raster(layered, "margin")
    margin = item.assets["margin"].extra_fields["raster:bands"][0]
    assert margin["unit"] == "percentage points"
    assert margin["statistics"]["mean"] == pytest.approx(values[values < 255].mean())
    second = item.assets["second"].extra_fields["classification:classes"]
    assert [(c["value"], c["title"]) for c in second] == [(255, "none"), *enumerate(CROPS, 1)]
    assert [layer["name"] for layer in report(layered)["layers"]] == list(RASTERS)


def test_a_map_without_layers_says_nothing_of_them(finished: Path) -> None:
    assert "layers" not in report(finished)
    assert "layers" not in json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert "layers" not in tomllib.loads((finished / "run.toml").read_text(encoding="utf-8"))


# --- later, on a finished run


@pytest.fixture
def later(finished: Path, tmp_path: Path) -> Path:
    """A finished run without layers, to continue with."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def no_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> Any:
        raise AssertionError("a scene is read, though its composite is there")

    monkeypatch.setattr(StacSource, "read_cell", refuse)


@pytest.mark.usefixtures("no_scenes")
def test_a_finished_run_gets_layers_from_its_composites_alone(
    place: Place, later: Path, layered: Path
) -> None:
    before = cells(later)
    assert place.predict(later, layers="entropy,second").exit_code == 0
    for name in ("second", "entropy"):
        np.testing.assert_array_equal(raster(later, name), raster(layered, name))
    for name, bands in cells(later).items():
        np.testing.assert_array_equal(bands[:3], before[name])
    assert not (later / "map" / "margin.tif").exists()
    assert place.predict(later, layers="probabilities").exit_code == 0  # more of them, still without scenes
    for name in ("second", "entropy", "probabilities"):
        np.testing.assert_array_equal(raster(later, name), raster(layered, name))


@pytest.mark.usefixtures("no_scenes")
def test_killed_between_two_cells_the_same_command_goes_on(
    place: Place, later: Path, layered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = inference.run.cell_worker.write_prediction, iter(range(2))

    def interrupted(*given: Any, **options: Any) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        write(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(inference.run.cell_worker, "write_prediction", interrupted)
        assert place.predict(later, layers=ALL).exit_code == 130
    done = [name for name, bands in cells(later).items() if len(bands) > 3]
    assert len(done) == 2
    stamps = times(later)
    assert place.predict(later, layers=ALL).exit_code == 0
    assert {n: times(later)[n] for n in stamps if Path(n).stem in done} == {
        n: stamp for n, stamp in stamps.items() if Path(n).stem in done
    }
    for name in (*RASTERS, "crop_map", "confidence"):
        np.testing.assert_array_equal(raster(later, name), raster(layered, name))


@pytest.mark.usefixtures("no_scenes")
def test_a_layer_that_the_map_has_stays_without_being_asked_for_again(place: Place, layered: Path) -> None:
    stamps = times(layered)
    assert place.predict(layered).exit_code == 0
    assert times(layered) == stamps
    assert files(layered) == FILES | MORE
    assert tomllib.loads((layered / "run.toml").read_text(encoding="utf-8"))["layers"] == list(RASTERS)


def test_a_damaged_layer_is_found_and_computed_again(place: Place, layered: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(layered, run)
    path = next((run / "predictions").glob("*.tif"))
    with rasterio.open(path, "r+") as file:
        values = file.read(7)
        file.write(np.where(values == 255, 255, values ^ 1).astype(np.uint8), 7)
        values = file.read(7)
    assert place.predict(run).exit_code == 0
    np.testing.assert_array_equal(raster(run, "probabilities"), raster(layered, "probabilities"))
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(), cells(layered)[path.stem])


def test_layers_are_not_put_beside_classes_of_other_composites(
    place: Place, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observations that the stored composite does not have: the classes were made of something else."""
    name = max(cells(later), key=lambda key: int(((cells(later)[key][0] % 254) > 0).sum()))
    path = later / "predictions" / f"{name}.tif"
    with rasterio.open(path) as file:
        bands, tags = file.read(), file.tags()
    from gee_pipeline.grid import Cell
    from inference.run.plan import load_plan
    from inference.run.prediction import RUN_TAG, write_prediction

    plan = load_plan(later)
    cell: Cell = next(c for c in plan.grid.cells(plan.cells) if c.name == name)
    bands[2][bands[0] < 254] += 1
    write_prediction(path, bands, cell, tags[RUN_TAG])
    result = place.predict(later, layers="margin")
    assert result.exit_code == 2
    assert "what these were made of has changed" in result.stderr


@pytest.mark.parametrize(
    ("layers", "words"),
    [("ndvi", "second, margin, entropy, probabilities"), ("margin,,second", "single commas")],
)
def test_an_unknown_layer_is_refused_before_anything_is_written(
    place: Place, tmp_path: Path, layers: str, words: str
) -> None:
    result = place.predict(tmp_path / "run", layers=layers)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def knowing(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the place with an area of applicability that some of its answers lie in."""
    model = load_checkpoint(place.model)
    series = np.random.default_rng(1).integers(0, 4_000, (200, 3, len(model.recipe.window)))
    said = Predictor(model, "cpu").probabilities(series.astype(np.int16))
    square = tuple(map(tuple, np.eye(5).tolist()))
    known = Applicability(square, square, 1.0, 50)
    limit = float(np.median(known.dissimilarity(said)))
    checkpoint = replace(model, applicability=replace(known, limit=limit))
    path = tmp_path_factory.mktemp("knowing") / "model.safetensors"
    save_checkpoint(path, checkpoint)
    return path


def test_how_unlike_the_training_samples_pixels_are_is_that_of_their_probabilities(
    place: Place, knowing: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = place.predict(run, model=knowing, layers="probabilities,applicability")
    assert result.exit_code == 0, result.stderr
    shares = np.moveaxis(raster(run, "probabilities"), 0, -1) / 100.0
    layer, codes = raster(run, "applicability")[0], raster(run, "crop_map")[0]
    mapped = (codes > 0) & (codes < 254)
    np.testing.assert_array_equal(layer == 255, ~mapped)
    known = load_checkpoint(knowing).applicability
    assert known is not None
    rounded = known.layer(shares[mapped])  # of whole percents: near, not equal
    assert np.abs(rounded.astype(int) - layer[mapped]).mean() < 5
    outside = float((layer[mapped] > 100).mean())
    assert 0 < outside < 1
    assert report(run)["outside_applicability"] == outside
    assert f"Unlike what the model was trained on: {outside:.1%}" in result.stdout


def test_a_finished_run_of_a_model_that_knows_gets_it_later(
    place: Place, knowing: Path, tmp_path: Path
) -> None:
    at_once, later = tmp_path / "at_once", tmp_path / "later"
    assert place.predict(at_once, model=knowing, layers="applicability").exit_code == 0
    assert place.predict(later, model=knowing).exit_code == 0
    assert place.predict(later, model=knowing, layers="applicability").exit_code == 0
    np.testing.assert_array_equal(raster(later, "applicability"), raster(at_once, "applicability"))


def test_a_model_that_does_not_know_is_named(place: Place, tmp_path: Path) -> None:
    for layer, words in (
        ("applicability", "does not say what its"),
        ("sets", "'cropmap evaluate --calibrate'"),
    ):
        refused = place.predict(tmp_path / "new", layers=layer)
        assert refused.exit_code == 2
        assert f"{place.model} does not say" in refused.stderr
        assert words in refused.stderr
        assert not (tmp_path / "new").exists()


def calibrated(model: Path, path: Path, limits: tuple[float, ...]) -> Path:
    """The same network with limits of prediction sets."""
    sets = PredictionSets(0.9, limits, (20,) * 5, "labels of the place")
    save_checkpoint(path, replace(load_checkpoint(model), prediction_sets=sets))
    return path


LIMITS = (0.5, 0.975, 0.9, 0.4, 0.85)
"""Limits by which some sets of the doubting network are empty, some of one class and some of several."""


@pytest.fixture(scope="module")
def doubting(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of the place, less sure of itself."""
    path = tmp_path_factory.mktemp("doubting") / "model.safetensors"
    save_checkpoint(path, replace(load_checkpoint(place.model), temperature=30.0))
    return path


def test_a_finished_run_gets_sets_when_its_network_was_calibrated_since(
    place: Place, doubting: Path, tmp_path: Path
) -> None:
    """No scene is read again; sizes and members are those of the stored composites' probabilities."""
    at_once, later = tmp_path / "at_once", tmp_path / "later"
    model = calibrated(doubting, tmp_path / "calibrated.safetensors", LIMITS)
    assert place.predict(later, model=doubting, layers="margin").exit_code == 0
    before = times(later / "composites")
    result = place.predict(later, model=model, layers="sets,members")
    assert result.exit_code == 0, result.stderr
    assert times(later / "composites") == before
    assert place.predict(at_once, model=model, layers="sets,members,margin").exit_code == 0
    members, sizes, codes = (raster(later, name) for name in ("members", "sets", "crop_map"))
    mapped = (codes[0] > 0) & (codes[0] < 254)
    np.testing.assert_array_equal(sizes[0][mapped], members[:, mapped].sum(axis=0))
    assert (members[:, ~mapped] == 255).all()
    assert (sizes[0][~mapped] == 255).all()
    for name in ("members", "sets", "margin"):
        np.testing.assert_array_equal(raster(later, name), raster(at_once, name))
    shares = np.bincount(sizes[0][mapped], minlength=6) / mapped.sum()
    assert (shares[:3] > 0).all()  # else these limits try nothing
    told = report(later)["prediction_sets"]
    assert told.pop("sizes") == pytest.approx(shares.tolist())
    assert told == {
        "coverage": 0.9,
        "limits": list(LIMITS),
        "samples": [20] * 5,
        "source": "labels of the place",
    }
    assert (
        f"Prediction sets: one class on {shares[1]:.1%}, several on {shares[2:].sum():.1%}" in result.stdout
    )


def test_members_are_those_of_the_probabilities(place: Place, doubting: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = calibrated(doubting, tmp_path / "calibrated.safetensors", LIMITS)
    assert place.predict(run, model=model, layers="members,probabilities").exit_code == 0
    members, percents = raster(run, "members"), raster(run, "probabilities")
    mapped = members[0] < 255
    for k, limit in enumerate(LIMITS):
        share = percents[k][mapped] / 100.0
        apart = np.abs(1 - share - limit) > 0.0051  # percents are rounded
        np.testing.assert_array_equal(members[k][mapped][apart], (1 - share <= limit)[apart])
        assert apart.mean() > 0.5
    with rasterio.open(run / "map" / "members.tif") as file:
        assert file.descriptions == CROPS
        assert file.tags()["COVERAGE"] == "0.9"
        assert file.tags()["CALIBRATED_BY"] == "labels of the place"
    assets = pystac.Item.from_file(run / "map" / "item.json").assets
    assert assets["members"].extra_fields["raster:bands"][2]["name"] == CROPS[2]


def test_cells_by_two_calibrations_are_never_mixed(place: Place, doubting: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = calibrated(doubting, tmp_path / "one.safetensors", LIMITS)
    other = calibrated(doubting, tmp_path / "other.safetensors", (0.5,) * 5)
    assert place.predict(run, model=model, layers="sets").exit_code == 0
    kept = raster(run, "sets")
    for layers in ("sets", "margin"):  # a layer that the map has stays, asked for or not
        refused = place.predict(run, model=other, layers=layers)
        assert refused.exit_code == 2
        assert "has the layer sets" in refused.stderr
        assert f"--model {run / 'model.safetensors'}" in refused.stderr
    assert place.predict(run, model=run / "model.safetensors", layers="margin").exit_code == 0
    np.testing.assert_array_equal(raster(run, "sets"), kept)
