"""`cropmap predict` with every kind of model: the map is what the model says of the composites on disk."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import torch
from numpy.typing import NDArray

from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.forest_model import save_forest
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import build_network, config_of
from tests.support.made_forests import grown, hard_votes, model_of, winner
from tests.support.tiny_place import CROPS, RECIPE, Place, report

pytestmark = pytest.mark.slow

WAVES = Recipe.of(bands=("B3", "B8", "B8A", "B11", "B12"), window=(151, 240), min_clear_bins=2)
NODATA, LEAST = -9999, 2
TREES = 9


@pytest.fixture(scope="module")
def small(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An area of 8 x 8 pixels: large networks take 80 ms per pixel."""
    box = shapely.box(698_601, 3_906_301, 698_679, 3_906_379)
    return place.write_area(tmp_path_factory.mktemp("area") / "small.geojson", box, "EPSG:32615")


def made(name: str, recipe: Recipe) -> Checkpoint:
    """An untrained network, loud enough for its answers to differ from pixel to pixel."""
    torch.manual_seed(3)
    bands = len(recipe.bands)
    scaled = Normalisation((0.15,) * bands, (0.1,) * bands)
    config = config_of(name, "compact", len(CROPS), recipe)
    network = build_network(config, recipe, scaled)
    classes = tuple(CropClass(k, crop, f"#{40 * k:02x}8040") for k, crop in enumerate(CROPS, 1))
    return Checkpoint(config, classes, recipe, scaled, network.state_dict(), {"data": "no pixels."})


def succeeds(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return result


def pixels_of(run: Path, recipe: Recipe) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Series `(pixel, band, bin)` and class, confidence, observations `(pixel, 3)` of the area."""
    series, found = [], []
    for path in sorted((run / "predictions").glob("*.tif")):
        with rasterio.open(path) as file:
            bands = file.read()[:3].reshape(3, -1)
        with rasterio.open(run / "composites" / path.name) as file:
            values = file.read().reshape(len(recipe.window), len(recipe.bands), -1)
        inside = bands[0] != 0
        series.append(values[:, :, inside].transpose(2, 1, 0))
        found.append(bands[:, inside].T)
    return np.concatenate(series).astype(np.int64), np.concatenate(found)


def known_in(series: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (series != NODATA).all(axis=1).sum(axis=1) >= LEAST


def filled(series: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gaps linear in time, the ends hold, pixel by pixel."""
    bins = np.arange(series.shape[2])
    seen = (series != NODATA).all(axis=1)
    return np.array(
        [
            [np.interp(bins, bins[there], band[there]) for band in one]
            for one, there in zip(series, seen, strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("mlp", RECIPE), ("cropnet-1d", RECIPE), ("cropnet-1d-harmonic", WAVES), ("resnet50", RECIPE)],
)
def test_a_network_is_mapped(place: Place, small: Path, tmp_path: Path, name: str, recipe: Recipe) -> None:
    if name == "resnet50" and not find_spec("timm"):
        pytest.skip("timm is not installed: pip install 'cropmap[training]'.")
    model, run = tmp_path / f"{name}.safetensors", tmp_path / "run"
    save_checkpoint(model, made(name, recipe))
    succeeds(place.predict(run, model=model, aoi=small))
    series, found = pixels_of(run, recipe)
    known = known_in(series)
    assert known.sum() > 30
    x = ((filled(series[known]) / 10_000 - 0.15) / 0.1).astype(np.float32)[:, None]
    with torch.inference_mode():
        shares = load_checkpoint(model).build()(torch.from_numpy(x)).softmax(dim=1).numpy()
    first, second = np.sort(shares, axis=1)[:, ::-1][:, :2].T
    clear_cut = first - second > 1e-3  # sums in another order may turn what is nearly equal
    assert clear_cut.sum() > 30
    np.testing.assert_array_equal(found[known, 0][clear_cut], 1 + shares.argmax(axis=1)[clear_cut])
    np.testing.assert_allclose(found[known, 1], 100 * first, atol=0.6)
    assert len(np.unique(found[known, 1])) > 1
    assert (found[~known, 0] == 255).all()


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A forest of noise on the series of the place, and scikit-learn's own."""
    rng = np.random.default_rng(2)
    rows = rng.integers(200, 4_500, (120, len(RECIPE.bands) * len(RECIPE.window))).astype(np.float32)
    trees = grown(rows, rng.integers(0, len(CROPS), 120), trees=TREES)
    path = tmp_path_factory.mktemp("forest") / "forest.safetensors"
    save_forest(path, model_of(trees, len(CROPS), recipe=RECIPE))
    return path, trees


def whole(series: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features `(pixel, band * bin)`: gaps filled in whole numbers, halves up."""
    out = np.empty(series.shape, np.int64)
    for i, one in enumerate(series):
        seen = np.flatnonzero((one != NODATA).all(axis=0))
        for t in range(one.shape[1]):
            before, after = seen[seen <= t].max(initial=-1), seen[seen >= t].min(initial=one.shape[1])
            if before < 0 or after == one.shape[1] or before == after:
                out[i, :, t] = one[:, after if before < 0 else before]
                continue
            span = after - before
            parts = one[:, before] * (after - t) + one[:, after] * (t - before)
            out[i, :, t] = (2 * parts + span) // (2 * span)
    return out.reshape(len(out), -1).astype(np.float32)


def test_a_forest_is_mapped_from_scenes(place: Place, forest: tuple[Path, Any], tmp_path: Path) -> None:
    (model, trees), run = forest, tmp_path / "run"
    told = succeeds(place.predict(run, model=model)).stderr
    assert "Forest forest.safetensors knows" in told
    series, found = pixels_of(run, RECIPE)
    known = known_in(series)
    codes, shares = winner(hard_votes(trees, whole(series[known]), len(CROPS)), TREES)
    assert len(set(codes)) > 2
    np.testing.assert_array_equal(found[known, 0], codes)
    np.testing.assert_array_equal(found[known, 1], shares)
    assert (found[~known, 0] == 255).all()
    assert json.loads((run / "run.json").read_text())["model"]["kind"] == "local-forest"
    assert report(run)["model"]["confidence"] == f"share of the votes of {TREES} trees"


def test_a_forest_takes_no_other_device_than_the_cpu(
    place: Place, forest: tuple[Path, Any], small: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    refused = place.predict(run, model=forest[0], aoi=small, device="cuda")
    assert refused.exit_code == 2
    assert "works on the CPU" in refused.stderr
    assert "--device" in refused.stderr
    assert not run.exists()
    succeeds(place.predict(run, model=forest[0], aoi=small, device="cpu"))


def test_without_timm_a_network_of_it_is_refused_before_anything_is_written(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not find_spec("timm"):
        pytest.skip("timm is not installed: pip install 'cropmap[training]'.")
    model, run = tmp_path / "model.safetensors", tmp_path / "run"
    save_checkpoint(model, made("resnet50", RECIPE))
    monkeypatch.setitem(sys.modules, "timm", None)
    refused = place.predict(run, model=model)
    assert refused.exit_code == 2
    assert "pip install 'cropmap[training]'" in refused.stderr
    assert not run.exists()
