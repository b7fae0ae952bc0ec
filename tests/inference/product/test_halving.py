"""The first overview of a raster, against GDAL's."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from gee_pipeline.layers import CONFIDENCE, CROP_MAP, Layer
from inference.product.halving import halved


@pytest.mark.parametrize("layer", [CROP_MAP, CONFIDENCE], ids=lambda layer: layer.name)
@pytest.mark.parametrize("values", [2, 4, 101])
def test_each_pixel_is_that_of_gdal(tmp_path: Path, layer: Layer, values: int) -> None:
    rng = np.random.default_rng(values)
    bands = rng.integers(0, values, (2, 512, 256), dtype=np.uint8)
    bands[rng.random(bands.shape) < 0.4] = layer.nodata
    bands[:, :64] = bands[:, :1]  # some of which all four are equal
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 2, "height": 512, "width": 256, "tiled": True}
    place = {"nodata": layer.nodata, "crs": "EPSG:32615", "transform": Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(tmp_path / "whole.tif", "w", **profile, **place) as raster:
        raster.write(bands)
    with rasterio.open(tmp_path / "whole.tif", "r+") as raster:
        raster.build_overviews([2], Resampling[layer.overviews.lower()])
    with rasterio.open(tmp_path / "whole.tif", OVERVIEW_LEVEL=0) as raster:
        np.testing.assert_array_equal(halved(bands, layer), raster.read())
