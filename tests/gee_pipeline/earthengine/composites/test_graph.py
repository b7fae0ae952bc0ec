"""The form of the graphs: what is asked for, how large it is, and that nothing is sent.

`snapshots/composite.json` holds the graph of two bins. After an intended change write it again with
`CROPMAP_SNAPSHOTS=write pytest tests/gee_pipeline/earthengine/composites/test_graph.py` and read its diff.
"""

import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
from affine import Affine

from gee_pipeline.bands import BANDS
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.scene_list import ListedScene
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import SUMMER, Season
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.made_scene_list import evaluated, made_scenes, on_collections

pytestmark = pytest.mark.usefixtures("offline_client")

SNAPSHOT = Path(__file__).parent / "snapshots" / "composite.json"
SEASON = SUMMER.season(2021, "north")
PAYLOAD_LIMIT = 10 * 2**20  # bytes of one request
NESTING_LIMIT = 100


def graph_of(bins: range, recipe: Recipe | None = None, season: Season = SEASON, **options: Any) -> ee.Image:
    return graph.composite(made_scenes(season), season, bins, recipe or Recipe(), **options)


def written(value: Any) -> str:
    """An expression as it is sent."""
    return json.dumps(ee.serializer.encode(value))


def tree(value: Any) -> Any:
    """An expression with its shared parts written out wherever they are used."""
    return ee.serializer.encode(value, is_compound=False)


def calls(node: Any) -> Iterator[dict[str, Any]]:
    """All calls of the servers' functions within a tree, outer ones first."""
    if isinstance(node, dict):
        if "functionName" in node.get("functionInvocationValue", ()):
            yield node["functionInvocationValue"]
        for value in node.values():
            yield from calls(value)
    elif isinstance(node, list):
        for value in node:
            yield from calls(value)


def names(node: Any) -> set[str]:
    return {call["functionName"] for call in calls(node)}


def depth(node: Any) -> int:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return 1 + max((depth(value) for value in inner), default=0)


def constants(node: Any) -> list[Any]:
    """All constants of a tree."""
    if isinstance(node, dict):
        own = [node["constantValue"]] if "constantValue" in node else []
        return own + [value for part in node.values() for value in constants(part)]
    return [value for part in node for value in constants(part)] if isinstance(node, list) else []


def test_the_graph_of_two_bins_is_the_one_that_was_read_and_approved():
    mask = graph.cropland("worldcover")
    found = json.dumps(ee.serializer.encode(graph_of(range(24, 26), cropland=mask)), indent=1) + "\n"
    if os.environ.get("CROPMAP_SNAPSHOTS") == "write":
        SNAPSHOT.write_text(found)
    assert len(found) < 100_000
    assert json.loads(found) == json.loads(SNAPSHOT.read_text()), "see the docstring of this file"


def test_equal_arguments_give_the_same_text():
    again = Season(year=2021, start=date(2021, 1, 1))
    first, second = graph_of(range(3, 6)), graph_of(range(3, 6), Recipe(), again)
    assert written(first) == written(second)


def test_every_argument_that_decides_a_composite_decides_the_graph():
    variants = [
        graph_of(range(3, 6)),
        graph_of(range(3, 5)),
        graph_of(range(3, 6), Recipe.of(bands=("B4", "B11"))),
        graph_of(range(3, 6), Recipe(bin_days=10)),
        graph_of(range(3, 6), Recipe.of(clear=CloudRule("cs_cdf"))),
        graph_of(range(3, 6), Recipe.of(clear=CloudRule(threshold=0.6))),
        graph_of(range(3, 6), Recipe.of(clear=CloudRule(scl_clear=(4, 5)))),
        graph_of(range(3, 6), Recipe.of(clear=CloudRule(scl_clear=()))),
        graph_of(range(3, 6), season=SUMMER.season(2022, "north")),
        graph_of(range(3, 6), season=SUMMER.season(2021, "south")),
        graph_of(range(3, 6), cropland=graph.cropland("worldcover")),
    ]
    assert len({written(variant) for variant in variants}) == len(variants)


def test_the_window_and_the_gap_rule_do_not_decide_the_graph():
    other = Recipe.of(window=(1, 334), min_clear_bins=3)
    assert written(graph_of(range(3, 6))) == written(graph_of(range(3, 6), other))


def bins_in(image: ee.Image) -> dict[str, Any]:
    """The part of every bin in a graph, by the name of its first band."""
    renamed = (call["arguments"] for call in calls(tree(image)) if call["functionName"] == "Image.rename")
    return {part["names"]["constantValue"][0]: part["input"] for part in renamed}


def test_some_bins_alone_are_asked_for_as_they_stand_in_the_whole():
    recipe = Recipe.of(bands=("B4", "B11"))
    whole = bins_in(graph_of(range(24, 31), recipe))
    assert list(whole) == [f"B4_{index}" for index in range(24, 31)]
    parts = [bins_in(graph_of(bins, recipe)) for bins in (range(24, 25), range(25, 28), range(28, 31))]
    assert parts[0] | parts[1] | parts[2] == whole


