"""Geometries before GEOS sees them, and at the edge of the globe."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.incoming.geometry import (
    GeometryError,
    bbox_of,
    box_of,
    boxes_around,
    footprint_of,
    geometry_of,
    on_globe,
    sound,
)

SQUARE = [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]
HOLE = [[0.5, 0.5], [1.5, 0.5], [1.5, 1.5], [0.5, 1.5], [0.5, 0.5]]


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


@pytest.mark.parametrize(
    ("values", "area"),
    [
        (polygon(SQUARE), 4),
        (polygon(SQUARE, HOLE), 3),
        (polygon(SQUARE, []), 4),  # GEOS crashes on an empty hole
        (polygon(SQUARE[:-1]), 4),  # a ring that is not closed
        (polygon([[*corner, 100.0] for corner in SQUARE]), 4),  # with heights
        (polygon([]), 0),
        (polygon(), 0),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE, []], [[[5, 5], [6, 5], [6, 6]]]]}, 4.5),
        ({"type": "GeometryCollection", "geometries": [polygon(SQUARE, []), polygon([])]}, 4),
        ({"type": "Point", "coordinates": [1, 2]}, 0),
    ],
)
def test_geojson_becomes_a_geometry_that_geos_can_take(values, area):
    found = geometry_of(values)
    assert found.area == area
    holes = [r for part in shapely.get_parts(found) for r in getattr(part, "interiors", ())]
    assert not any(hole.is_empty for hole in holes)
    assert shapely.make_valid(shapely.segmentize(found, 1)).area == area


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "not a GeoJSON geometry"),
        ([1, 2], "not a GeoJSON geometry"),
        ({"type": "Circle"}, "not a GeoJSON geometry"),
        ({"type": "Polygon"}, "lists of numbers"),
        (polygon([[0, 0], [math.nan, 0], [2, 2], [0, 0]]), "not a finite number"),
        (polygon([[0, 0], [math.inf, 0], [2, 2], [0, 0]]), "not a finite number"),
        (polygon([[0, 0], [10**400, 0], [2, 2], [0, 0]]), "not a finite number"),
        (polygon([[0, 0], ["2", 0], [2, 2], [0, 0]]), "not a number"),
        (polygon([[0, 0], [None, 0], [2, 2], [0, 0]]), "not a number"),
        (polygon([[0, 0], [2, 0], [0, 0]]), "fewer than three corners"),
        (polygon([[0], [2], [3], [0]]), "fewer than two numbers"),
        (polygon({"a": 1}), "lists of numbers"),
        ({"type": "MultiPolygon", "coordinates": 5}, "lists of numbers"),
        ({"type": "Point", "coordinates": [math.nan, 0]}, "not a finite number"),
        ({"type": "GeometryCollection", "geometries": [{"type": "Nothing"}]}, "not a GeoJSON geometry"),
    ],
)
def test_what_is_no_geometry_is_said(values, message):
    with pytest.raises(GeometryError, match=message):
        geometry_of(values)


def test_a_footprint_is_a_place():
    with pytest.raises(GeometryError, match="empty"):
        footprint_of(polygon([]))
    bow = footprint_of(polygon([[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]))
    assert bow.is_valid
    assert bow.area == 2


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (shapely.Polygon([(0, 0), (math.nan, 0), (1, 1)]), "not a finite number"),
        (shapely.Polygon([(0, 0), (math.inf, 0), (1, 1)]), "not a finite number"),
    ],
)
def test_geometries_of_files_are_checked_too(geometry, message):
    with pytest.raises(GeometryError, match=message):
        sound(geometry)


def test_empty_holes_of_files_are_left_out():
    found = sound(shapely.Polygon(SQUARE, [[]]))
    assert shapely.get_num_interior_rings(found) == 0
    assert found.area == 4
    assert sound(shapely.Polygon()).is_empty
    parts = [shapely.box(0, 0, 1, 1), shapely.Polygon(), shapely.LineString(), shapely.GeometryCollection()]
    assert shapely.get_num_geometries(sound(shapely.GeometryCollection(parts))) == 1


EAST, WEST = shapely.box(179, 10, 180, 11), shapely.box(-180, 10, -179, 11)
BOTH = shapely.union(EAST, WEST)


def ring(*longitudes, south=10, north=11):
    """A ring along two parallels."""
    return shapely.Polygon([*((x, south) for x in longitudes), *((x, north) for x in longitudes[::-1])])


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        (ring(179, 180), EAST),
        (ring(179, -180), EAST),  # the antimeridian under its other name
        (ring(179, 181), BOTH),
        (ring(-181, -179), BOTH),
        (ring(179, -179), BOTH),
        (ring(-179, 179), BOTH),
        (ring(179, 179.5, 180, -180, -179.5, -179), BOTH),
        (ring(539, 541), BOTH),
        (ring(181, 182), shapely.box(-179, 10, -178, 11)),
        (ring(-180, 180, south=-90, north=90), shapely.box(-180, -90, 180, 90)),
        (ring(-10, 20), shapely.box(-10, 10, 20, 11)),
    ],
)
def test_longitudes_lie_on_the_globe(geometry, expected):
    found = on_globe(geometry)
    assert found.symmetric_difference(expected).area == pytest.approx(0, abs=1e-12)
    assert on_globe(found).equals(found)


@pytest.mark.parametrize(
    "corners",
    [
        [(-180, -90), (180, -90), (180, 90), (0, 90), (-180, 90)],
        [(-180, -90), (0, -90), (180, -90), (180, 90), (-180, 90)],
    ],
)
def test_the_whole_globe_stays_the_whole_globe(corners):
    assert on_globe(shapely.Polygon(corners)).area == 360 * 180


@pytest.mark.parametrize("bounds", [(6e5, 5e6, 7e5, 6e6), (10, 80, 20, 91)])
def test_metres_are_no_degrees(bounds):
    with pytest.raises(GeometryError, match="no longitudes and latitudes"):
        on_globe(shapely.box(*bounds))


def test_a_hole_stays_a_hole_on_both_sides():
    outer, inner = [(178, 0), (-178, 0), (-178, 4), (178, 4)], [(179, 1), (-179.5, 1), (-179.5, 2), (179, 2)]
    found = on_globe(shapely.Polygon(outer, [inner]))
    assert found.area == pytest.approx(16 - 1.5)
    assert not found.intersects(shapely.Point(-179.75, 1.5))
    assert found.intersects(shapely.Point(-179.25, 1.5))


def test_a_ring_around_a_pole_holds_the_pole():
    found = on_globe(shapely.Polygon([(0, 80), (120, 80), (-120, 80)]))
    assert found.intersects(shapely.Point(45, 89.9))
    assert found.area == pytest.approx(360 * 10)
    south = on_globe(shapely.Polygon([(0, -70), (-120, -70), (120, -70)]))
    assert south.intersects(shapely.Point(45, -89.9))


@given(
    st.floats(-540, 540),
    st.floats(0.01, 170),
    st.lists(st.tuples(st.floats(-180, 180), st.floats(10, 11)), min_size=1, max_size=5),
)
def test_a_place_is_in_a_box_whatever_its_longitude_is_called(west, width, places):
    """The oracle: how far east of the western edge a place lies, modulo 360 degrees."""
    found = on_globe(shapely.box(west, 10, west + width, 11))
    for lon, lat in places:
        beyond = (lon - west) % 360
        if min(abs(beyond - edge) for edge in (0, width, 360)) > 1e-6:
            assert found.intersects(shapely.Point(lon, lat)) == (beyond < width)
    assert found.area == pytest.approx(width)


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ([9, 10, 12, 11], shapely.box(9, 10, 12, 11)),
        ([9, 10, 100, 12, 11, 200], shapely.box(9, 10, 12, 11)),
        ([179, 10, -179, 11], BOTH),
        ([179, 10, 181, 11], BOTH),
    ],
)
def test_a_bbox_may_cross_the_antimeridian(bbox, expected):
    assert box_of(bbox).equals(expected)


@pytest.mark.parametrize("bbox", [[1, 2, 3], ["a", 1, 2, 3], [1, 2, math.nan, 4], None, "1,2,3,4"])
def test_what_is_no_bbox_is_said(bbox):
    with pytest.raises(GeometryError):
        box_of(bbox)


def test_no_search_spans_the_earth():
    assert boxes_around(BOTH) == [(179, 10, 180, 11), (-180, 10, -179, 11)]
    assert boxes_around(EAST) == [(179, 10, 180, 11)]
    assert bbox_of(BOTH) == [179, 10, -179, 11]
    assert bbox_of(EAST) == [179, 10, 180, 11]
    np.testing.assert_array_equal(boxes_around(shapely.box(-170, 0, 100, 1)), [[-170, 0, 100, 1]])
