"""Reference maps on the servers: merged classes and the inward buffer, against distances by scipy."""

from typing import Any

import ee
import numpy as np
import pyproj
import pytest
import scipy.ndimage
from affine import Affine
from numpy.typing import NDArray

from gee_pipeline.earthengine.composites import graph, reference
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.grid import Grid

pytestmark = pytest.mark.usefixtures("offline_client")

CRS = "EPSG:32615"
LEFT, TOP = 663_960, 3_885_000  # whole multiples of 60
ASSET = "projects/p/assets/crops"
CODES = {1: 1, 5: 2, 22: 4, 24: 4, 100: 7}
NO_VALUE = 2_147_483_647


def fields(side: int, field: int = 9) -> NDArray[np.uint8]:
    """A map of square fields with single wrong pixels, values 1, 5, 22, 24, 77 and 100."""
    rng = np.random.default_rng(3)
    coarse = rng.choice([1, 5, 22, 24, 77, 100], (side // field + 1, side // field + 1))
    values = coarse.repeat(field, 0).repeat(field, 1)[:side, :side].astype(np.uint8)
    noise = rng.random(values.shape) < 0.04 / field**2
    values[noise] = rng.choice([1, 5, 22], noise.sum())
    return values


def asset(
    values: NDArray[Any], crs: str, transform: Affine, mask: NDArray[np.bool_] | None = None, **bands: Raster
) -> ImageAsset:
    return ImageAsset(ASSET, None, {"crops": Raster(values, transform, crs, mask=mask), **bands})


def albers(side: int = 60, mask: NDArray[np.bool_] | None = None) -> ImageAsset:
    """30 m pixels in the projection of the Cropland Data Layer, around the middle of the lattice."""
    x, y = pyproj.Transformer.from_crs(CRS, "EPSG:5070", always_xy=True).transform(LEFT + 600, TOP - 600)
    half = side * 15
    return asset(fields(side), "EPSG:5070", Affine(30, 0, x - half, 0, -30, y + half), mask)


def degrees(side: int = 180) -> ImageAsset:
    """About 10 m north to south and 8 m east to west, like the rasters that CropGlobe uploaded."""
    lon, lat = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(LEFT + 600, TOP - 600)
    step = 9e-5
    return asset(
        fields(side, 27), "EPSG:4326", Affine(step, 0, lon - side * step / 2, 0, -step, lat + side * step / 2)
    )


def lattice(spacing: int = 60, side: int = 20) -> Grid:
    """Centres 5 m north-east of whole multiples of 60 m; the first is at LEFT + 5, TOP - 55."""
    offset = 5 - spacing / 2
    return Grid(CRS, Affine(spacing, 0, LEFT + offset, 0, -spacing, TOP + offset), side, side)


def pixels(image: ee.Image, archive: Archive, grid: Grid) -> dict[str, NDArray[Any]]:
    """Values by band; nothing may be masked."""
    bands = image_pixels(evaluate(ee.serializer.encode(image), archive), grid)
    assert all(mask.all() for _, _, mask in bands)
    assert all(values.dtype == np.int32 for _, values, _ in bands)
    return {name: values for name, values, _ in bands}


def on_ten_metres(image: ImageAsset, grid: Grid, margin: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The values of the map on the 10 m pixels under a grid and a margin, and whether it is there."""
    raster = image.bands["crops"]
    steps = round(grid.transform.a) // 10
    n = (grid.width - 1) * steps + 1 + 2 * margin
    centre_x, centre_y = grid.transform * (0.5, 0.5)
    x = centre_x + 10 * (np.arange(n) - margin)
    y = centre_y - 10 * (np.arange(n) - margin)
    there = pyproj.Transformer.from_crs(grid.crs, raster.crs, always_xy=True)
    u, v = there.transform(*np.meshgrid(x, y))
    cols, rows = (np.floor(a).astype(int) for a in ~raster.transform * (u, v))
    height, width = raster.values.shape
    inside = (rows >= 0) & (cols >= 0) & (rows < height) & (cols < width)
    rows, cols = rows.clip(0, height - 1), cols.clip(0, width - 1)
    if raster.mask is not None:
        inside &= raster.mask[rows, cols]
    return np.where(inside, raster.values[rows, cols].astype(np.int64), NO_VALUE), inside


def eroded(codes: NDArray[np.int64], metres: float) -> NDArray[np.int64]:
    """Codes whose nearest pixel of another code is further away than this many metres."""
    out = np.zeros_like(codes)
    for code in set(codes.ravel().tolist()) - {0}:
        distance = scipy.ndimage.distance_transform_edt(codes == code, sampling=10)
        out[distance > metres + 1e-6] = code
    return out


def expected(image: ImageAsset, grid: Grid, metres: float) -> tuple[NDArray[Any], NDArray[Any]]:
    margin = 60
    values, _ = on_ten_metres(image, grid, margin)
    codes = np.vectorize(lambda value: CODES.get(value, 0))(values)
    step = round(grid.transform.a) // 10
    every = slice(margin, -margin, step)
    return eroded(codes, metres)[every, every], values[every, every]


@pytest.mark.parametrize("image", [albers(), degrees()], ids=["30 m in Albers", "degrees"])
@pytest.mark.parametrize("metres", [60, 45, 20, 0])
def test_a_pixel_keeps_its_class_where_all_within_the_buffer_have_it(
    image: ImageAsset, metres: float
) -> None:
    grid = lattice()
    found = pixels(reference.pure_classes(ASSET, None, CODES, CRS, buffer=metres), Archive([image]), grid)
    codes, values = expected(image, grid, metres)
    np.testing.assert_array_equal(found["class"], codes)
    np.testing.assert_array_equal(found["value"], values)
    assert len(set(codes.ravel())) > (2 if metres == 60 else 3)
    assert list(found) == ["class", "value"]


def test_classes_are_merged_before_borders_are_cut() -> None:
    """Winter and durum wheat side by side are one field of wheat."""
    values = np.full((60, 60), 22, np.uint8)
    values[:, 30:] = 24
    image = asset(values, CRS, Affine(30, 0, LEFT - 300, 0, -30, TOP + 300))
    found = pixels(reference.pure_classes(ASSET, None, CODES, CRS, buffer=60), Archive([image]), lattice())
    assert set(found["class"].ravel()) == {4}
    assert set(found["value"].ravel()) == {22, 24}


def test_the_edge_of_the_map_and_masked_pixels_are_borders() -> None:
    mask = np.ones((24, 24), bool)
    mask[10, 11] = False
    values = np.ones((24, 24), np.uint8)
    image = asset(values, CRS, Affine(30, 0, LEFT + 120, 0, -30, TOP - 120), mask)
    grid = lattice()
    found = pixels(reference.pure_classes(ASSET, None, CODES, CRS, buffer=60), Archive([image]), grid)
    codes, shown = expected(image, grid, 60)
    np.testing.assert_array_equal(found["class"], codes)
    np.testing.assert_array_equal(found["value"], shown)
    assert 50 < (codes == 1).sum() < (shown == 1).sum()
    assert (shown == NO_VALUE).any()


def test_values_beyond_a_byte_are_read() -> None:
    values = np.full((40, 40), 1, np.int16)
    values[:20] = -300
    values[:, :10] = 12_345
    image = asset(values, CRS, Affine(30, 0, LEFT, 0, -30, TOP))
    found = pixels(
        reference.pure_classes(ASSET, None, {-300: 3, 12_345: 5}, CRS, buffer=0), Archive([image]), lattice()
    )
    assert set(found["value"].ravel()) >= {1, -300, 12_345}
    assert set(found["class"][found["value"] == -300]) == {3}
    assert set(found["class"][found["value"] == 12_345]) == {5}


def test_a_named_band_is_read() -> None:
    plain = np.zeros((60, 60), np.uint8)
    transform = Affine(30, 0, LEFT - 300, 0, -30, TOP + 300)
    image = asset(plain, CRS, transform, second=Raster(plain + 5, transform, CRS))
    archive = Archive([image])
    first = pixels(reference.pure_classes(ASSET, None, CODES, CRS, buffer=60), archive, lattice())
    second = pixels(reference.pure_classes(ASSET, "second", CODES, CRS, buffer=60), archive, lattice())
    assert (set(first["value"].ravel()), set(second["class"].ravel())) == ({0}, {2})


def test_cropland_outside_the_classes_gets_a_code_of_its_own() -> None:
    """A map that knows soybeans only: cropland elsewhere is another class, with a border between the two."""
    soybeans = np.zeros((60, 60), np.uint8)
    soybeans[:, :28] = 5
    cover = np.full((180, 180), 40, np.uint8)
    cover[100:] = 10  # trees
    archive = Archive(
        [
            asset(soybeans, CRS, Affine(30, 0, LEFT - 300, 0, -30, TOP + 300)),
            ImageAsset(
                "ESA/WorldCover/v200/2021",
                None,
                {"Map": Raster(cover, Affine(10, 0, LEFT - 300, 0, -10, TOP + 300), CRS)},
            ),
        ]
    )
    image = reference.pure_classes(
        ASSET, None, {5: 2}, CRS, buffer=60, cropland=graph.cropland("worldcover"), cropland_code=7
    )
    found = pixels(image, archive, lattice())["class"]
    x = LEFT + 5 + 60 * np.arange(20)
    y = TOP - 55 - 60 * np.arange(20)
    codes = np.zeros((20, 20), int)
    border = LEFT - 300 + 28 * 30
    codes[:, x < border - 60] = 2
    crops = np.ix_(y > TOP + 300 - 1000 + 60, x > border + 60)
    codes[crops] = 7
    np.testing.assert_array_equal(found, codes)
    assert set(found.ravel()) == {0, 2, 7}


def test_the_size_of_the_circle_does_not_follow_the_request() -> None:
    """Asked for at 60 m or at 10 m, the same points have the same class."""
    archive, image = Archive([albers()]), reference.pure_classes(ASSET, None, CODES, CRS, buffer=60)
    coarse = pixels(image, archive, lattice())["class"]
    fine = pixels(image, archive, Grid(CRS, Affine(10, 0, LEFT, 0, -10, TOP - 50), 120, 120))["class"]
    np.testing.assert_array_equal(fine[::6, ::6][:20, :20], coarse)
