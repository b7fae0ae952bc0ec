from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import CorruptFileError, InputError
from inference.run.cropland import CroplandMask

CELL = GeoBox((32, 32), Affine(10, 0, 500_000, 0, -10, 5_000_320), "EPSG:32633")


def save(path: Path, values: Any, transform: Affine = CELL.transform, **options: Any) -> Path:
    values = np.asarray(values)
    height, width = values.shape
    profile = {"crs": "EPSG:32633", "count": 1, "dtype": values.dtype, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **(profile | options)) as file:
        file.write(values, 1)
    return path


def area(left: float = 500_000, top: float = 5_000_320) -> Aoi:
    return Aoi(shapely.box(left, top - 320, left + 320, top), pyproj.CRS("EPSG:32633"))


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("/data/mask.tif", "/data/mask.tif", ()),
        ("/data/worldcover.tif:40", "/data/worldcover.tif", ((40, 40),)),
        ("/data/mask.tif:1,2,5-9", "/data/mask.tif", ((1, 1), (2, 2), (5, 9))),
        ("/data/mask.tif: 1, 2", "/data/mask.tif", ((1, 1), (2, 2))),
        ("https://host:8080/mask.tif", "https://host:8080/mask.tif", ()),  # a port is no value
        ("https://host:8080/mask.tif:40", "https://host:8080/mask.tif", ((40, 40),)),
        ("https://host/mask.tif", "https://host/mask.tif", ()),
        ("/vsicurl/https://host/mask.tif:7", "/vsicurl/https://host/mask.tif", ((7, 7),)),
    ],
)
def test_a_mask_is_a_path_and_values(text: str, path: str, values: tuple[tuple[int, int], ...]) -> None:
    mask = CroplandMask.parse(text)
    assert Path(mask.path) == Path(path).absolute() if path.startswith("/data") else mask.path == path
    assert mask.values == values


@pytest.mark.parametrize(
    ("text", "tail", "values"),
    [
        (r"C:\maps\mask.tif", r"C:\maps\mask.tif", ()),
        (r"C:\maps\mask.tif:40", r"C:\maps\mask.tif", ((40, 40),)),
        ("D:mask.tif", "D:mask.tif", ()),
    ],
)
def test_a_drive_letter_is_part_of_the_path(text: str, tail: str, values: Any) -> None:
    mask = CroplandMask.parse(text)
    assert mask.path.endswith(tail)
    assert mask.values == values


def test_a_file_with_a_colon_in_its_name_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "mask:40"
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes no colon in a name")
    if not path.is_file():
        pytest.skip("this file system takes no colon in a name")
    assert CroplandMask.parse(str(path)) == CroplandMask(str(path))


@pytest.mark.parametrize(
    "text", ["mask.tif:", "mask.tif:crop", "mask.tif:1,,2", "mask.tif:9-5", ":40", "mask.tif:1.5"]
)
def test_values_that_are_no_whole_numbers_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"file\.tif"):
        CroplandMask.parse(text)


@pytest.mark.parametrize(
    ("values", "expected"),
    [("", [1, 2, 5, 9, 40]), (":40", [40]), (":1,5-9", [1, 5, 9]), (":0", [0])],
)
def test_only_the_named_values_are_cropland(tmp_path: Path, values: str, expected: list[int]) -> None:
    raster = np.random.default_rng(1).choice([0, 1, 2, 5, 9, 40], (32, 32)).astype(np.uint8)
    path = save(tmp_path / "mask.tif", raster)
    found = CroplandMask.parse(f"{path}{values}").read(CELL)
    np.testing.assert_array_equal(found, np.isin(raster, expected))


@pytest.mark.parametrize("values", ["", ":0", ":0,1"])
def test_the_outside_of_the_raster_is_not_cropland(tmp_path: Path, values: str) -> None:
    raster = np.ones((32, 16), np.uint8)
    raster[:8] = 0
    path = save(tmp_path / "left.tif", raster)
    found = CroplandMask.parse(f"{path}{values}").read(CELL)
    inside = {"": raster == 1, ":0": raster == 0, ":0,1": raster >= 0}[values]
    np.testing.assert_array_equal(found, np.hstack([inside, np.zeros((32, 16), bool)]))


def test_nodata_is_not_cropland(tmp_path: Path) -> None:
    raster = np.full((32, 32), 7, np.uint8)
    raster[3, 4] = 255
    path = save(tmp_path / "mask.tif", raster, nodata=255)
    np.testing.assert_array_equal(CroplandMask.parse(str(path)).read(CELL), raster == 7)


def test_a_float_mask_with_nan_has_no_cropland_there(tmp_path: Path) -> None:
    raster = np.ones((32, 32), np.float32)
    raster[0, :5] = np.nan
    path = save(tmp_path / "mask.tif", raster)
    np.testing.assert_array_equal(CroplandMask.parse(str(path)).read(CELL), ~np.isnan(raster))


def test_a_mask_in_degrees_gives_each_pixel_its_nearest_value(tmp_path: Path) -> None:
    to_lonlat = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    west, north = to_lonlat.transform(500_000 - 500, 5_000_320 + 500)
    step = 0.0004  # about 30 by 45 m
    raster = np.random.default_rng(2).integers(0, 2, (60, 60)).astype(np.uint8)
    transform = Affine(step, 0, west, 0, -step, north)
    path = save(tmp_path / "mask.tif", raster, transform, crs="EPSG:4326")
    x = 500_000 + 10 * (np.arange(32) + 0.5)
    y = 5_000_320 - 10 * (np.arange(32) + 0.5)
    lon, lat = to_lonlat.transform(*np.meshgrid(x, y))
    expected = raster[((north - lat) / step).astype(int), ((lon - west) / step).astype(int)] == 1
    agree = (CroplandMask.parse(str(path)).read(CELL) == expected).mean()
    assert agree > 0.99  # GDAL's warper approximates to an eighth of a pixel


def test_a_mask_elsewhere_is_refused_before_work(tmp_path: Path) -> None:
    mask = CroplandMask.parse(str(save(tmp_path / "mask.tif", np.ones((32, 32), np.uint8))))
    mask.require_overlap(area())
    with pytest.raises(InputError, match=r"does not overlap the area.*--cropland-mask"):
        mask.require_overlap(area(left=500_320))  # they share an edge only


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_mask_without_a_crs_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.tif", np.ones((32, 32), np.uint8), crs=None)
    with pytest.raises(InputError, match="has no CRS"):
        CroplandMask.parse(str(path)).require_overlap(area())


def test_a_missing_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.tif does not exist"):
        CroplandMask.parse(str(tmp_path / "none.tif")).require_overlap(area())


def test_a_damaged_mask_is_an_error_and_not_an_empty_mask(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (512, 512)).astype(np.uint8)
    path = save(tmp_path / "mask.tif", noise, compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptFileError, match="cannot be read as a raster"):
        CroplandMask.parse(str(path)).read(GeoBox((512, 512), CELL.transform, "EPSG:32633"))
    path.write_text("no raster")
    with pytest.raises(CorruptFileError, match="cannot be read as a raster"):
        CroplandMask.parse(str(path)).require_overlap(area())


@pytest.mark.parametrize("text", ["/data/mask.tif", "/data/mask.tif:40", "https://host:80/mask.tif:1,5-9"])
def test_a_mask_is_written_as_it_is_read(text: str) -> None:
    mask = CroplandMask.parse(text)
    assert CroplandMask.parse(str(mask)) == mask
    assert str(mask).endswith(text[text.index("mask.tif") :])
