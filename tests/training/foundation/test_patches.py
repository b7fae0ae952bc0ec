import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform

from gee_pipeline.errors import CorruptFileError, InputError
from tests.support.patch_place import (
    SIDE,
    corner,
    image_of,
    labels_of,
    write_dataset,
    write_datasets,
    write_list,
    write_raster,
)
from training.foundation.crop_classes import DATASETS
from training.foundation.patch_folders import find_datasets
from training.foundation.patches import BANDS, PatchDataset


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def folder(tmp_path, rng):
    """One patch with its labels."""
    labels = labels_of(rng, (1, 2, 5))
    write_raster(tmp_path / "images" / "a.tif", image_of(rng, labels), *corner(0))
    write_raster(tmp_path / "labels" / "a.tif", labels, *corner(0))
    return tmp_path


def dataset(folder, labels="labels", **more):
    return PatchDataset("CDL", folder / "images", folder / labels, **more)


def test_a_patch_is_what_the_files_hold(folder):
    patch = dataset(folder).read("a.tif")
    with (
        rasterio.open(folder / "images" / "a.tif") as image,
        rasterio.open(folder / "labels" / "a.tif") as label,
    ):
        np.testing.assert_array_equal(patch.image, image.read().astype(np.float32))
        np.testing.assert_array_equal(patch.labels, label.read(1))
    assert (patch.image.shape, patch.labels.shape) == ((13, SIDE, SIDE), (SIDE, SIDE))


def test_bands_with_names_are_put_in_order(folder, rng):
    values = rng.integers(1, 9000, (13, SIDE, SIDE)).astype(np.uint16)
    order = rng.permutation(13)
    names = ["B8a" if band == "B8A" else f"B{int(band[1:])}" for band in BANDS]  # B1, as some write B01
    write_raster(folder / "images" / "a.tif", values[order], *corner(0), names=[names[at] for at in order])
    np.testing.assert_array_equal(dataset(folder).read("a.tif").image, values)


def test_reflectance_of_another_scale_is_brought_to_ten_thousands(folder, rng):
    values = rng.random((13, SIDE, SIDE)).astype(np.float32)
    write_raster(folder / "images" / "a.tif", values, *corner(0))
    np.testing.assert_allclose(dataset(folder, scale=1.0).read("a.tif").image, values * 10_000, rtol=1e-6)


def test_numbers_that_are_none_are_dark(folder, rng):
    values = rng.random((13, SIDE, SIDE)).astype(np.float32)
    values[4, 2, 3] = np.nan
    write_raster(folder / "images" / "a.tif", values, *corner(0))
    assert dataset(folder).read("a.tif").image[4, 2, 3] == 0


@pytest.mark.parametrize(
    ("shape", "names", "words"),
    [
        ((12, 64, 64), (), "has 12 bands"),
        ((4, 64, 64), ("B02", "B03", "B04", "B08"), "has B02, B03, B04, B08"),
        ((13, 60, 64), (), "60 x 64"),
    ],
)
def test_an_image_that_the_encoder_cannot_take_is_refused(folder, shape, names, words):
    write_raster(folder / "images" / "a.tif", np.ones(shape, np.uint16), *corner(0), names=names)
    with pytest.raises(InputError, match=words):
        dataset(folder).read("a.tif")


def test_labels_of_other_codes_are_refused_with_the_way_out(folder):
    write_raster(folder / "labels" / "a.tif", np.full((SIDE, SIDE), 176, np.uint8), *corner(0))
    with pytest.raises(InputError, match=r"hold 176.*original_labels"):
        dataset(folder).read("a.tif")


def test_the_labels_own_nodata_is_no_data(folder):
    labels = np.full((SIDE, SIDE), 5, np.uint8)
    labels[:, :8] = 255
    write_raster(folder / "labels" / "a.tif", labels, *corner(0), nodata=255)
    found = dataset(folder).read("a.tif").labels
    assert set(np.unique(found[:, :8])) == {0}
    assert set(np.unique(found[:, 8:])) == {5}


def test_codes_of_the_map_itself_go_through_the_table(folder, rng):
    codes = rng.choice([1, 3, 5, 24, 141, 225], (SIDE, SIDE)).astype(np.uint8)
    write_raster(folder / "original_labels" / "a.tif", codes, *corner(0))
    found = dataset(folder, "original_labels", table=DATASETS["CDL"].table).read("a.tif").labels
    expected = {1: 1, 3: 5, 5: 2, 24: 4, 141: 5, 225: 0}
    assert found.tolist() == [[expected[code] for code in row] for row in codes.tolist()]


def test_rice_of_nccm_is_0_also_where_that_is_the_nodata_of_the_file(folder):
    codes = np.zeros((SIDE, SIDE), np.uint8)
    write_raster(folder / "original_labels" / "a.tif", codes, *corner(0), nodata=0)
    found = dataset(folder, "original_labels", table=DATASETS["NCCM"].table).read("a.tif").labels
    assert (found == 3).all()


