"""Collections: what is loaded, filtered, sorted, joined, mapped and told of their elements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ee
import numpy as np
import pyproj
import pytest
from affine import Affine

from tests.support.ee_asking import LEFT, TOP, UTM15, asset, offline_client, pixel, raster, value
from tests.support.ee_emulator.archive import ImageAsset, Raster
from tests.support.ee_emulator.values import EmulatorError


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


DAY = 86_400_000
START = 1_622_505_600_000  # 2021-06-01T00:00:00Z


def times(*offsets: int) -> list[ImageAsset]:
    """Images named by their milliseconds after the start of June 2021."""
    moment = datetime(2021, 6, 1, tzinfo=UTC)
    return [
        asset(f"S/t{offset}", moment + timedelta(milliseconds=offset), b=raster([[1]])) for offset in offsets
    ]


def features(*properties: dict[str, Any]) -> ee.FeatureCollection:
    return ee.FeatureCollection([ee.Feature(None, one) for one in properties])


def names(collection: Any, *assets: ImageAsset) -> list[Any]:
    return value(collection.aggregate_array("system:index"), *assets)


def test_a_collection_is_what_lies_below_its_id_in_order() -> None:
    there = [asset(name, b=raster([[1]])) for name in ("S/b", "S/a", "S/deep/c", "other/d")]
    assert names(ee.ImageCollection("S"), *there) == ["a", "b"]
    assert value(ee.ImageCollection("S").size(), *there) == 2
    with pytest.raises(EmulatorError, match="asset 'T' not found"):
        value(ee.ImageCollection("T").size(), *there)
    with pytest.raises(EmulatorError, match="asset 'S/x' not found"):
        value(ee.Image("S/x"), *there)


def test_dates_are_filtered_with_their_start_and_without_their_end() -> None:
    there = times(-1, 0, DAY - 1, DAY)
    june_first = ee.ImageCollection("S").filterDate("2021-06-01", "2021-06-02")
    assert names(june_first, *there) == ["t0", f"t{DAY - 1}"]
    assert names(ee.ImageCollection("S").filterDate(START, START + 1), *there) == ["t0"]
    assert names(ee.ImageCollection("S").filterDate(ee.Date("2021-06-02")), *there) == [f"t{DAY}"]


ROWS = ({"n": 1, "s": "ab"}, {"n": 2, "s": "bc"}, {"n": 3, "s": "ca"}, {"s": "no n"})


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda f: f.eq("n", 2), [2]),
        (lambda f: f.neq("n", 2), [1, 3, None]),  # the client writes it as not equal, which a missing one is
        (lambda f: f.gt("n", 1), [2, 3]),
        (lambda f: f.gte("n", 2), [2, 3, None]),  # likewise: not less than
        (lambda f: f.lt("n", 2), [1]),
        (lambda f: f.lte("n", 2), [1, 2, None]),
        (lambda f: f.notEquals("n", 2), [1, 3]),
        (lambda f: f.greaterThanOrEquals("n", 2), [2, 3]),
        (lambda f: f.inList("n", [3, 1]), [1, 3]),
        (lambda f: f.stringStartsWith("s", "b"), [2]),
        (lambda f: f.stringEndsWith("s", "a"), [3]),
        (lambda f: f.stringContains("s", "b"), [1, 2]),
        (lambda f: f.And(f.gt("n", 1), f.lt("n", 3)), [2]),
        (lambda f: f.Or(f.eq("n", 1), f.eq("s", "ca")), [1, 3]),
        (lambda f: f.notNull(["n"]), [1, 2, 3]),
        (lambda f: f.rangeContains("n", 2, 3), [2, 3]),
        (lambda f: f.gt("n", 1).Not(), [1, None]),
    ],
)
def test_filters_compare_properties(build: Any, expected: list[Any]) -> None:
    kept = features(*ROWS).filter(build(ee.Filter))
    got = value(kept.map(lambda one: one.set("kept", ee.List([one.get("n")]))).aggregate_array("kept"))
    assert got == [[n] for n in expected]


def test_lists_are_searched() -> None:
    rows = features({"l": [1, 2], "n": 1}, {"l": [3], "n": 2})
    assert value(rows.filter(ee.Filter.listContains("l", 3)).aggregate_array("n")) == [2]


def test_values_of_different_kinds_are_not_compared() -> None:
    with pytest.raises(EmulatorError, match="cannot be compared"):
        value(features({"n": 1}).filter(ee.Filter.gt("n", "a")).size())


def box(west: float, south: float, east: float, north: float) -> ee.Geometry:
    return ee.Geometry.BBox(west, south, east, north)


def test_images_are_found_by_the_outline_of_their_rasters() -> None:
    values = np.ones((400, 400), "uint8")
    tile = Raster(values, Affine(10, 0, LEFT, 0, -10, TOP), UTM15)
    scene = ImageAsset("S/x", None, {"b": tile})
    to_lonlat = pyproj.Transformer.from_crs(UTM15, "EPSG:4326", always_xy=True).transform
    east, middle = to_lonlat(LEFT + 4000, TOP - 2000)
    west, _ = to_lonlat(LEFT, TOP - 2000)
    inside, outside = (
        box(east - 1e-4, middle, east + 1, middle + 1e-4),
        box(east + 1e-4, middle, east + 1, middle),
    )
    assert names(ee.ImageCollection("S").filterBounds(inside), scene) == ["x"]
    assert names(ee.ImageCollection("S").filterBounds(outside), scene) == []
    point = ee.Geometry.Point([west + 1e-4, middle])
    assert names(ee.ImageCollection("S").filterBounds(point), scene) == ["x"]


def test_regions_may_cross_the_antimeridian() -> None:
    tile = Raster(np.ones((1000, 1000), "uint8"), Affine(10, 0, 345_000, 0, -10, 7_000_000), "EPSG:32601")
    to_lonlat = pyproj.Transformer.from_crs("EPSG:32601", "EPSG:4326", always_xy=True).transform
    (west, east), (lat, _) = to_lonlat([345_100, 354_900], [6_995_000, 6_995_000])
    assert west > 179
    assert east < -179
    scene = ImageAsset("S/x", None, {"b": tile})
    across = [box(west - 0.01, lat, east + 360.01, lat + 0.01), box(west, lat, 180, lat + 0.01),
              box(-180, lat, east, lat + 0.01), box(east + 360, lat, east + 361, lat + 0.01)]  # fmt: skip
    for region in across:
        assert names(ee.ImageCollection("S").filterBounds(region), scene) == ["x"]
    assert names(ee.ImageCollection("S").filterBounds(box(-100, lat, 100, lat + 0.01)), scene) == []


def test_sorting_is_by_number_or_code_point_and_keeps_ties_in_order() -> None:
    rows = features({"n": 10, "s": "10", "k": 1}, {"n": 2, "s": "2", "k": 1}, {"n": 1, "s": "", "k": 0})
    assert value(rows.sort("n").aggregate_array("n")) == [1, 2, 10]
    assert value(rows.sort("s").aggregate_array("s")) == ["", "10", "2"]
    assert value(rows.sort("k").aggregate_array("n")) == [1, 10, 2]
    assert value(rows.sort("k", False).aggregate_array("n")) == [10, 2, 1]
    assert value(rows.limit(2, "n", False).aggregate_array("n")) == [10, 2]
    assert value(rows.limit(1).aggregate_array("n")) == [10]
    with pytest.raises(EmulatorError, match="one lacks 'q'"):
        value(rows.sort("q").size())


def test_a_map_keeps_the_index_of_its_elements() -> None:
    there = [asset("S/a", b=raster([[3]])), asset("S/b", b=raster([[4]]))]
    doubled = ee.ImageCollection("S").map(lambda image: image.multiply(2).set("twice", True))
    assert names(doubled, *there) == ["a", "b"]
    assert pixel(doubled.mosaic(), *there) == {"b": 8}
    with pytest.raises(EmulatorError, match="must return a Feature or Image"):
        value(features({"n": 1}).map(lambda one: ee.Number(one.get("n"))).size())


def test_nulls_of_a_map_are_dropped_where_wanted() -> None:
    rows = features({"n": 1}, {"n": 2})
    kept = rows.map(lambda one: ee.Algorithms.If(ee.Number(one.get("n")).gt(1), one, None), True)
    assert value(kept.aggregate_array("n")) == [2]


def test_a_merge_prefixes_indices_and_keeps_the_order() -> None:
    there = [asset("S/a", b=raster([[1]])), asset("T/a", b=raster([[2]]))]
    merged = ee.ImageCollection("S").merge(ee.ImageCollection("T"))
    assert names(merged, *there) == ["1_a", "2_a"]
    assert pixel(merged.mosaic(), *there) == {"b": 2}
    assert names(ee.ImageCollection([ee.Image(5), ee.Image(6)])) == ["0", "1"]


def test_columns_are_aggregated_without_missing_values() -> None:
    rows = features({"n": 4}, {"n": 1}, {}, {"n": 4})
    told = {
        "array": [4, 1, 4],
        "count": 3,
        "sum": 9,
        "min": 1,
        "max": 4,
        "mean": 3,
        "first": 4,
        "count_distinct": 2,
    }
    assert {name: value(getattr(rows, f"aggregate_{name}")("n")) for name in told} == told
    assert value(rows.aggregate_histogram("n")) == {"1": 1, "4": 2}
    assert value(rows.reduceColumns(ee.Reducer.toList(), ["n"])) == {"list": [4, 1, 4]}
    assert value(rows.reduceColumns(ee.Reducer.minMax(), ["n"])) == {"min": 1, "max": 4}
    assert value(rows.aggregate_mean("q")) is None


def test_elements_come_as_lists_and_one_by_one() -> None:
    rows = features({"n": 1}, {"n": 2}, {"n": 3})
    assert value(ee.Feature(rows.toList(2, 1).get(0)).get("n")) == 2
    assert value(ee.Feature(rows.first()).get("n")) == 1
    assert value(rows.iterate(lambda one, total: ee.Number(total).add(ee.Number(one.get("n"))), 0)) == 6
    assert value(rows.filter(ee.Filter.eq("n", 9)).first()) is None
    assert value(features({"n": 1}, {"n": 1}, {"n": 2}).distinct("n").aggregate_array("n")) == [1, 2]
    assert value(ee.FeatureCollection([rows, rows]).flatten().size()) == 6


def joined(join: ee.Join) -> ee.FeatureCollection:
    one = features({"id": "a"}, {"id": "b"}, {"id": "c"})
    two = features({"id": "c", "v": 2}, {"id": "a", "v": 9}, {"id": "c", "v": 1})
    return ee.FeatureCollection(join.apply(one, two, ee.Filter.equals(leftField="id", rightField="id")))


def test_joins_keep_what_matches_or_what_does_not() -> None:
    assert value(joined(ee.Join.simple()).aggregate_array("id")) == ["a", "c"]
    assert value(joined(ee.Join.inverted()).aggregate_array("id")) == ["b"]


def test_joins_save_their_matches() -> None:
    first = joined(ee.Join.saveFirst("m", "v")).map(
        lambda one: one.set("v", ee.Feature(one.get("m")).get("v"))
    )
    assert value(first.aggregate_array("v")) == [9, 1]
    every = joined(ee.Join.saveAll("m", "v", False, outer=True))
    sizes = every.map(lambda one: one.set("size", ee.List(one.get("m")).size()))
    assert value(sizes.aggregate_array("size")) == [1, 0, 2]
    pairs = joined(ee.Join.inner()).map(
        lambda one: ee.Feature(None, {"v": ee.Feature(one.get("secondary")).get("v")})
    )
    assert value(pairs.aggregate_array("v")) == [9, 2, 1]


def test_images_stay_images_through_a_join() -> None:
    there = [asset("S/a", b=raster([[1]])), asset("S/b", b=raster([[2]])), asset("T/a", b=raster([[3]]))]
    same = ee.Filter.equals(leftField="system:index", rightField="system:index")
    rest = ee.ImageCollection(
        ee.Join.inverted().apply(ee.ImageCollection("S"), ee.ImageCollection("T"), same)
    )
    assert pixel(rest.mosaic(), *there) == {"b": 2}
    assert names(rest, *there) == ["b"]


def test_properties_are_set_copied_and_told() -> None:
    image = ee.Image(1).set({"a": 1, "b": "x"}).set("c", [1, 2])
    assert value(image.toDictionary()) == {"a": 1, "b": "x", "c": [1, 2]}
    other = ee.Image(2).set("system:time_start", 5)
    assert value(other.copyProperties(image, ["a"]).toDictionary()) == {"a": 1}
    assert value(other.copyProperties(image, exclude=["a"]).toDictionary()) == {"b": "x", "c": [1, 2]}
    assert value(other.date().millis()) == 5
    assert value(ee.Image(1).get("nothing")) is None


def test_a_collection_is_written_as_json() -> None:
    info = value(ee.FeatureCollection([ee.Feature(ee.Geometry.Point([1, 2]), {"n": 1})]))
    assert info["type"] == "FeatureCollection"
    assert info["features"][0]["geometry"]["coordinates"] == [1, 2]
    assert info["features"][0]["properties"] == {"n": 1}
    images = value(ee.ImageCollection("S"), *times(0))
    assert (images["type"], images["id"]) == ("ImageCollection", "S")
    assert images["features"][0]["properties"]["system:time_start"] == START
