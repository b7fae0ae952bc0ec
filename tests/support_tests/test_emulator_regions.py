"""Numbers of a region: weights by the share covered, pixels by their centre, points by their pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import ee
import numpy as np
import pyproj
import pytest
import shapely

from tests.support.ee_asking import LEFT, TOP, UTM15, asset, offline_client, raster, value
from tests.support.ee_emulator.values import EmulatorError

RNG = np.random.default_rng(5)
VALUES = RNG.integers(0, 9, (20, 20))  # 0 is nodata
SCENE = asset("S/x", b=raster(VALUES, "uint8"), c=raster(VALUES.T + 1, "uint8"))
CORNERS = [(LEFT + 31, TOP - 22), (LEFT + 178, TOP - 64), (LEFT + 92, TOP - 187)]
TRIANGLE = shapely.Polygon(CORNERS)


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


def triangle() -> ee.Geometry:
    return ee.Geometry.Polygon([list(corner) for corner in CORNERS], UTM15, False)


def reduced(reducer: ee.Reducer, place: Any = None, **grid: Any) -> dict[str, Any]:
    grid = grid or {"scale": 10}
    return value(ee.Image("S/x").reduceRegion(reducer, place or triangle(), **grid), SCENE)


def pixel_at(row: int, col: int) -> shapely.Polygon:
    x, y = LEFT + 10 * col, TOP - 10 * row
    return shapely.box(x, y - 10, x + 10, y)


PLACES = [(row, col) for row in range(20) for col in range(20)]
SHARES = {place: round(255 * pixel_at(*place).intersection(TRIANGLE).area / 100) / 255 for place in PLACES}
INSIDE = [place for place in PLACES if TRIANGLE.covers(pixel_at(*place).centroid)]


def test_means_and_sums_weigh_pixels_by_the_share_that_is_covered() -> None:
    weights = {place: share for place, share in SHARES.items() if VALUES[place] > 0}
    total = sum(share * int(VALUES[place]) for place, share in weights.items())
    assert reduced(ee.Reducer.sum())["b"] == pytest.approx(total)
    assert reduced(ee.Reducer.mean())["b"] == pytest.approx(total / sum(weights.values()))
    histogram: Counter[str] = Counter()
    for place, share in weights.items():
        histogram[str(VALUES[place])] += share
    assert reduced(ee.Reducer.frequencyHistogram())["b"] == pytest.approx(dict(histogram))


def test_other_reducers_take_pixels_whose_centre_lies_inside() -> None:
    there = [int(VALUES[place]) for place in INSIDE if VALUES[place] > 0]
    assert reduced(ee.Reducer.count())["b"] == len(there)
    assert reduced(ee.Reducer.first())["b"] == there[0]
    assert reduced(ee.Reducer.toList())["b"] == there
    assert reduced(ee.Reducer.mean().unweighted())["b"] == pytest.approx(sum(there) / len(there))
    assert reduced(ee.Reducer.minMax()) == {"b_min": min(there), "b_max": max(there), "c_min": 1, "c_max": 9}
    assert reduced(ee.Reducer.frequencyHistogram().unweighted())["b"] == dict(
        sorted(Counter(map(str, there)).items())
    )


def test_nothing_in_a_region_has_no_mean_and_counts_0() -> None:
    far = ee.Geometry.Rectangle([LEFT - 900, TOP, LEFT - 800, TOP + 100], UTM15, False)
    assert reduced(ee.Reducer.mean(), far) == {"b": None, "c": None}
    assert reduced(ee.Reducer.count(), far) == {"b": 0, "c": 0}


def test_a_point_is_the_pixel_that_holds_it_also_from_degrees() -> None:
    lonlat = pyproj.Transformer.from_crs(UTM15, "EPSG:4326", always_xy=True).transform(LEFT + 57, TOP - 123)
    point = ee.Geometry.Point(list(lonlat))
    assert reduced(ee.Reducer.first(), point) == {"b": VALUES[12, 5] or None, "c": VALUES.T[12, 5] + 1}


def test_the_grid_may_be_given_as_a_transform() -> None:
    wide = {"crs": UTM15, "crsTransform": [10, 0, LEFT + 5, 0, -10, TOP]}
    box = ee.Geometry.Rectangle([LEFT + 5, TOP - 10, LEFT + 25, TOP], UTM15, False)
    # centres lie on edges between columns, and take the column to the right
    assert reduced(ee.Reducer.toList(), box, **wide)["c"] == [
        int(VALUES.T[0, 1] + 1),
        int(VALUES.T[0, 2] + 1),
    ]
    with pytest.raises(EmulatorError, match="exclude each other"):
        reduced(ee.Reducer.first(), box, scale=10, crsTransform=[10, 0, 0, 0, -10, 0])


def test_too_many_pixels_are_refused() -> None:
    everything = ee.Geometry.Rectangle([LEFT, TOP - 200, LEFT + 200, TOP], UTM15, False)
    with pytest.raises(EmulatorError, match=r"Too many pixels in the region\. Found 400, .* only 99"):
        reduced(ee.Reducer.count(), everything, scale=10, maxPixels=99)


def test_features_get_the_results_of_their_place() -> None:
    boxes = [(LEFT, TOP - 20, LEFT + 20, TOP), (LEFT + 100, TOP - 30, LEFT + 130, TOP)]
    places = ee.FeatureCollection(
        [ee.Feature(ee.Geometry.Rectangle(list(one), UTM15, False), {"n": n}) for n, one in enumerate(boxes)]
    )
    expected = [int(VALUES.T[:2, :2].sum()) + 4, int(VALUES.T[:3, 10:13].sum()) + 9]
    both = ee.Image("S/x").reduceRegions(places, ee.Reducer.sum(), 10)
    assert value(both.aggregate_array("c"), SCENE) == expected
    one = ee.Image("S/x").select("c").reduceRegions(places, ee.Reducer.sum(), 10)
    assert value(one.aggregate_array("sum"), SCENE) == expected
    assert value(one.aggregate_array("n"), SCENE) == [0, 1]


def test_samples_are_the_pixels_whose_centre_lies_inside_row_by_row() -> None:
    there = [place for place in INSIDE if VALUES[place] > 0]
    samples = ee.Image("S/x").sample(triangle(), 10, geometries=True)
    rows = value(samples, SCENE)["features"]
    assert [row["properties"] for row in rows] == [
        {"b": int(VALUES[place]), "c": int(VALUES.T[place] + 1)} for place in there
    ]
    row, col = there[0]
    to_lonlat = pyproj.Transformer.from_crs(UTM15, "EPSG:4326", always_xy=True)
    assert rows[0]["geometry"]["coordinates"] == pytest.approx(
        to_lonlat.transform(LEFT + 10 * col + 5, TOP - 10 * row - 5)
    )
    with pytest.raises(EmulatorError, match="samples all pixels"):
        value(ee.Image("S/x").sample(triangle(), 10, numPixels=5), SCENE)


def test_samples_of_regions_carry_the_properties_of_their_region() -> None:
    points = [(4, 7), (11, 2), (0, 0)]
    places = ee.FeatureCollection(
        [
            ee.Feature(
                ee.Geometry.Point([LEFT + 10 * col + 3, TOP - 10 * row - 8], UTM15), {"label": n, "x": 1}
            )
            for n, (row, col) in enumerate(points)
        ]
    )
    rows = value(ee.Image("S/x").sampleRegions(places, ["label"], 10), SCENE)["features"]
    assert [row["properties"] for row in rows] == [
        {"label": n, "b": int(VALUES[place]), "c": int(VALUES.T[place] + 1)}
        for n, place in enumerate(points)
        if VALUES[place] > 0
    ]


def test_lines_are_refused() -> None:
    line = ee.Geometry.LineString([[LEFT, TOP], [LEFT + 50, TOP - 50]], UTM15, False)
    with pytest.raises(EmulatorError, match="not over a LineString"):
        reduced(ee.Reducer.mean(), line)
