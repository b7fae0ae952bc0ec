import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import InputError
from gee_pipeline.grid import Grid, inside, make_grid, name_crs

UTM32 = pyproj.CRS("EPSG:32632")


def _aoi(shape: BaseGeometry, crs: str = "EPSG:4326") -> Aoi:
    return Aoi(shape, pyproj.CRS(crs))


def _grid(shape: BaseGeometry, cell_size: int = 256) -> Grid:
    return make_grid(Aoi(shape, UTM32), "EPSG:32632", cell_size)


@pytest.mark.parametrize(
    ("lon", "lat", "code"),
    [
        (11.5, 48.0, 32632),
        (-90.5, 35.0, 32615),
        (25.0, -30.0, 32735),  # south
        (179.9, 10.0, 32660),  # last zone
    ],
)
def test_the_default_crs_is_the_utm_zone_of_the_centroid(lon: float, lat: float, code: int) -> None:
    grid = make_grid(_aoi(shapely.box(lon - 0.05, lat - 0.05, lon + 0.05, lat + 0.05)))
    assert name_crs(grid.geobox.crs.to_wkt()) == f"EPSG:{code}"


def test_the_origin_is_a_multiple_of_a_cell_and_pixels_are_10_m() -> None:
    grid = make_grid(_aoi(shapely.box(11.0, 48.0, 11.1, 48.1)))
    a = grid.geobox.transform
    assert (a.a, a.e) == (10, -10)
    assert a.c % 2560 == 0
    assert a.f % 2560 == 0
    assert all(side % 256 == 0 for side in grid.geobox.shape)


def test_the_grid_covers_the_area_and_no_more_than_a_cell_around() -> None:
    area = shapely.box(601_234, 5_301_111, 605_678, 5_303_333)
    west, south, east, north = _grid(area).geobox.boundingbox.bbox
    assert 0 <= 601_234 - west < 2560
    assert 0 <= 5_301_111 - south < 2560
    assert 0 <= east - 605_678 < 2560
    assert 0 <= north - 5_303_333 < 2560


def test_eight_degrees_of_longitude_ask_for_a_crs() -> None:
    wide = _aoi(shapely.box(2, 45, 10, 46))
    with pytest.raises(InputError, match="--crs"):
        make_grid(wide)
    assert name_crs(make_grid(wide, "EPSG:3035").geobox.crs.to_wkt()) == "EPSG:3035"


@pytest.mark.parametrize(
    ("crs", "message"),
    [
        ("EPSG:4326", "projected and in metres"),
        ("EPSG:2263", "projected and in metres"),  # New York, US survey feet
        ("EPSG:999999", "Unknown CRS"),
        ("utm", "Unknown CRS"),
    ],
)
def test_a_crs_that_cannot_hold_square_metres_is_refused(crs: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_grid(_aoi(shapely.box(11, 48, 11.1, 48.1)), crs)


def test_cells_tile_the_grid_without_gap_or_overlap() -> None:
    grid = _grid(shapely.box(600_000, 5_300_000, 604_000, 5_306_000))
    rows, cols = grid.shape
    seen = np.zeros(grid.geobox.shape, int)
    origin = grid.geobox.transform
    for row in range(rows):
        for col in range(cols):
            t = grid.cell(row, col).geobox.transform
            y, x = round((origin.f - t.f) / 10), round((t.c - origin.c) / 10)
            seen[y : y + 256, x : x + 256] += 1
    assert (seen == 1).all()


def test_only_cells_that_share_area_with_the_polygon_are_planned() -> None:
    """The oracle asks shapely cell by cell."""
    hole = shapely.box(603_000, 5_303_000, 612_000, 5_312_000)
    part = shapely.box(620_000, 5_300_000, 620_005, 5_320_000)  # half a pixel wide
    area = shapely.union_all([shapely.box(600_000, 5_300_000, 615_000, 5_315_000) - hole, part])
    grid = _grid(area)
    rows, cols = grid.shape
    expected = [
        (row, col)
        for row in range(rows)
        for col in range(cols)
        if area.intersection(shapely.box(*grid.cell(row, col).geobox.boundingbox.bbox)).area > 0
    ]
    assert [tuple(index) for index in grid.cells_touching(area)] == expected
    assert len(expected) < rows * cols


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 40_000)), min_size=3, max_size=8))
def test_any_polygon_plans_exactly_the_cells_it_shares_area_with(points: list[tuple[int, int]]) -> None:
    area = shapely.MultiPoint([(600_000 + x, 5_300_000 + y) for x, y in points]).convex_hull
    if area.area == 0:
        return
    grid = _grid(area)
    planned = {tuple(index) for index in grid.cells_touching(area)}
    for row in range(grid.shape[0]):
        for col in range(grid.shape[1]):
            shared = area.intersection(shapely.box(*grid.cell(row, col).geobox.boundingbox.bbox)).area
            assert shared < 1e-6 or (row, col) in planned
            assert shared > 0 or (row, col) not in planned


def test_a_square_on_cell_edges_does_not_plan_its_neighbours() -> None:
    area = shapely.box(2560 * 240, 2560 * 2000, 2560 * 241, 2560 * 2001)
    grid = make_grid(Aoi(area.buffer(2560), UTM32), "EPSG:32632")
    assert len(grid.cells_touching(area)) == 1


def test_a_pixel_belongs_to_the_area_that_holds_its_centre() -> None:
    area = shapely.box(600_000, 5_299_200, 600_026, 5_299_990)
    cell = _grid(area).cell(0, 0)
    mask = inside(area, cell.geobox)
    t = cell.geobox.transform
    for y in range(0, 256, 5):
        for x in range(256):
            assert mask[y, x] == area.contains(shapely.Point(t.c + 10 * x + 5, t.f - 10 * y - 5))


def test_neighbouring_areas_share_no_pixel_and_leave_none_out() -> None:
    left = shapely.Polygon(
        [(600_000, 5_300_000), (601_003, 5_300_000), (600_501, 5_302_000), (600_000, 5_302_000)]
    )
    right = shapely.box(600_000, 5_300_000, 602_000, 5_302_000).difference(left)
    cell = _grid(shapely.box(600_000, 5_300_000, 602_000, 5_302_000)).cell(0, 0)
    both = inside(left, cell.geobox).astype(int) + inside(right, cell.geobox)
    assert both.max() == 1
    whole = inside(shapely.union(left, right), cell.geobox)
    assert (both == whole).all()


def test_a_million_cells_are_planned_from_the_border_alone() -> None:
    """A square of 1,024 x 1,024 cells needs a few thousand looks, not a million."""
    side = 2560 * 1024
    area = shapely.box(0, 0, side, side)
    indices = make_grid(Aoi(area, pyproj.CRS("EPSG:3035")), "EPSG:3035").cells_touching(area)
    assert indices.shape == (1024 * 1024, 2)
    assert indices.nbytes < 10 * 2**20
