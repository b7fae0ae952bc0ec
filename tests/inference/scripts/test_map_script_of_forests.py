"""The scripts for an agency are run: by Python, and by node with Google's own JavaScript client.

What they ask of Earth Engine is evaluated by the emulator and compared, pixel by pixel, with cropmap's own
graph.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import ee
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.client.assets import table_request
from gee_pipeline.earthengine.composites import search
from gee_pipeline.earthengine.forest.classifier_assets import TreeRow, table_row
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.features.feature_names import feature_names
from gee_pipeline.grid import Grid
from gee_pipeline.layers import OF_PARTS
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import Season
from inference.deployment.deployment import Deployment, ensembles, voters
from inference.deployment.forest_on_servers import ForestOnServers
from inference.scripts import map_script
from inference.scripts.map_script import ScriptRequest, notices, write_script
from tests.support import forest_scenes
from tests.support.ee_asking import offline_client
from tests.support.ee_emulator.assets import Assets
from tests.support.ee_emulator.evaluate import evaluate
from tests.support.ee_emulator.exports import export_of
from tests.support.ee_emulator.grid import Grid as Pixels
from tests.support.forest_scenes import CRS, LEFT, SEASON, SIZE, TOP, WAVES, area, grid
from tests.support.made_forests import grown, model_of
from tests.support.made_scene_list import evaluated, on_collections
from tests.support.running_scripts import (
    archive_of,
    assert_same,
    assert_tidy,
    drawn,
    expected_map,
    javascript_asks,
    own_image,
    run_python,
    scenes,
    served,
)

pytestmark = pytest.mark.slow

ALL = tuple(layer.name for layer in OF_PARTS)

MEDIANS = replace(forest_scenes.MEDIANS.with_window(121, 140), min_clear_bins=2)
"""Four bins: what a script says of one it says of all."""


def request_of(
    recipe: Recipe = MEDIANS,
    features: str = "median",
    confidence: str = "votes",
    way: str = "inline",
    season: Season = SEASON,
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
    both = ForestOnServers(model, deployment)
    return ScriptRequest(both, grid(), area(), season, "north_2021", **changes)


VARIANTS = {
    "votes": lambda: request_of(),
    "probability": lambda: request_of(confidence="probability"),
    "no confidence": lambda: request_of(confidence="none"),
    "cropland": lambda: request_of(cropland="worldcover"),
    "without scene classes": lambda: request_of(
        replace(MEDIANS, min_clear_bins=1).with_clear(CloudRule(scl_clear=()))
    ),
    "ten days, other score": lambda: request_of(
        replace(MEDIANS, bin_days=10, min_clear_bins=0).with_clear(CloudRule("cs", 0.5, (4, 5)))
    ),
    "one bin": lambda: request_of(replace(MEDIANS.with_window(121, 125), min_clear_bins=1)),
    "harmonic": lambda: request_of(WAVES, "harmonic"),
    "layers of votes": lambda: request_of(layers=ALL, cropland="worldcover"),
    "layers of probabilities": lambda: request_of(confidence="probability", layers=ALL),
    "entropy alone": lambda: request_of(layers=("entropy",)),
    "days by the sun": lambda: request_of(season=replace(SEASON, hours_ahead=-14)),
    "margin alone": lambda: request_of(layers=("margin",)),
}
"""What a script can look like."""


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


def test_a_map_by_the_ids_of_scenes_takes_less_than_half_the_calls_of_the_search_in_a_script():
    """The script has the form that all requests had once: it filters, joins, maps and sorts collections."""
    request = request_of()
    archive, script = archive_of(request), run_python(request)
    searched = evaluated(script.map_of(script.TILES[0]), archive)
    listed = evaluated(own_image(request, archive, grid().geobox), archive)
    assert on_collections(searched) > 100
    assert on_collections(listed) == 0
    assert sum(listed.values()) < 0.5 * sum(searched.values())


# ---- JavaScript ----


IN_JAVASCRIPT = (
    "votes", "probability", "cropland", "without scene classes", "one bin", "harmonic", "layers of votes",
    "layers of probabilities", "days by the sun",
)  # fmt: skip
"""Variants that node runs; building a graph takes its client a second."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What the script of each variant asks for."""
    texts = [write_script(VARIANTS[name](), "javascript") for name in IN_JAVASCRIPT]
    return dict(zip(IN_JAVASCRIPT, javascript_asks(texts, tmp_path_factory.mktemp("js")), strict=True))


@pytest.mark.parametrize("name", IN_JAVASCRIPT)
def test_the_script_of_the_code_editor_maps_what_cropmap_maps(name, asked):
    request = VARIANTS[name]()
    archive, geobox = archive_of(request), grid().geobox
    (export,) = asked[name]["exports"]
    assert_same(drawn(export["expression"], archive, geobox), expected_map(request, archive, geobox))


