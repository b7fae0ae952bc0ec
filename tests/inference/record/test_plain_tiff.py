"""Small TIFF files by our own reading, against GDAL's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from inference.record.plain_tiff import read_plain

PLACE = Affine(10, 0, 499_840, 0, -20, 5_000_320)


def written(path: Path, bands: Any, **options: Any) -> bytes:
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "dtype": bands.dtype, "count": count, "height": height, "width": width}
    profile |= {"crs": "EPSG:32633", "transform": PLACE, "compress": "deflate"}
    with rasterio.open(path, "w", **{**profile, **options}) as raster:
        raster.write(bands)
        raster.update_tags(WORDS="a & b < c", NUMBER="7")
    return path.read_bytes()


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("shape", [(3, 256, 256), (1, 16, 16), (5, 33, 70)])
def test_pixels_place_and_tags_are_those_that_gdal_reads(
    tmp_path: Path, shape: tuple[int, int, int], interleave: str
) -> None:
    bands = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    plain = read_plain(written(tmp_path / "a.tif", bands, interleave=interleave))
    assert plain is not None
    np.testing.assert_array_equal(plain.bands, bands)
    assert plain.place == (499_840, 5_000_320, 10, 20)
    assert plain.tags == {"WORDS": "a & b < c", "NUMBER": "7"}


def test_equal_bytes_are_the_same_crs(tmp_path: Path) -> None:
    bands = np.zeros((1, 16, 16), np.uint8)
    crs = [
        read_plain(written(tmp_path / "a.tif", bands, crs=name)).crs  # type: ignore[union-attr]
        for name in ("EPSG:32633", "EPSG:32633", "EPSG:32634", "EPSG:3035")
    ]
    assert crs[0] == crs[1]
    assert len(set(crs)) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "lzw"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"predictor": 2},
        {"bigtiff": "yes"},
        {"transform": Affine(10, 1, 499_840, 1, -10, 5_000_320)},
        {"dtype": "int16"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_is_unusual_is_left_to_gdal(tmp_path: Path, options: dict[str, Any]) -> None:
    bands = np.zeros((3, 32, 32), options.get("dtype", "uint8"))
    assert read_plain(written(tmp_path / "a.tif", bands, **options)) is None


def test_what_is_damaged_raises_nothing(tmp_path: Path) -> None:
    content = written(
        tmp_path / "a.tif", np.random.default_rng(2).integers(0, 9, (3, 32, 32), dtype=np.uint8)
    )
    for cut in range(0, len(content), 7):
        read_plain(content[:cut])
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        read_plain(bytes(flipped))
