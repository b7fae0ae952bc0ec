"""Dates, lists, dictionaries, text, numbers and geometries, against Python, shapely and pyproj."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ee
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ee_asking import LEFT, TOP, UTM15, offline_client, value
from tests.support.ee_emulator.values import EmulatorError


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)


def millis(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(MOMENTS, st.integers(-100, 100))
@settings(max_examples=25, deadline=None)
def test_dates_are_written_moved_and_compared_as_python_does(moment: datetime, days: int) -> None:
    date = ee.Date(millis(moment))
    told = ee.List([
        date.format("yyyyMMddHHmmssSSS"),
        date.format("yyyy-MM-dd'T'HH:mm:ss"),
        date.format("DDD"),
        date.format(),
        date.advance(days, "day").millis(),
        date.advance(days, "hours").difference(date, "minute"),
        date.get("month"),
        date.getRelative("day", "year"),
    ])  # fmt: skip
    assert value(told) == [
        moment.strftime("%Y%m%d%H%M%S") + f"{moment.microsecond // 1000:03d}",
        moment.strftime("%Y-%m-%dT%H:%M:%S"),
        f"{moment.timetuple().tm_yday:03d}",
        moment.strftime("%Y-%m-%dT%H:%M:%S"),
        millis(moment + timedelta(days=days)),
        60 * days,
        moment.month,
        moment.timetuple().tm_yday - 1,
    ]


@pytest.mark.parametrize(
    ("start", "delta", "unit", "expected"),
    [
        ("2021-01-31", 1, "month", "2021-02-28"),
        ("2020-02-29", 1, "year", "2021-02-28"),
        ("2021-03-15", -3, "months", "2020-12-15"),
        ("2021-12-30", 2, "weeks", "2022-01-13"),
    ],
)
def test_months_and_years_end_at_their_last_day(start: str, delta: int, unit: str, expected: str) -> None:
    assert value(ee.Date(start).advance(delta, unit).format("yyyy-MM-dd")) == expected


def test_text_and_parts_make_dates() -> None:
    assert value(ee.Date("2021-06-05T16:49:01.024")) == {"type": "Date", "value": 1_622_911_741_024}
    assert value(ee.Date.fromYMD(2021, 6, 5).millis()) == 1_622_851_200_000
    assert value(ee.Date("2021-06-05T10:00:00").getRange("day").end().format("yyyy-MM-dd")) == "2021-06-06"
    assert value(ee.DateRange("2021-06-05").end().millis()) == 1_622_851_200_001
    for wrong, message in [
        (ee.Date("5 June"), "Invalid date string"),
        (ee.Date("2021-06-05", "Asia/Tokyo"), "UTC only"),
    ]:
        with pytest.raises(EmulatorError, match=message):
            value(wrong)
    with pytest.raises(EmulatorError, match=re.escape("date pattern 'EEE'")):
        value(ee.Date(0).format("EEE"))


ITEMS = [5, 3, 3, 9]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda one: one.sort(), [3, 3, 5, 9]),
        (lambda one: one.sort(ee.List([4, 3, 2, 1])), [9, 3, 3, 5]),
        (lambda one: one.reverse(), [9, 3, 3, 5]),
        (lambda one: one.distinct(), [5, 3, 9]),
        (lambda one: one.slice(1, 3), [3, 3]),
        (lambda one: one.slice(-1), [9]),
        (lambda one: one.get(-1), 9),
        (lambda one: one.size(), 4),
        (lambda one: one.add(7), [5, 3, 3, 9, 7]),
        (lambda one: one.cat([1]), [5, 3, 3, 9, 1]),
        (lambda one: one.contains(9), True),
        (lambda one: one.indexOf(3), 1),
        (lambda one: one.indexOf(4), -1),
        (lambda one: one.remove(3), [5, 3, 9]),
        (lambda one: one.removeAll([3]), [5, 9]),
        (lambda one: one.zip([1, 2]), [[5, 1], [3, 2]]),
        (lambda one: one.set(0, 0), [0, 3, 3, 9]),
        (lambda one: one.join("-"), "5-3-3-9"),
        (lambda one: one.reduce(ee.Reducer.median()), 4),
        (lambda one: one.reduce(ee.Reducer.frequencyHistogram()), {"3": 2, "5": 1, "9": 1}),
        (lambda one: ee.List([one, [one]]).flatten(), ITEMS * 2),
        (lambda one: ee.List.sequence(2, 11, 3), [2, 5, 8, 11]),
        (lambda one: ee.List.sequence(1, None, 2, 3), [1, 3, 5]),
        (lambda one: ee.List.sequence(0, 1, count=5), [0, 0.25, 0.5, 0.75, 1]),
        (lambda one: ee.List.repeat(1, 3), [1, 1, 1]),
        (lambda one: one.filter(ee.Filter.gt("item", 4)), [5, 9]),
    ],
)
def test_lists(build: Any, expected: Any) -> None:
    assert value(build(ee.List(ITEMS))) == expected


def test_dictionaries() -> None:
    one = ee.Dictionary({"b": 2, "a": 1})
    assert value(one.keys()) == ["a", "b"]
    assert value(one.values()) == [1, 2]
    assert value(one.set("c", 3).combine({"a": 9})) == {"b": 2, "a": 9, "c": 3}
    assert value(one.combine({"a": 9}, False)) == {"b": 2, "a": 1}
    assert value(one.map(lambda key, item: ee.Number(item).multiply(10))) == {"b": 20, "a": 10}
    assert value(one.get("q", 5)) == 5
    assert value(ee.Dictionary.fromLists(["x"], [1]).contains("x")) is True
    with pytest.raises(EmulatorError, match="does not contain key: 'q'"):
        value(one.get("q"))


def test_text() -> None:
    text = ee.String("T15SYV_2021")
    told = [text.slice(1, 3), text.length(), text.toLowerCase(), text.split("_"), text.index("SYV")]
    assert value(ee.List(told)) == ["15", 11, "t15syv_2021", ["T15SYV", "2021"], 3]
    told = [text.replace("[0-9]+", "#", "g"), text.match("([A-Z]+)_(20)"), text.compareTo("T16")]
    assert value(ee.List(told)) == ["T#SYV_#", ["SYV_20", "SYV", "20"], -1]
    assert value(ee.String(ee.Number(5)).cat("!")) == "5!"


def test_numbers() -> None:
    seven = ee.Number(7)
    assert value(ee.List([seven.mod(4), ee.Number(-7).mod(4), ee.Number(2).pow(10)])) == [3, -3, 1024]
    assert value(ee.List([ee.Number(3.7).floor(), seven.clamp(0, 3), seven.divide(0), seven.divide(2)])) == [
        3,
        3,
        0,
        3.5,
    ]
    assert value(ee.List([ee.Number.parse("12"), ee.Number.parse("1.5"), seven.format("%04d")])) == [
        12,
        1.5,
        "0007",
    ]


def test_values_are_chosen_by_a_condition() -> None:
    assert value(ee.Algorithms.If(ee.Number(1).gt(0), "yes", "no")) == "yes"
    assert value(ee.Algorithms.If(None, 1, 2)) == 2
    assert value(ee.Algorithms.ObjectType(ee.Image(1))) == "Image"


SQUARE = [[LEFT, TOP - 1000], [LEFT + 1000, TOP - 1000], [LEFT + 1000, TOP], [LEFT, TOP]]


def square() -> ee.Geometry:
    return ee.Geometry.Polygon(SQUARE, UTM15, False)


def test_shapes_are_projected_with_their_edges() -> None:
    got = shapely.geometry.shape(value(square().transform("EPSG:4326", 1)))
    edge = shapely.segmentize(shapely.Polygon(SQUARE), 10)
    lonlat = pyproj.Transformer.from_crs(UTM15, "EPSG:4326", always_xy=True)
    expected = shapely.transform(edge, lambda points: np.column_stack(lonlat.transform(*points.T)))
    assert got.symmetric_difference(expected).area < 1e-6 * expected.area
    assert value(square().bounds(1, UTM15).coordinates())[0][0] == [LEFT + 1000, TOP - 1000]


def test_areas_and_buffers_are_in_metres() -> None:
    scale = 0.9996**2  # of the projection, nearly: the square lies 190 km east of its middle meridian
    assert value(square().area(1)) == pytest.approx(1e6 / scale, rel=1e-3)
    assert value(square().area(1, UTM15)) == 1e6
    point = ee.Geometry.Point([-91, 35])
    assert value(point.buffer(100).area(1)) == pytest.approx(math.pi * 100**2, rel=0.01)
    assert value(square().buffer(-100, proj=UTM15).area(1, UTM15)) == pytest.approx(800**2)


def test_geometries_are_related() -> None:
    inner = ee.Geometry.Rectangle([LEFT + 100, TOP - 200, LEFT + 200, TOP - 100], UTM15, False)
    far = ee.Geometry.Rectangle([LEFT + 5000, TOP, LEFT + 6000, TOP + 10], UTM15, False)
    told = [
        square().contains(inner, 1),
        inner.containedIn(square(), 1),
        square().intersects(far, 1),
        square().disjoint(far, 1),
    ]
    assert value(ee.List(told)) == [True, True, False, True]
    proj = ee.Projection(UTM15)
    assert value(square().intersection(inner, 1, proj).area(1, UTM15)) == pytest.approx(1e4)
    assert value(square().difference(inner, 1, proj).area(1, UTM15)) == pytest.approx(1e6 - 1e4)


def test_geodesic_edges_are_great_circles_and_planar_ones_straight() -> None:
    edge = [[-100, 40], [-80, 40], [-80, 39], [-100, 39]]
    above = ee.Geometry.Point(
        [-90, 40.2]
    )  # the great circle between two points of a parallel runs north of it
    assert value(ee.Geometry.Polygon(edge, None, True).contains(above, 1)) is True
    assert value(ee.Geometry.Polygon(edge, None, False).contains(above, 1)) is False


def test_coordinates_in_the_pixels_of_a_projection_are_those_of_its_crs() -> None:
    projection = ee.Projection(UTM15, [20, 0, LEFT, 0, -20, TOP])
    box = ee.Geometry.Rectangle([0, 0, 50, 50], projection, False)
    assert value(box.area(1, UTM15)) == 1e6
    assert value(square().contains(box, 1, ee.Projection(UTM15))) is True
