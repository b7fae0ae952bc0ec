"""Squares, lattices and draws, against geodesic distances and plain loops."""

import math

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gee_pipeline.errors import InputError
from training.sampling.squares.grid import SampleCell, cells_touching, draw, lattice_points, pixel_at
from training.sampling.squares.rule import SamplingRule

SMALL = SamplingRule(grid=0.02)
GEOD = pyproj.Geod(ellps="WGS84")


def cell_at(lon: float, lat: float, rule: SamplingRule = SMALL) -> SampleCell:
    return SampleCell(math.floor(lat / rule.grid), math.floor(lon / rule.grid), round(6 / rule.grid))


def points_of(cell: SampleCell, rule: SamplingRule = SMALL) -> np.ndarray:
    """Longitudes and latitudes `(n, 2)` of all points that samples may take."""
    points = lattice_points(cell, shapely.box(-180, -90, 180, 90), rule)
    return np.column_stack([points.lon[points.allowed], points.lat[points.allowed]])


def near_box(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The points within 0.005 degrees of the box of the others, also across the antimeridian."""
    middle, half = (others.min(axis=0) + others.max(axis=0)) / 2, np.ptp(others, axis=0) / 2
    apart = (points - middle + 180) % 360 - 180
    return points[(np.abs(apart) <= half + 0.005).all(axis=1)]


def nearest(one: np.ndarray, other: np.ndarray) -> float:
    """Least geodesic distance in metres of two sets of points that are nowhere far apart.

    Only points within 0.005 degrees of the box of the others are measured: half a kilometre in latitude.
    """
    one, other = near_box(one, other), near_box(other, one)
    a, b = np.repeat(one, len(other), axis=0), np.tile(other, (len(one), 1))
    return float(GEOD.inv(a[:, 0], a[:, 1], b[:, 0], b[:, 1])[2].min())


def test_squares_stand_on_whole_multiples() -> None:
    cells = cells_touching(shapely.box(-91.25, 34.98, -91.05, 35.05), SamplingRule())
    assert [cell.bounds for cell in cells] == [
        (-91.3, 34.9, -91.2, 35.0),
        (-91.2, 34.9, -91.1, 35.0),
        (-91.1, 34.9, -91.0, 35.0),
        (-91.3, 35.0, -91.2, 35.1),
        (-91.2, 35.0, -91.1, 35.1),
        (-91.1, 35.0, -91.0, 35.1),
    ]
    assert [cell.name for cell in cells][:2] == ["34.9N_91.3W", "34.9N_91.2W"]


def test_a_square_that_shares_an_edge_only_is_not_visited() -> None:
    assert len(cells_touching(shapely.box(10.1, 50.2, 10.2, 50.3), SamplingRule())) == 1


def test_every_part_of_a_ragged_area_is_in_one_square() -> None:
    rng = np.random.default_rng(4)
    area = shapely.Point(6.02, 0.13).buffer(0.5)
    area = area.difference(shapely.box(5.9, 0.0, 6.3, 0.3))
    squares = [shapely.box(*cell.bounds) for cell in cells_touching(area, SamplingRule())]
    for x, y in rng.uniform((5.4, -0.5), (6.6, 0.7), (300, 2)):
        if area.contains(shapely.Point(x, y)):
            assert sum(square.contains(shapely.Point(x, y)) for square in squares) == 1
    assert all(area.intersection(square).area > 0 for square in squares)


@pytest.mark.parametrize(
    ("lon", "lat", "crs"),
    [
        (-91.25, 35.03, "EPSG:32615"),
        (-90.01, 35.03, "EPSG:32615"),
        (-89.99, 35.03, "EPSG:32616"),
        (-60.3, -33.4, "EPSG:32720"),
        (0.01, -0.01, "EPSG:32731"),
        (179.99, 10, "EPSG:32660"),
        (-179.99, 10, "EPSG:32601"),
    ],
)
def test_a_square_lies_in_its_zone_and_hemisphere(lon: float, lat: float, crs: str) -> None:
    assert cell_at(lon, lat).crs == crs


@settings(max_examples=25, deadline=None)
@given(st.floats(-179.9, 179.9), st.floats(-60, 70), st.sampled_from([10, 30, 60, 70]))
def test_a_lattice_covers_its_square_and_its_points_are_centres_of_pixels(
    lon: float, lat: float, spacing: int
) -> None:
    cell = cell_at(lon, lat)
    geobox = cell.lattice(spacing)
    west, south, east, north = geobox.boundingbox.bbox
    zone = pyproj.Transformer.from_crs("EPSG:4326", cell.crs, always_xy=True)
    w, s, e, n = cell.bounds
    for t in np.linspace(0, 1, 7):
        for edge in ((w + t * (e - w), s), (w + t * (e - w), n), (w, s + t * (n - s)), (e, s + t * (n - s))):
            x, y = zone.transform(*edge)
            assert west <= x <= east
            assert south <= y <= north
    x, y = geobox.transform * (0.5, 0.5)
    assert ((x - 5) % spacing, (y - 5) % spacing) == (0, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((-91.25, 35.03), (-91.23, 35.03)),  # side by side in a zone
        ((-91.25, 35.03), (-91.25, 35.05)),  # one above the other
        ((-90.01, 35.03), (-89.99, 35.03)),  # across a border of zones
        ((-90.01, 60.03), (-89.99, 60.03)),
        ((0.01, 45.01), (-0.01, 45.01)),
        ((12.5, 0.01), (12.5, -0.01)),  # across the equator
        ((179.99, 10.01), (-179.99, 10.01)),  # across the antimeridian
    ],
)
def test_points_of_neighbouring_squares_keep_the_spacing(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    distance = nearest(points_of(cell_at(*one)), points_of(cell_at(*other)))
    assert 59.9 <= distance <= 130  # 0.1 %: what a UTM zone stretches at most


def test_points_are_in_the_square_and_in_the_area_by_their_centre() -> None:
    cell = cell_at(-91.25, 35.03)
    area = shapely.Point(-91.25, 35.03).buffer(0.006)
    points = lattice_points(cell, area, SMALL)
    west, south, east, north = cell.bounds
    geobox = cell.lattice(60)
    degrees = pyproj.Transformer.from_crs(cell.crs, "EPSG:4326", always_xy=True)
    for row in range(geobox.shape[0]):
        for col in range(geobox.shape[1]):
            lon, lat = degrees.transform(*(geobox.transform * (col + 0.5, row + 0.5)))
            assert (points.lon[row, col], points.lat[row, col]) == pytest.approx((lon, lat), abs=1e-10)
            there = west <= lon < east and south <= lat < north and area.contains(shapely.Point(lon, lat))
            assert points.allowed[row, col] == there
    assert points.allowed.sum() > 100


def test_the_pixel_of_a_point_is_aligned_to_ten_metres() -> None:
    geobox = cell_at(-60.3, -33.4).lattice(60)
    pixel = pixel_at(geobox, 3, 7)
    x, y = geobox.transform * (7.5, 3.5)
    assert pixel.boundingbox.bbox == (x - 5, y - 5, x + 5, y + 5)
    assert (pixel.shape, str(pixel.crs)) == ((1, 1), "EPSG:32720")
    assert (pixel.transform.c % 10, pixel.transform.f % 10, pixel.transform.a) == (0, 0, 10)


def codes_of(cell: SampleCell, classes: int = 3) -> np.ndarray:
    return np.random.default_rng(9).integers(0, classes + 1, cell.lattice(60).shape)


def test_a_draw_takes_so_many_candidates_over_all_classes() -> None:
    cell = cell_at(-91.25, 35.03)
    codes = codes_of(cell)
    allowed = np.random.default_rng(1).random(codes.shape) < 0.5
    taken = draw(cell, codes, allowed, SamplingRule(grid=0.02, per_cell=5))
    assert len({tuple(place) for place in taken}) == 5
    assert all(allowed[row, col] and codes[row, col] > 0 for row, col in taken)


def test_a_draw_of_each_class_takes_so_many_of_each() -> None:
    cell = cell_at(-91.25, 35.03)
    codes = codes_of(cell)
    codes[codes == 2] = 0
    codes[4, 4] = 2
    taken = draw(
        cell, codes, np.ones(codes.shape, bool), SamplingRule(grid=0.02, per_cell=4, each_class=True)
    )
    assert np.bincount(codes[tuple(taken.T)]).tolist() == [0, 4, 1, 4]


@pytest.mark.parametrize("each_class", [True, False])
def test_a_square_without_candidates_gives_none(each_class: bool) -> None:
    cell = cell_at(-91.25, 35.03)
    rule = SamplingRule(grid=0.02, each_class=each_class)
    codes = codes_of(cell)
    assert draw(cell, codes, np.zeros(codes.shape, bool), rule).shape == (0, 2)
    assert draw(cell, np.zeros_like(codes), np.ones(codes.shape, bool), rule).shape == (0, 2)


def test_few_candidates_are_all_taken() -> None:
    cell = cell_at(-91.25, 35.03)
    codes = np.zeros(cell.lattice(60).shape, int)
    codes[2, 3] = codes[5, 1] = 1
    taken = draw(cell, codes, np.ones(codes.shape, bool), SamplingRule(grid=0.02, per_cell=9))
    assert sorted(map(tuple, taken.tolist())) == [(2, 3), (5, 1)]


def test_every_candidate_has_the_same_chance() -> None:
    cell = cell_at(-91.25, 35.03)
    codes = np.zeros(cell.lattice(60).shape, int)
    codes[:2, :5] = 1
    taken = [
        tuple(draw(cell, codes, codes > 0, SamplingRule(grid=0.02, seed=seed))[0]) for seed in range(2_000)
    ]
    counts = np.unique(np.array(taken), axis=0, return_counts=True)[1]
    assert len(counts) == 10
    assert counts.min() > 140  # 200 each; 4.5 standard deviations of the binomial
    assert counts.max() < 260


def test_a_draw_hangs_on_seed_and_square_alone() -> None:
    one, other = cell_at(-91.25, 35.03), cell_at(-91.23, 35.03)
    codes = np.ones((20, 20), int)
    everywhere = np.ones(codes.shape, bool)

    def taken(cell: SampleCell, seed: int, allowed: np.ndarray = everywhere) -> list[list[int]]:
        places: list[list[int]] = draw(
            cell, codes, allowed, SamplingRule(grid=0.02, per_cell=6, seed=seed)
        ).tolist()
        return places

    assert taken(one, 0) == taken(one, 0)
    assert taken(one, 0) != taken(one, 1)
    assert taken(one, 0) != taken(other, 0)
    # what a smaller area still holds stays drawn
    north = everywhere.copy()
    north[10:] = False
    kept = [place for place in taken(one, 0) if place[0] < 10]
    assert taken(one, 0, north)[: len(kept)] == kept


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"per_cell": 0}, "--per-cell 0"),
        ({"seed": -1}, "--seed -1"),
        ({"spacing": 25}, "--spacing 25"),
        ({"spacing": 0}, "--spacing 0"),
        ({"buffer": -1.0}, "--buffer -1"),
        ({"buffer": 501.0}, "--buffer 501"),
        ({"buffer": float("nan")}, "--buffer nan"),
        ({"grid": 0.07}, "--grid 0.07"),
        ({"grid": 0.0}, "--grid 0"),
        ({"grid": 2.0}, "--grid 2"),
        ({"grid": float("nan")}, "--grid nan"),
    ],
)
def test_a_rule_out_of_range_is_refused(changes: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        SamplingRule(**changes)
