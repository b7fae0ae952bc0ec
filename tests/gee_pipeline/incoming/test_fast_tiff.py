"""Bands of a raster without GDAL: the same values, or None, so that GDAL decides."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from gee_pipeline.incoming.fast_tiff import read_bands

SHAPE = 6, 70, 90


@pytest.fixture
def values() -> NDArray[np.int16]:
    return np.random.default_rng(1).integers(-9999, 32_767, SHAPE).astype(np.int16)


def written(path: Path, values: NDArray[Any], **options: Any) -> Path:
    bands, height, width = values.shape
    usual = {"driver": "GTiff", "tiled": True, "blockxsize": 32, "blockysize": 32, "interleave": "band"}
    profile = {"count": bands, "height": height, "width": width, "dtype": values.dtype, **usual, **options}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)
    return path


@pytest.mark.parametrize(
    "options", [{"compress": "zstd", "predictor": 2}, {"compress": "deflate"}, {}, {"BIGTIFF": "YES"}]
)
@pytest.mark.parametrize("bands", [range(6), range(2, 5), range(5, 6)])
def test_bands_come_as_they_were_written(
    tmp_path: Path, values: NDArray[np.int16], options: dict[str, Any], bands: range
) -> None:
    path = written(tmp_path / "a.tif", values, **options)
    found = read_bands(path, bands, SHAPE)
    assert found is not None
    np.testing.assert_array_equal(found, values[bands.start : bands.stop])


@pytest.mark.parametrize("options", [{"interleave": "pixel"}, {"dtype": np.float32}])
def test_another_kind_of_file_is_left_to_gdal(
    tmp_path: Path, values: NDArray[np.int16], options: dict[str, Any]
) -> None:
    dtype = options.get("dtype", np.int16)
    path = written(tmp_path / "a.tif", values.astype(dtype), **options)
    assert read_bands(path, range(6), SHAPE) is None


def test_another_shape_is_left_to_gdal(tmp_path: Path, values: NDArray[np.int16]) -> None:
    assert read_bands(written(tmp_path / "a.tif", values), range(6), (7, 70, 90)) is None


@pytest.mark.parametrize("kept", [0, 4, 100, 3_000])
def test_a_damaged_file_is_left_to_gdal(tmp_path: Path, values: NDArray[np.int16], kept: int) -> None:
    path = written(tmp_path / "a.tif", values, compress="zstd")
    path.write_bytes(path.read_bytes()[:kept])
    assert read_bands(path, range(6), SHAPE) is None


def test_without_the_extra_all_is_left_to_gdal(
    tmp_path: Path, values: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, importing = written(tmp_path / "a.tif", values), builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "tifffile":
            raise ImportError(name)
        return importing(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert read_bands(path, range(6), SHAPE) is None