@pytest.mark.parametrize(
    ("bins", "kilobytes", "nodes"),
    [
        (range(24, 36), 28, 150),
        (range(24, 39), 35, 180),  # what one request asks for
        (range(24, 67), 90, 500),
        (range(73), 150, 800),
    ],
)
def test_a_request_is_small(bins, kilobytes, nodes):
    text = written(graph_of(bins, cropland=graph.cropland("worldcover")))
    assert len(text) < kilobytes * 1_000 < PAYLOAD_LIMIT / 10
    assert depth(json.loads(text)) < NESTING_LIMIT - 30
    assert sum(1 for _ in calls(json.loads(text))) < nodes


def test_nothing_decides_pixels_but_the_grid_of_the_request():
    """Reprojecting, clipping or resampling would set a grid of its own, or a cost without use."""
    used = names(tree(graph_of(range(24, 26), cropland=graph.cropland("worldcover"))))
    forbidden = ("reproject", "clip", "resample", "reduceResolution", "projection", "reduceRegion", "toList")
    assert [name for name in used if any(word.lower() in name.lower() for word in forbidden)] == []


def test_gaps_are_filled_with_nodata_everywhere_and_all_bands_are_cast_last():
    """Unmasking fills an image's own footprint alone unless it is told not to."""
    last = tree(graph_of(range(24, 26)))["functionInvocationValue"]
    filled = last["arguments"]["value"]["functionInvocationValue"]
    assert (last["functionName"], filled["functionName"]) == ("Image.toInt16", "Image.unmask")
    assert filled["arguments"]["sameFootprint"] == {"constantValue": False}
    assert constants(filled["arguments"]["value"]) == [-9999]


def test_nothing_is_sent(monkeypatch):
    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("a graph is only written")

    for name in ("computeValue", "computePixels", "getInfo", "getAlgorithms", "_execute_cloud_call"):
        monkeypatch.setattr(ee.data, name, refuse)
    graph_of(range(24, 26), cropland=graph.cropland("worldcover"))


def loaded(image: ee.Image) -> list[str]:
    """Ids of the images that a graph loads, each once."""
    loads = [call["arguments"]["id"] for call in calls(tree(image)) if call["functionName"] == "Image.load"]
    return sorted({load["constantValue"] for load in loads})


def test_a_graph_loads_the_scenes_of_its_bins_and_their_scores_by_their_ids():
    bins, found = range(3, 5), made_scenes(SEASON)["sentinel-2"]
    days = [date(2021, 1, 16), date(2021, 1, 26)]  # first of bin 3, first of bin 5
    own = [scene for scene in found if days[0] <= scene.when.date() < days[1]]
    assert len(own) == 5
    assert {scene.scored for scene in own} == {True, False}
    scenes = [f"COPERNICUS/S2_SR_HARMONIZED/{scene.index}" for scene in own]
    scores = [f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{scene.index}" for scene in own if scene.scored]
    assert loaded(graph_of(bins)) == sorted(scenes + scores)


def test_a_scene_without_score_is_not_loaded_where_classes_do_not_count():
    recipe = Recipe.of(clear=CloudRule(scl_clear=()))
    found = [scene for scene in made_scenes(SEASON)["sentinel-2"] if not scene.scored]
    unscored = {f"COPERNICUS/S2_SR_HARMONIZED/{scene.index}" for scene in found}
    assert unscored & set(loaded(graph_of(range(73))))
    assert not unscored & set(loaded(graph_of(range(73), recipe)))


def test_no_collection_is_searched_filtered_joined_or_mapped():
    archive = Archive(image for scene in made_scenes(SEASON)["sentinel-2"] for image in assets(scene))
    found = evaluated(graph_of(range(24, 36)), archive)
    assert on_collections(found) == 0
    assert sum(found.values()) <= 450  # 28 scenes of 12 bins
    assert found["ImageCollection.fromImages"] == found["reduce.median"] == 12


def assets(scene: ListedScene) -> Iterator[ImageAsset]:
    raster = Raster(np.zeros((1, 1)), Affine.identity(), "EPSG:32615")
    bands = dict.fromkeys((*BANDS, "SCL"), raster)
    yield ImageAsset(f"COPERNICUS/S2_SR_HARMONIZED/{scene.index}", scene.when, bands)
    if scene.scored:
        name = f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{scene.index}"
        yield ImageAsset(name, scene.when, {"cs": raster})


def test_days_without_a_scene_cost_nothing_and_one_scene_is_no_mosaic_nor_median():
    one = {"sentinel-2": [ListedScene(1_620_000_000_000, "A", True)]}  # 3 May 2021: bin 24
    image = graph.composite(one, SEASON, range(24, 26), Recipe())
    used = names(tree(image))
    assert not used & {"reduce.median", "ImageCollection.fromImages", "ImageCollection.mosaic"}
    assert loaded(image) == ["COPERNICUS/S2_SR_HARMONIZED/A", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/A"]


def test_the_bands_of_a_season_are_named_bin_by_bin():
    image = tree(graph_of(range(2), Recipe.of(bands=("B11", "B2"))))
    renamed = [call["arguments"]["names"] for call in calls(image) if call["functionName"] == "Image.rename"]
    assert [entry["constantValue"] for entry in renamed] == [["B11_0", "B2_0"], ["B11_1", "B2_1"]]


def test_a_cropland_mask_without_meaning_is_refused():
    with pytest.raises(ValueError, match="worldcover"):
        graph.cropland("cornland")
