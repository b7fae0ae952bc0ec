import numpy as np
import pytest
import rasterio

from gee_pipeline.errors import InputError
from gee_pipeline.map_codes import NOT_CROPLAND, NOT_ENOUGH
from tests.support.patch_place import SIDE, corner, write_datasets, write_raster
from training.foundation.patch_folders import find_datasets
from training.foundation.season_map import crop_map_of, map_on_patches

TAGS = {"CLASS_1": "Corn", "CLASS_2": "soybeans", "CLASS_3": "cotton", "CLASS_254": "not cropland"}
TAGS |= {"CLASS_255": "not enough observations", "YEAR": "2022"}
OURS = {1: 1, 2: 2, 3: 5, NOT_CROPLAND: 5, NOT_ENOUGH: 0}
FIRST, PATCHES = 10, 4
"""Place of the first test patch of CDL, and how many there are."""


@pytest.fixture
def listed(tmp_path):
    return find_datasets(write_datasets(tmp_path / "crops"))["CDL"]


def codes_of_map(patches, seed=1):
    rng = np.random.default_rng(seed)
    return rng.choice(list(OURS), (SIDE, SIDE * patches), p=[0.3, 0.3, 0.2, 0.1, 0.1]).astype(np.uint8)


def write_map(path, codes, first=FIRST, tags=TAGS, **more):
    write_raster(path, codes, *corner(first), tags=tags, nodata=0, **more)
    return path


def test_a_map_is_scored_pixel_by_pixel_on_the_pixels_of_the_patches(tmp_path, listed):
    codes = codes_of_map(PATCHES)
    found = map_on_patches(write_map(tmp_path / "map.tif", codes), listed)
    assert (found.covered, found.left_out) == (listed.test, ())
    for number, name in enumerate(listed.test):
        labels = listed.data.read(name).labels
        expected = np.zeros((5, 6), int)
        for row in range(SIDE):
            for column in range(SIDE):
                if labels[row, column]:
                    answer = OURS[codes[row, number * SIDE + column]]
                    expected[labels[row, column] - 1, answer - 1 if answer else 5] += 1
        np.testing.assert_array_equal(found.counts[number], expected)
    assert found.legend == {
        "Corn": "maize",
        "soybeans": "soybean",
        "cotton": "other",
        "not cropland": "other",
    }


def test_what_the_reader_should_know_is_said(tmp_path, listed):
    tags = {**TAGS, "SIMULATED": "true"}
    notices = " ".join(
        map_on_patches(write_map(tmp_path / "m.tif", codes_of_map(4), tags=tags), listed).notices
    )
    assert "no class for wheat" in notices
    assert "no answer on" in notices
    assert "is of 2022, the labels of 2023" in notices
    assert "simulated scenes" in notices


def test_patches_that_a_map_does_not_cover_whole_are_named(tmp_path, listed):
    codes = codes_of_map(3)
    codes[0, 2 * SIDE] = 0  # one labelled pixel of the third patch lies outside the map
    found = map_on_patches(write_map(tmp_path / "map.tif", codes), listed)
    assert found.covered == listed.test[:2]
    assert found.left_out == listed.test[2:]


def test_unlabelled_pixels_need_no_map(tmp_path, listed):
    codes = codes_of_map(PATCHES)
    codes[-16:] = 0  # the last fields of each patch are not labelled
    assert map_on_patches(write_map(tmp_path / "map.tif", codes), listed).covered == listed.test


def test_a_finer_map_gives_the_nearest_code(tmp_path, listed):
    codes = codes_of_map(PATCHES)
    fine = np.kron(codes, np.ones((2, 2), np.uint8))
    place = rasterio.transform.from_origin(*corner(FIRST), 5, 5)
    coarse = map_on_patches(write_map(tmp_path / "map.tif", codes), listed)
    finer = map_on_patches(write_map(tmp_path / "fine.tif", fine, transform=place), listed)
    np.testing.assert_array_equal(finer.counts, coarse.counts)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first": 500}, "covers none of the 4 test patches"),
        ({"tags": {}}, "does not name its classes"),
        ({"tags": {"CLASS_1": "corn"}}, "has the code 2, which its legend does not name"),
        ({"crs": None}, "has none. Give it one"),
    ],
)
def test_a_map_that_cannot_be_scored_is_refused(tmp_path, listed, change, words):
    codes = np.full((SIDE, SIDE * PATCHES), 2, np.uint8)
    with pytest.raises(InputError, match=words):
        map_on_patches(write_map(tmp_path / "map.tif", codes, **change), listed)


def test_the_map_of_a_run_is_found_and_an_unfinished_one_refused(tmp_path):
    path = tmp_path / "run" / "map" / "crop_map.tif"
    write_map(path, codes_of_map(1))
    with pytest.raises(InputError, match="holds no finished map"):
        crop_map_of(tmp_path / "run")
    path.with_name("report.json").write_text("{}")
    assert crop_map_of(tmp_path / "run") == path
    with pytest.raises(InputError, match="does not exist"):
        map_on_patches(tmp_path / "no.tif", None)