# ---- where the trees are ----


def stored(request: ScriptRequest) -> tuple[ScriptRequest, Assets]:
    """The same forest with its trees in assets, put there as a deployment does."""
    assets, forest = Assets(), request.model
    assert isinstance(forest, ForestOnServers)
    inline = replace(forest.deployed, way="inline", assets=())
    if forest.deployed.way == "classifier":
        made = [served(one) for one in voters(inline, forest.model).classifiers]
    else:
        texts = ensembles(forest.model, inline.confidence)
        rows = [TreeRow(e, i, text) for e, trees in enumerate(texts) for i, text in enumerate(trees)]
        half = len(rows) // 2
        made = [
            served(table_request(list(map(table_row, part)), "a", "n", overwrite=True))
            for part in (rows[:half], rows[half:])
        ]
    names = tuple(f"projects/crop-maps/assets/forest_{i}" for i in range(len(made)))
    for name, content in zip(names, made, strict=True):
        assets.put(name, content)
    deployed = replace(forest, deployed=replace(forest.deployed, assets=names))
    return replace(request, model=deployed), assets


@pytest.mark.parametrize("way", ["classifier", "table"])
@pytest.mark.parametrize("confidence", ["votes", "probability"])
def test_trees_in_assets_vote_like_those_in_the_script(way, confidence):
    request, assets = stored(request_of(confidence=confidence, way=way))
    archive, geobox = archive_of(request), grid().geobox
    script = run_python(request)
    found = drawn(script.map_of(script.TILES[0]), archive, geobox, assets)
    assert_same(found, expected_map(request_of(confidence=confidence), archive, geobox))
    assert "1) root" not in write_script(request, "python")


# ---- tiles, exports and the rest of a script ----


def test_tiles_cover_the_planned_cells_and_have_the_pixels_of_the_whole(monkeypatch):
    """A tile looks for its own scenes, and lies on the grid's pixels."""
    monkeypatch.setattr(map_script, "TILE_PIXELS", SIZE)
    request, archive = request_of(), scenes()
    script, whole = run_python(request), grid().geobox
    expected = expected_map(request, archive, whole)
    covered = np.zeros(whole.shape, int)
    for tile in script.TILES:
        top, left = round((TOP - tile["top"]) / 10), round((tile["left"] - LEFT) / 10)
        rows, cols = slice(top, top + tile["height"]), slice(left, left + tile["width"])
        covered[rows, cols] += 1
        part = {name: values[rows, cols] for name, values in expected.items()}
        assert_same(drawn(script.map_of(tile), archive, whole[rows, cols]), part)
    planned = {(row, col) for row, col in grid().cells_touching(area()).tolist()}
    assert len(script.TILES) == len(planned) == 6
    assert (covered == 1).all()


def test_the_python_script_starts_a_task_a_tile(monkeypatch):
    started: list[dict[str, Any]] = []
    projects: list[str] = []
    make = ee.batch.Export.image.toDrive

    def to_drive(**options: Any) -> Any:
        make(**options)  # the client's own checks
        started.append(options)
        return SimpleNamespace(start=lambda: None)

    monkeypatch.setattr(ee.batch.Export.image, "toDrive", to_drive)
    monkeypatch.setattr(ee, "Initialize", lambda project: projects.append(project))
    run_python(request_of(project="agency-maps"), "__main__")
    (export,) = started
    assert projects == ["agency-maps"]
    assert_export(export)


def assert_export(export: dict[str, Any]) -> None:
    assert export["crs"] == CRS
    assert export["crsTransform"] == [10, 0, LEFT, 0, -10, TOP]
    assert export["dimensions"] == f"{3 * SIZE}x{2 * SIZE}"
    assert export["description"] == export["fileNamePrefix"] == "north_2021_r0000_c0000_2x3"
    assert (export["folder"], export["maxPixels"], export["fileFormat"]) == ("cropmap", 1e13, "GeoTIFF")


def test_an_export_of_the_python_script_is_on_the_pixels_of_the_grid():
    """The request that the client makes of it, as the emulator reads it."""
    script = run_python(request_of())
    bodies: list[dict[str, Any]] = []
    tasks = {"start": lambda task: bodies.append(task.config)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ee.batch.Task, "start", tasks["start"])
        script.export_tile(script.TILES[0])
    (config,) = bodies
    body = {key: value for key, value in config.items() if key != "expression"}
    export = export_of({**body, "expression": ee.serializer.encode(config["expression"])})
    height, width = grid().geobox.shape
    assert export.grid == Pixels(CRS, grid().geobox.transform, width, height)


