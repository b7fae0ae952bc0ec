"""Files that lie elsewhere than their item or their other bands say."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from gee_pipeline.errors import SceneReadError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.stac.composites.source import StacSource
from tests.support.fake_catalog import LEFT, TOP, FakeCatalog, Layer, cell_at

SEASON = SUMMER.season(2021, "north")
BINS = range(24, 26)
RECIPE = Recipe.of(bands=("B4", "B11"))
SIZE = 600


def layer(seed, left=LEFT - 1_000, top=TOP + 1_000, resolution=10):
    size = SIZE * 10 // resolution
    numbers = np.random.default_rng(seed).integers(1_000, 9_000, (size, size)).astype(np.uint16)
    return Layer(numbers, left=left, top=top, resolution=resolution)


def clear(**place):
    values = np.full((SIZE, SIZE), 0.9, np.float32)
    return Layer(values, **{"left": LEFT - 1_000, "top": TOP + 1_000} | place)


def composite(catalog):
    return StacSource(str(catalog.save()), RECIPE).read_cell(cell_at(), SEASON, BINS)


def moved(path, metres):
    """Give a file another georeference, and leave its item as it is."""
    with rasterio.open(path, "r+") as file:
        file.transform = Affine.translation(metres, 0) * file.transform


@pytest.fixture
def catalog(tmp_path):
    found = FakeCatalog(tmp_path)
    layers = {"B04": layer(1), "B11": layer(2, resolution=20), "cs": clear()}
    scene = found.add("S1", "2021-05-02", layers)
    scene["assets"]["B11"]["proj:transform"] = list(layers["B11"].transform)[:6]
    scene["properties"]["proj:transform"] = list(layers["B04"].transform)[:6]
    scene["properties"]["proj:epsg"] = 32632
    return found


def test_a_scene_in_its_place_is_read(catalog):
    assert (composite(catalog).values[0] > 0).all()


@pytest.mark.parametrize("key", ["B04", "B11", "cs"])
def test_a_file_that_lies_elsewhere_than_declared_is_refused(catalog, tmp_path, key):
    moved(tmp_path / "S1" / f"{key}.tif", 300)
    with pytest.raises(
        SceneReadError, match=rf"of scene S1 asset {key} begins at 511300 .*by proj:transform"
    ):
        composite(catalog)


def test_another_crs_than_the_files_says_nothing_of_them(catalog, tmp_path):
    catalog.items[0]["properties"]["proj:epsg"] = 32633
    catalog.items[0]["assets"]["B11"].pop("proj:transform")
    assert (composite(catalog).values[0] > 0).all()


def undeclared(catalog):
    catalog.items[0]["properties"].pop("proj:transform")
    catalog.items[0]["assets"]["B11"].pop("proj:transform")
    return catalog


def test_one_band_that_lies_apart_from_the_others_is_refused(catalog, tmp_path):
    moved(tmp_path / "S1" / "B11.tif", 300)
    with pytest.raises(SceneReadError, match=r"asset B11 begins at 511300 .*, asset B04 at 511000 "):
        composite(undeclared(catalog))


def test_a_scene_that_lies_apart_from_its_footprint_is_refused(catalog, tmp_path):
    for key in ("B04", "B11", "cs"):
        moved(tmp_path / "S1" / f"{key}.tif", -5_000)
    with pytest.raises(
        SceneReadError, match=r"asset cs covers longitude .*, the footprint of its item longitude"
    ):
        composite(undeclared(catalog))


def test_bands_may_begin_a_coarse_pixel_apart_and_files_be_cut_from_the_scene(tmp_path):
    """The footprint of the whole tile often stays when a part is cut out of it."""
    found = FakeCatalog(tmp_path)
    layers = {"B04": layer(1), "B11": layer(2, left=LEFT - 1_020, resolution=20), "cs": clear()}
    scene = found.add("S1", "2021-05-02", layers)
    west, south, east, north = scene["bbox"]
    ring = [
        [west - 0.5, south - 0.4],
        [east + 0.5, south - 0.4],
        [east + 0.5, north + 0.4],
        [west - 0.5, north + 0.4],
    ]
    scene["geometry"]["coordinates"] = [[*ring, ring[0]]]
    assert (composite(found).values[0] > 0).all()
