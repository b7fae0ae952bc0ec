"""The scripts for an agency are run: by Python, and by node with Google's own JavaScript client.

What they ask of Earth Engine is evaluated by the emulator and compared, pixel by pixel, with cropmap's own
graph and with the local engine's answer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ee
import numpy as np
import pytest
import shapely
from affine import Affine
from ee_asking import offline_client
from ee_emulator import Archive, ImageAsset, Raster, evaluate, image_pixels
from ee_emulator.grid import Grid as Pixels
from made_forests import grown, model_of
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine import forest_graph, graph
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.feature_names import feature_names
from gee_pipeline.grid import Grid, inside
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import Season
from inference import forest_code
from inference.deployment import Deployment, voters
from inference.forest_code import ScriptRequest, write_script

CRS = "EPSG:32632"
SIZE = 8
LEFT, TOP = 512_000, 5_120_000
MEDIANS = Recipe(bands=("B2", "B8"), window_first_day=121, window_last_day=155, min_clear_bins=3)
WAVES = Recipe(
    bands=("B3", "B8", "B8A", "B11", "B12"), window_first_day=121, window_last_day=165, min_clear_bins=3
)
SEASON = Season.at(2021, 46.0)
S2, SCORE = graph.COLLECTION, graph.CLOUD_SCORE


def grid() -> Grid:
    """Two rows and three columns of cells."""
    return Grid(GeoBox((2 * SIZE, 3 * SIZE), Affine(10, 0, LEFT, 0, -10, TOP), CRS), SIZE)


def area() -> shapely.Geometry:
    """All cells but most of the last one, with a hole; its edges pass no centre of a pixel."""
    whole = shapely.box(LEFT + 21, TOP - 141, LEFT + 173, TOP - 13)
    return whole.union(shapely.box(LEFT + 171, TOP - 62, LEFT + 232, TOP - 23)) - shapely.box(
        LEFT + 61, TOP - 103, LEFT + 93, TOP - 64
    )


# ---- scenes ----


def scenes(seed: int = 1, count: int = 26) -> Archive:
    """Scenes of seven weeks over parts of the grid: several a day, clouds, holes, some without Cloud Score+."""
    rng = np.random.default_rng(seed)
    archive = Archive([])
    for i in range(count):
        day = int(rng.integers(48))
        time = (
            datetime.fromisoformat("2021-04-30T10:30:00+00:00").timestamp()
            + 86_400 * day
            + int(rng.integers(9))
        )
        _add(
            archive, rng, f"S{rng.integers(1_000):03d}_{i}", datetime.fromtimestamp(time, tz=_UTC), i % 4 != 0
        )
    return archive


_UTC = datetime.fromisoformat("2021-01-01T00:00:00+00:00").tzinfo


def _add(archive: Archive, rng: np.random.Generator, name: str, time: datetime, scored: bool) -> None:
    left, top = LEFT + 10 * int(rng.integers(-9, 12)), TOP + 10 * int(rng.integers(-6, 9))
    transform = Affine(10, 0, left, 0, -10, top)

    def raster(values: Any, dtype: str) -> Raster:
        return Raster(values.astype(dtype), transform, CRS, nodata=0)

    shape = (20, 24)
    bands = {}
    for band in ("B2", "B3", "B8", "B8A", "B11", "B12"):
        values = rng.integers(1, 9_000, shape)
        values[rng.random(shape) < 0.03] = 0
        bands[band] = raster(values, "uint16")
    bands["SCL"] = raster(rng.integers(1, 12, shape), "uint8")
    archive.add(ImageAsset(f"{S2}/{name}", time, bands, {}))
    if scored:
        score = np.where(rng.random(shape) < 0.6, 0.8, 0.4)
        archive.add(ImageAsset(f"{SCORE}/{name}", time, {"cs": raster(score, "float32")}, {}))


def add_worldcover(archive: Archive) -> None:
    classes = np.random.default_rng(5).choice([10, 40], (2 * SIZE, 3 * SIZE)).astype(np.uint8)
    raster = Raster(classes, Affine(10, 0, LEFT, 0, -10, TOP), CRS, nodata=0)
    time = datetime.fromisoformat("2021-01-01T00:00:00+00:00")
    archive.add(ImageAsset(f"{graph.WORLDCOVER}/2021", time, {"Map": raster}, {}))


def drawn(image: Any, archive: Archive, geobox: GeoBox) -> dict[str, np.ma.MaskedArray]:
    """Bands by name of an image, or of an expression as JavaScript wrote it."""
    expression = image if isinstance(image, dict) else ee.serializer.encode(image)
    height, width = geobox.shape
    bands = image_pixels(evaluate(expression, archive), Pixels(CRS, geobox.transform, width, height))
    return {name: np.ma.array(values, mask=~mask) for name, values, mask in bands}


# ---- forests and scripts ----


def request_of(
    recipe: Recipe = MEDIANS,
    features: str = "median",
    confidence: str = "votes",
    way: str = "inline",
    **changes: Any,
) -> ScriptRequest:
    names = feature_names(recipe, features)
    rng = np.random.default_rng(2)
    rows = np.floor(rng.normal(4_000, 2_500, (120, len(names)))).astype(np.float32)
    labels = (rows[:, 0] > 4_000).astype(int) + (rows[:, 1] > rows[:, -1])
    # an even number of trees, so that votes can be equal
    model = model_of(grown(rows, labels, 6, max_leaf_nodes=9), 3, recipe=recipe, features=features)
    assets = () if way == "inline" else ("projects/p/assets/forest",)
    deployment = Deployment(way, confidence, assets, model.digest, 3, 6, 1)
    return ScriptRequest(model, deployment, grid(), area(), SEASON, "north_2021", **changes)


VARIANTS = {
    "votes": lambda: request_of(),
    "probability": lambda: request_of(confidence="probability"),
    "no confidence": lambda: request_of(confidence="none"),
    "cropland": lambda: request_of(cropland="worldcover"),
    "without scene classes": lambda: request_of(replace(MEDIANS, cloud=CloudRule(scl_clear=()))),
    "ten days, other score": lambda: request_of(
        replace(MEDIANS, bin_days=10, min_clear_bins=0, cloud=CloudRule("cs", 0.5, (4, 5)))
    ),
    "one bin": lambda: request_of(replace(MEDIANS, window_last_day=125, min_clear_bins=1)),
    "harmonic": lambda: request_of(WAVES, "harmonic"),
}
"""What a script can look like."""


def run_python(request: ScriptRequest, name: str = "script") -> Any:
    """The names that the Python script defines; with `__main__` it also runs."""
    found: dict[str, Any] = {"__name__": name}
    exec(compile(write_script(request, "python"), "forest_map.py", "exec"), found)
    return SimpleNamespace(**found)


def own_image(request: ScriptRequest, geobox: GeoBox) -> ee.Image:
    """The prediction as cropmap asks for it."""
    mask = None if request.cropland == "none" else graph.cropland(request.cropland)
    model, region = request.model, graph.search_region(geobox)
    who = voters(request.deployment, model)
    return forest_graph.prediction(region, SEASON, model.recipe, model.features, who, cropland=mask)


def archive_of(request: ScriptRequest) -> Archive:
    archive = scenes()
    if request.cropland != "none":
        add_worldcover(archive)
    return archive


def expected_map(request: ScriptRequest, archive: Archive, geobox: GeoBox) -> dict[str, np.ndarray]:
    """cropmap's own prediction, cut to the area as a run cuts it."""
    within = inside(area(), geobox)
    bands = drawn(own_image(request, geobox), archive, geobox)
    return {name: np.where(within, band.data, 0 if name == "class" else 255) for name, band in bands.items()}


