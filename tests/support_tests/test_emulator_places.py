"""Which pixel is read: grids, CRS, edges, neighbourhoods and clips, against loops over pixels with pyproj."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import ee
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ee_asking import LEFT, TOP, UTM15, asset, grid, offline_client, pixels, raster, value
from tests.support.ee_emulator.archive import ImageAsset, Raster
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.values import EmulatorError

RNG = np.random.default_rng(3)
FINE = RNG.integers(1, 60_000, (40, 40))
COARSE = RNG.integers(1, 60_000, (20, 20))
SCENE = asset("S/x", b10=raster(FINE), b20=raster(COARSE, size=20))


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


def looked_up(values: np.ndarray, size: float, where: Grid, crs: str = UTM15) -> list[list[Any]]:
    """The pixels that hold the centres, one by one; None beyond the raster."""
    to_source = pyproj.Transformer.from_crs(where.crs, crs, always_xy=True)
    rows = []
    for row in range(where.height):
        found: list[Any] = []
        for col in range(where.width):
            x, y = where.transform @ (col + 0.5, row + 0.5)
            if where.crs != crs:
                x, y = to_source.transform(x, y)
            i, j = math.floor((TOP - y) / size), math.floor((x - LEFT) / size)
            there = 0 <= i < values.shape[0] and 0 <= j < values.shape[1]
            found.append(int(values[i, j]) if there else None)
        rows.append(found)
    return rows


@given(
    dx=st.integers(-30, 430).map(float) | st.floats(-30, 430),
    dy=st.integers(-430, 30).map(float) | st.floats(-430, 30),
    size=st.sampled_from([10.0, 5.0, 13.0]),
)
@settings(max_examples=25, deadline=None)
def test_the_pixel_that_holds_the_centre_is_read_on_any_grid(dx: float, dy: float, size: float) -> None:
    where = Grid(UTM15, Affine(size, 0, LEFT + dx, 0, -size, TOP + dy), 6, 5)
    got = pixels(ee.Image("S/x"), where, SCENE)
    assert got["b10"].tolist() == looked_up(FINE, 10, where)
    assert got["b20"].tolist() == looked_up(COARSE, 20, where)


def test_a_centre_on_an_edge_belongs_to_the_pixel_right_of_it_and_below() -> None:
    where = Grid(UTM15, Affine(10, 0, LEFT + 5, 0, -10, TOP - 5), 3, 3)  # centres on the corners of pixels
    assert pixels(ee.Image("S/x"), where, SCENE)["b10"].tolist() == FINE[1:4, 1:4].tolist()


def in_other_crs(crs: str, size: float, shape: tuple[int, int] = (9, 11), shift: int = 100) -> Grid:
    x, y = pyproj.Transformer.from_crs(UTM15, crs, always_xy=True).transform(LEFT + shift, TOP - shift)
    return Grid(crs, Affine(size, 0, round(x, 5), 0, -size, round(y, 5)), shape[1], shape[0])


@pytest.mark.parametrize(("crs", "size"), [("EPSG:32616", 10), ("EPSG:5070", 10), ("EPSG:4326", 0.0001)])
def test_another_crs_is_read_at_the_projected_centres(crs: str, size: float) -> None:
    where = in_other_crs(crs, size)
    got = pixels(ee.Image("S/x"), where, SCENE)
    assert got["b10"].tolist() == looked_up(FINE, 10, where)
    assert got["b20"].tolist() == looked_up(COARSE, 20, where)
    assert None not in got["b10"].tolist()[0]


def test_a_grid_may_run_north() -> None:
    where = Grid(UTM15, Affine(10, 0, LEFT, 0, 10, TOP - 400), 40, 40)
    assert pixels(ee.Image("S/x"), where, SCENE)["b10"].tolist() == FINE[::-1].tolist()


def test_nodata_nan_and_masks_are_masked() -> None:
    values = np.array([[1.5, np.nan, -1, 4]], "float32")
    one = Raster(values, Affine(10, 0, LEFT, 0, -10, TOP), UTM15, -1, np.array([[True, True, True, False]]))
    got = pixels(ee.Image("a"), grid(1, 4), ImageAsset("a", None, {"b": one}))["b"]
    assert got.tolist() == [[1.5, None, None, None]]
    assert got.dtype == np.float32


def test_an_asset_is_not_read_where_the_servers_would_take_its_pyramid() -> None:
    assert pixels(ee.Image("S/x").select("b10"), grid(2, 2, size=19), SCENE)["b10"].shape == (2, 2)
    with pytest.raises(EmulatorError, match="no pyramids: it was asked for pixels 2 times as large"):
        pixels(ee.Image("S/x").select("b10"), grid(2, 2, size=20), SCENE)
    with pytest.raises(EmulatorError, match="no pyramids"):
        pixels(ee.Image("S/x").select("b10"), in_other_crs("EPSG:4326", 0.001), SCENE)


def test_reproject_computes_on_its_own_pixels_and_is_read_by_the_nearest() -> None:
    image = ee.Image("S/x").select("b10").reproject(UTM15, [20, 0, LEFT + 10, 0, -20, TOP - 10])
    got = pixels(
        image,
        Grid(UTM15, Affine(5, 0, LEFT + 20, 0, -5, TOP - 20), 12, 8),
        asset("S/x", b10=raster(FINE, size=12)),
    )
    expected = []
    for row in range(8):
        line = []
        for col in range(12):
            x, y = LEFT + 20 + 5 * (col + 0.5), TOP - 20 - 5 * (row + 0.5)
            i, j = math.floor((TOP - 10 - y) / 20), math.floor((x - LEFT - 10) / 20)
            centre_x, centre_y = LEFT + 10 + 20 * (j + 0.5), TOP - 10 - 20 * (i + 0.5)
            line.append(int(FINE[math.floor((TOP - centre_y) / 12), math.floor((centre_x - LEFT) / 12)]))
        expected.append(line)
    assert got["b10"].tolist() == expected


# Google's example of ee.Kernel.circle(3): rows of 1, 5, 5, 7, 5, 5 and 1 equal weights.
CIRCLE_3 = ["...#...", ".#####.", ".#####.", "#######", ".#####.", ".#####.", "...#..."]


def test_a_circle_holds_the_pixels_of_googles_example() -> None:
    middle = np.zeros((7, 7), int)
    middle[3, 3] = 1
    image = ee.Image("a").unmask(0, False).focalMax(kernel=ee.Kernel.circle(3))
    got = pixels(image, grid(7, 7), asset("a", b=raster(middle)))["b"].tolist()
    assert got == [[int(sign == "#") for sign in line] for line in CIRCLE_3]


CLASSES = np.where(RNG.random((30, 30)) < 0.02, 2, 1)
CLASSES[10:20, 12:] = 3


@pytest.mark.parametrize(
    ("kernel", "member"),
    [
        (lambda: ee.Kernel.circle(6, "pixels", False), lambda i, j: i * i + j * j <= 36),
        (lambda: ee.Kernel.circle(60, "meters"), lambda i, j: i * i + j * j <= 36),
        (lambda: ee.Kernel.square(2), lambda i, j: max(abs(i), abs(j)) <= 2),
        (lambda: ee.Kernel.square(25, "meters"), lambda i, j: max(abs(i), abs(j)) <= 2),
        (lambda: ee.Kernel.diamond(2), lambda i, j: abs(i) + abs(j) <= 2),
    ],
)
def test_neighbourhoods_reach_beyond_the_request(kernel: Any, member: Any) -> None:
    there = asset("a", c=raster(CLASSES, "uint8"))
    where = grid(6, 9, LEFT + 60, TOP - 80)
    made = ee.Image.cat([ee.Image("a").focalMin(kernel=kernel()), ee.Image("a").focalMax(kernel=kernel())])
    low, high = (band.tolist() for band in pixels(made, where, there).values())
    for row in range(6):
        for col in range(9):
            about = [
                int(CLASSES[i, j]) for i in range(30) for j in range(30) if member(i - row - 8, j - col - 6)
            ]
            assert (low[row][col], high[row][col]) == (min(about), max(about))


def test_neighbours_that_are_masked_do_not_count() -> None:
    there = asset("a", c=raster([[0, 5, 0, 0, 7]]))
    square = ee.Kernel.square(1)
    assert pixels(ee.Image("a").focalMax(kernel=square), grid(1, 5), there)["c"].tolist() == [[5, 5, 5, 7, 7]]
    reduced = ee.Image("a").reduceNeighborhood(ee.Reducer.max(), square)
    assert pixels(reduced, grid(1, 5), there)["c_max"].tolist() == [[None, 5, None, None, 7]]
    kept = ee.Image("a").reduceNeighborhood(ee.Reducer.count(), square, skipMasked=False)
    assert pixels(kept, grid(1, 5), there)["c_count"].tolist() == [[1, 1, 1, 1, 1]]


def test_clip_keeps_pixels_whose_centre_lies_inside() -> None:
    corners = [(LEFT + 31, TOP - 22), (LEFT + 178, TOP - 64), (LEFT + 92, TOP - 187)]
    shape = ee.Geometry.Polygon([list(corner) for corner in corners], UTM15, False)
    got = pixels(ee.Image("S/x").select("b10").clip(shape), grid(20, 20), SCENE)["b10"].tolist()
    triangle = shapely.Polygon(corners)
    for row in range(20):
        for col in range(20):
            inside = triangle.covers(shapely.Point(LEFT + 10 * col + 5, TOP - 10 * row - 5))
            assert got[row][col] == (FINE[row, col] if inside else None)


def test_a_clipped_constant_ends_where_it_was_clipped() -> None:
    box = ee.Geometry.Rectangle([LEFT, TOP - 10, LEFT + 10, TOP], UTM15, False)
    assert pixels(ee.Image(5).clip(box).unmask(-1, False), grid(1, 2))["constant"].tolist() == [[5, -1]]
    assert pixels(ee.Image(5).clip(box).unmask(-1), grid(1, 2))["constant"].tolist() == [[5, None]]


def test_an_export_grid_of_the_client_gives_the_pixels_of_the_grid() -> None:
    image = ee.Image("S/x").select("b10")
    wrapped = image.reproject(UTM15, [10, 0, LEFT + 50, 0, -10, TOP - 70])
    box = ee.Geometry.Rectangle([0, 0, 7, 5], wrapped.projection(), False)
    clipped = wrapped.clipToBoundsAndScale(geometry=box, width=7, height=5)
    got = pixels(clipped, grid(5, 9, LEFT + 50, TOP - 70), SCENE)["b10"].tolist()
    assert got == [[*line, None, None] for line in FINE[7:12, 5:12].tolist()]


def test_projections_tell_their_crs_and_the_size_of_their_pixels() -> None:
    image = ee.Image("S/x")
    projection = image.select("b20").projection()
    assert value(projection, SCENE) == {
        "type": "Projection",
        "crs": UTM15,
        "transform": [20, 0, LEFT, 0, -20, TOP],
    }
    assert value(projection.nominalScale(), SCENE) == 20
    assert value(ee.Image(1).projection())["crs"] == "EPSG:4326"
    assert value(ee.Image(1).projection().nominalScale()) == pytest.approx(2 * math.pi * 6_378_137 / 360)
    with pytest.raises(EmulatorError, match="different projections"):
        value(image.projection(), SCENE)


def test_an_image_tells_about_its_bands() -> None:
    info = value(ee.Image("S/x"), SCENE)
    assert (info["type"], info["id"], [band["id"] for band in info["bands"]]) == (
        "Image",
        "S/x",
        ["b10", "b20"],
    )
    assert info["bands"][1]["dimensions"] == [20, 20]
    assert info["bands"][0]["crs_transform"] == [10, 0, LEFT, 0, -10, TOP]


def test_longitude_and_latitude_are_those_of_the_centres() -> None:
    got = pixels(ee.Image.pixelLonLat(), grid(2, 2))
    lonlat = pyproj.Transformer.from_crs(UTM15, "EPSG:4326", always_xy=True).transform(LEFT + 15, TOP - 5)
    assert (got["longitude"][0, 1], got["latitude"][0, 1]) == pytest.approx(lonlat)


def test_crs_that_nobody_knows_are_refused() -> None:
    with pytest.raises(EmulatorError, match="could not be parsed: 'EPSG:99999'"):
        value(ee.Image(1).reproject("EPSG:99999", None, 10))