def test_the_script_of_the_code_editor_shows_exports_and_lists_its_classes(asked):
    found = asked["votes"]
    assert_export(found["exports"][0])
    (layer,) = found["layers"]
    assert (layer["name"], layer["shown"]) == ("r0000_c0000_2x3", False)
    assert layer["style"] == {"min": 1, "max": 3, "palette": ["#018040", "#028040", "#038040"]}
    assert found["printed"][:2] == ["1  crop 1  #018040", "2  crop 2  #028040"]
    longitude, latitude, zoom = found["center"]
    assert zoom == 13
    assert abs(longitude - 9.157) < 0.01
    assert abs(latitude - 46.23) < 0.01


def test_a_layer_shows_classes_only(asked):
    request, archive, geobox = request_of(), scenes(), grid().geobox
    band = drawn(asked["votes"]["layers"][0]["expression"], archive, geobox)["class"]
    expected = expected_map(request, archive, geobox)["class"]
    np.testing.assert_array_equal(band.mask, (expected == 0) | (expected > 3))
    np.testing.assert_array_equal(band.compressed(), expected[~band.mask])


def test_a_map_knows_names_and_colours_of_its_codes():
    script = run_python(request_of())
    found = evaluate(ee.serializer.encode(script.map_of(script.TILES[0])), scenes()).properties
    assert list(found["class_class_values"]) == [1, 2, 3, 254, 255]
    assert list(found["class_class_palette"])[:2] == ["018040", "028040"]
    assert list(found["class_class_names"])[3] == "not cropland"


@pytest.mark.parametrize("name", VARIANTS)
def test_scripts_have_only_what_their_forest_needs(name):
    assert_tidy(VARIANTS[name]())


def test_a_large_outline_stays_away_and_is_told(monkeypatch):
    monkeypatch.setattr(map_script, "MOST_CORNERS", 9)
    request = request_of()
    text = write_script(request, "javascript")
    assert "AREA" not in text
    assert "whole tiles are mapped" in text
    (told,) = notices(request, "javascript", text)
    assert "whole tiles are mapped" in told
    archive, geobox, script = scenes(), grid().geobox, run_python(request)
    whole = {
        name: band.data for name, band in drawn(own_image(request, archive, geobox), archive, geobox).items()
    }
    assert_same(drawn(script.map_of(script.TILES[0]), archive, geobox), whole)


def test_a_script_that_is_too_long_for_the_code_editor_is_told(monkeypatch):
    request = request_of()
    text = write_script(request, "javascript")
    assert notices(request, "javascript", text) == []
    monkeypatch.setattr(map_script, "LARGE", len(text) - 1)
    assert "--way classifier" in notices(request, "javascript", text)[0]
    assert notices(request, "python", text) == []


def test_a_tile_across_the_antimeridian_ends_east_of_its_west():
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True).transform(180, 45)
    box = GeoBox((SIZE, 2 * SIZE), Affine(10, 0, x // 80 * 80, 0, -10, y // 80 * 80), "EPSG:32660")
    whole = shapely.box(*box.boundingbox.bbox)
    script = run_python(replace(request_of(), grid=Grid(box, SIZE), area=whole))
    (tile,) = script.TILES
    assert 179.9 < tile["west"] < 180 < tile["east"] < 180.1
    (ring,) = script.search_box(tile, search.MARGIN).toGeoJSON()["coordinates"]
    (own,) = search.search_region(box).toGeoJSON()["coordinates"]
    np.testing.assert_allclose(np.mod(ring, 360), np.mod(own, 360), atol=1.5e-6)
    assert max(x for x, _ in ring) - min(x for x, _ in ring) < 0.1  # not once around the globe


def test_a_crs_without_a_code_is_written_out():
    crs = "+proj=laea +lat_0=46 +lon_0=9 +ellps=GRS80 +units=m"
    box = GeoBox((SIZE, SIZE), Affine(10, 0, 0, 0, -10, 0), crs)
    script = run_python(replace(request_of(), grid=Grid(box, SIZE), area=shapely.box(*box.boundingbox.bbox)))
    assert script.CRS.startswith("PROJCS[")  # WKT 1, as in cropmap's own exports
    assert pyproj.CRS.from_wkt(script.CRS).equals(pyproj.CRS(crs), ignore_axis_order=True)


@pytest.mark.parametrize("name", ["", "north 2021", "north/2021", "n" * 61, "nörd"])
def test_names_that_tasks_cannot_have_are_refused(name):
    with pytest.raises(InputError, match="--name"):
        replace(request_of(), name=name)


def test_another_forest_than_the_deployed_one_is_refused():
    forest = request_of().model
    with pytest.raises(MismatchError, match="trained again"):
        replace(forest, deployed=replace(forest.deployed, forest="0" * 16))