def assert_same(found: dict[str, np.ma.MaskedArray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == ["class", "confidence", "clear"] == list(expected)
    for name, band in found.items():
        assert band.dtype == np.uint8
        assert not band.mask.any()
        np.testing.assert_array_equal(band.data, expected[name], name)


@pytest.fixture(scope="module", autouse=True)
def client():
    with offline_client():
        yield


@pytest.mark.parametrize("name", VARIANTS)
def test_the_python_script_maps_what_cropmap_maps(name):
    request = VARIANTS[name]()
    archive = archive_of(request)
    script = run_python(request)
    (tile,) = script.TILES
    geobox = grid().geobox
    expected = expected_map(request, archive, geobox)
    assert_same(drawn(script.map_of(tile), archive, geobox), expected)
    assert {0, 1, 2} < set(np.unique(expected["class"]))


# ---- JavaScript ----


def node_modules() -> str | None:
    """Where node finds Google's client: CROPMAP_NODE_MODULES, or where node looks by itself."""
    place = os.environ.get("CROPMAP_NODE_MODULES", os.environ.get("NODE_PATH", ""))
    if shutil.which("node") is None:
        return None
    check = subprocess.run(
        ["node", "-e", "require.resolve('@google/earthengine')"],
        env={**os.environ, "NODE_PATH": place},
        capture_output=True,
        check=False,
    )
    return place if check.returncode == 0 else None


def run_javascript(texts: list[str], folder: Path, modules: str) -> list[dict[str, Any]]:
    """What scripts ask for: lines, layers and exports, images as expressions; one process runs all."""
    paths = [folder / f"script_{i}.js" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    runner = Path(__file__).parents[1] / "ee_javascript" / "run_scripts.js"
    algorithms = resources.files("ee") / "tests" / "algorithms.json"
    done = subprocess.run(
        ["node", str(runner), str(algorithms), *map(str, paths)],
        env={**os.environ, "NODE_PATH": modules},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What the script of each variant asks for."""
    found = node_modules()
    if found is None:
        pytest.skip(
            "node with @google/earthengine is not there: 'npm install --prefix FOLDER @google/earthengine', "
            "then set CROPMAP_NODE_MODULES to FOLDER/node_modules"
        )
    texts = [write_script(make(), "javascript") for make in VARIANTS.values()]
    return dict(zip(VARIANTS, run_javascript(texts, tmp_path_factory.mktemp("js"), found), strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_script_of_the_code_editor_maps_what_cropmap_maps(name, asked):
    request = VARIANTS[name]()
    archive, geobox = archive_of(request), grid().geobox
    (export,) = asked[name]["exports"]
    assert_same(drawn(export["expression"], archive, geobox), expected_map(request, archive, geobox))