def test_labels_of_a_large_raster_in_another_crs_are_the_nearest(folder, rng):
    """Beside a plain loop that asks for the 30 m pixel below each centre."""
    left, top = corner(0)
    (lon,), (lat,) = transform("EPSG:32633", "EPSG:5070", [left], [top])
    codes = rng.integers(1, 6, (120, 120)).astype(np.uint8)
    write = {"driver": "GTiff", "count": 1, "height": 120, "width": 120, "dtype": "uint8", "crs": "EPSG:5070"}
    place = from_origin(lon - 1500, lat + 1500, 30, 30)
    (folder / "whole").mkdir()
    with rasterio.open(folder / "whole" / "map.tif", "w", **write, transform=place) as file:
        file.write(codes, 1)
    found = dataset(folder, "whole").read("a.tif").labels
    centres = (np.arange(SIDE) + 0.5) * 10
    equal = 0
    for row in range(SIDE):
        xs, ys = transform("EPSG:32633", "EPSG:5070", left + centres, np.full(SIDE, top - centres[row]))
        for column, (x, y) in enumerate(zip(xs, ys, strict=True)):
            inside_x, inside_y = ~place * (x, y)
            equal += found[row, column] == codes[int(inside_y), int(inside_x)]
    assert equal >= 0.99 * SIDE * SIDE  # GDAL interpolates coordinates within an eighth of a pixel


def test_where_no_raster_reaches_there_is_no_data(folder):
    left, top = corner(0)
    write_raster(folder / "half" / "map.tif", np.full((SIDE, SIDE // 2), 2, np.uint8), left, top)
    found = dataset(folder, "half").read("a.tif").labels
    assert set(np.unique(found[:, : SIDE // 2])) == {2}
    assert set(np.unique(found[:, SIDE // 2 :])) == {0}


def test_an_image_without_labels_is_named(folder):
    write_raster(folder / "far" / "map.tif", np.ones((SIDE, SIDE), np.uint8), *corner(500))
    with pytest.raises(InputError, match=r"no labels for .*a\.tif"):
        dataset(folder, "far").read("a.tif")


def test_a_file_that_is_no_raster_is_named(folder):
    (folder / "images" / "a.tif").write_bytes(b"no raster")
    with pytest.raises(CorruptFileError, match=r"a\.tif cannot be read"):
        dataset(folder).read("a.tif")


def test_data_sets_are_found_with_their_lists(tmp_path):
    found = find_datasets(write_datasets(tmp_path))
    assert list(found) == ["CDL", "SACT"]
    assert found["CDL"].local(10) == tuple(f"2023_{at:03d}.tif" for at in range(10))
    assert found["CDL"].local(0) == ()
    assert len(found["SACT"].test) == 4


def test_the_published_layout_is_found_with_the_lists_of_the_authors(tmp_path):
    made = write_dataset(tmp_path / "made", "CDL")
    known = DATASETS["CDL"]
    (tmp_path / known.images).parent.mkdir()
    (made / "images").rename(tmp_path / known.images)
    (made / "labels").rename(tmp_path / known.labels)
    splits = tmp_path / "train-test-splits"
    splits.mkdir()
    (made / "train_10.csv").rename(splits / "sentinel2_cdl_2023_subsampled_10.csv")
    (made / "test.csv").rename(splits / "sentinel2_cdl_2023_subsampled_test.csv")
    names = [f"2023_{at:03d}.tif" for at in range(9)]
    write_list(splits / "sentinel2_cdl_2023_subsampled_100_train.csv", names)
    found = find_datasets(tmp_path, ("CDL",))["CDL"]
    assert (list(found.training), len(found.test)) == ([10, 100], 4)
    assert set(np.unique(found.data.read(names[0]).labels)) <= {0, 1, 2, 4, 5}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda place: write_list(place / "test.csv", ["2023_000.tif"]),
            "No test image may train: 2023_000.tif",
        ),
        (lambda place: write_list(place / "test.csv", ["x.tif"]), "does not hold: x.tif"),
        (lambda place: write_list(place / "test.csv", ["../x.tif"]), "without folders"),
        (lambda place: write_list(place / "test.csv", ["2023_011.tif"] * 2), "more than once: 2023_011.tif"),
        (lambda place: write_list(place / "test.csv", []), "names no image"),
        (lambda place: (place / "test.csv").unlink(), "no list of test images"),
        (lambda place: (place / "train_10.csv").unlink(), "no list of training images"),
        (lambda place: (place / "original_labels").mkdir(), "it has both"),
        (lambda place: (place / "labels").rename(place / "label"), "it has neither"),
    ],
)
def test_lists_and_folders_that_cannot_be_used_are_named(tmp_path, spoil, words):
    spoil(write_dataset(tmp_path, "CDL"))
    with pytest.raises(InputError, match=words):
        find_datasets(tmp_path)


def test_a_heading_in_a_list_is_passed_over(tmp_path):
    place = write_dataset(tmp_path, "CDL")
    write_list(place / "test.csv", ["file,place", "2023_010.tif,1", "2023_011.tif,2"])
    assert find_datasets(tmp_path)["CDL"].test == ("2023_010.tif", "2023_011.tif")


def test_an_empty_folder_says_how_it_is_laid_out(tmp_path):
    with pytest.raises(InputError, match="NAME/images"):
        find_datasets(tmp_path)


def test_a_data_set_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="has the data sets CDL, SACT; got NCCM"):
        find_datasets(write_datasets(tmp_path), ("NCCM",))
