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
import pyproj
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites import graph
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import SUMMER, Season
from tests.support.fake_catalog import cell_at

pytestmark = pytest.mark.usefixtures("offline_client")

SNAPSHOT = Path(__file__).parent / "snapshots" / "composite.json"
SEASON = SUMMER.season(2021, "north")
PAYLOAD_LIMIT = 10 * 2**20  # bytes of one request
NESTING_LIMIT = 100


def graph_of(bins: range, recipe: Recipe | None = None, season: Season = SEASON, **options: Any) -> ee.Image:
    region = graph.search_region(cell_at(size=256).geobox)
    return graph.composite(region, season, bins, recipe or Recipe(), **options)


def written(value: Any) -> str:
    """An expression as it is sent."""
    return json.dumps(ee.serializer.encode(value))


def tree(value: Any) -> Any:
    """An expression with its shared parts written out wherever they are used."""
    return ee.serializer.encode(value, is_compound=False)


def calls(node: Any) -> Iterator[dict[str, Any]]:
    """All calls of functions within a tree, outer ones first."""
    if isinstance(node, dict):
        if "functionInvocationValue" in node:
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
    return {
        part["names"]["constantValue"][0]: part["input"]
        for part in renamed
        if part["input"]["functionInvocationValue"]["functionName"] == "reduce.median"
    }


def test_some_bins_alone_are_asked_for_as_they_stand_in_the_whole():
    recipe = Recipe.of(bands=("B4", "B11"))
    whole = bins_in(graph_of(range(24, 31), recipe))
    assert list(whole) == [f"B4_{index}" for index in range(24, 31)]
    parts = [bins_in(graph_of(bins, recipe)) for bins in (range(24, 25), range(25, 28), range(28, 31))]
    assert parts[0] | parts[1] | parts[2] == whole


@pytest.mark.parametrize(
    ("bins", "kilobytes", "nodes"),
    [
        (range(24, 36), 100, 700),  # what one request asks for
        (range(24, 67), 350, 2_200),
        (range(73), 550, 3_700),
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
    region = graph.search_region(cell_at().geobox)
    graph_of(range(24, 26), cropland=graph.cropland("worldcover"))
    graph.scene_list(region, SEASON.span(range(24, 26)))


def test_collections_are_narrowed_by_date_and_place_before_anything_else():
    """The servers find the scenes of a filter that comes first by an index."""
    whole = tree(graph_of(range(24, 25)))
    loads = [call for call in calls(whole) if call["functionName"] == "ImageCollection.load"]
    narrowed = [call for call in calls(whole) if filtered_by(call) == ["intersects", "dateRangeContains"]]
    assert len(loads) == len(narrowed) > 0


def filtered_by(call: dict[str, Any]) -> list[str]:
    """The filters of a call, the last first, where there is nothing but filters and a collection."""
    filters = []
    while call["functionName"] == "Collection.filter":
        kind = call["arguments"]["filter"]["functionInvocationValue"]["functionName"]
        filters.append(kind.removeprefix("Filter."))
        call = call["arguments"]["collection"]["functionInvocationValue"]
    return filters if call["functionName"] == "ImageCollection.load" else []


def test_the_bands_of_a_season_are_named_bin_by_bin():
    image = tree(graph_of(range(2), Recipe.of(bands=("B11", "B2"))))
    renamed = [call["arguments"]["names"] for call in calls(image) if call["functionName"] == "Image.rename"]
    found = [entry["constantValue"] for entry in renamed if entry["constantValue"] != ["B11", "B2"]]
    assert sorted(found) == [["B11_0", "B2_0"], ["B11_1", "B2_1"]]


def test_the_days_of_the_southern_season_begin_in_july_of_the_year_before():
    days = [
        value
        for value in constants(
            tree(graph_of(range(1), Recipe.of(bands=("B4",)), SUMMER.season(2022, "south")))
        )
        if isinstance(value, str) and value.startswith("20")
    ]
    # 30 June and 7 July only bound the search for scores, a day wider.
    assert min(days) == "2021-06-30T00:00:00"
    assert max(days) == "2021-07-07T00:00:00"
    assert {f"2021-07-0{day}T00:00:00" for day in range(1, 7)} <= set(days)


@pytest.mark.parametrize(
    ("crs", "left", "top", "size"),
    [
        ("EPSG:32632", 512_000, 5_120_000, 256),
        ("EPSG:32756", 300_000, 6_250_000, 64),  # south
        ("EPSG:3035", 4_321_000, 3_210_000, 256),  # axes in the order north, east
        ("EPSG:3035", 2_800_000, 5_200_000, 20_000),  # 200 km, turned by 20 degrees: the edges are bowed
        ("EPSG:32760", 819_000, 8_130_000, 256),  # across the antimeridian
        ("EPSG:32701", 178_000, 8_130_000, 256),  # the same from the other side
    ],
)
def test_the_search_region_is_a_planar_box_around_all_pixels(crs, left, top, size):
    geobox = GeoBox((size, size), Affine(10, 0, left, 0, -10, top), crs)
    region = graph.search_region(geobox).toGeoJSON()
    assert region["geodesic"] is False
    corners = np.array(region["coordinates"][0])
    (west, south), (east, north) = corners.min(0), corners.max(0)
    along, across = np.meshgrid(np.linspace(0, 10 * size, 41), np.linspace(0, 10 * size, 41))
    to = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x, y = to.transform(left + along, top - across)
    x = np.where(x < west - 180, x + 360, x)
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    np.testing.assert_allclose([west, south], low - 0.005, atol=2e-4)
    np.testing.assert_allclose([east, north], high + 0.005, atol=2e-4)
    assert (west, south) < tuple(low)
    assert (east, north) > tuple(high)


def test_a_cropland_mask_without_meaning_is_refused():
    with pytest.raises(ValueError, match="worldcover"):
        graph.cropland("cornland")
