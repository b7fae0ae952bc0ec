"""The server with its own evaluator: one image, by every way in which its pixels can come."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.server import Emulator

SIZE = 24
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 4_600_000)
COLLECTION = "COPERNICUS/S2_SR_HARMONIZED"
RNG = np.random.default_rng(7)
SCENES = RNG.integers(1, 9000, (3, SIZE, SIZE)).astype("uint16")
CLEAR = RNG.random((3, SIZE, SIZE)) < 0.7


def asset(number: int) -> ImageAsset:
    values = np.where(CLEAR[number], SCENES[number], 0).astype("uint16")
    band = Raster(values, TRANSFORM, "EPSG:32615", nodata=0)
    time = datetime(2021, 6, 1 + number, 17, tzinfo=UTC)
    return ImageAsset(f"{COLLECTION}/2021060{1 + number}T170000_T15TVG", time, {"B4": band}, {})


def expected() -> np.ndarray:
    """Middle of the clear values, halves down; -9999 where there are none."""
    out = np.full((SIZE, SIZE), -9999, dtype="int16")
    for y in range(SIZE):
        for x in range(SIZE):
            seen = sorted(int(SCENES[n, y, x]) for n in range(3) if CLEAR[n, y, x])
            if seen:
                middle = (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2]) / 2
                out[y, x] = int(middle)
    return out


def composite() -> Any:
    return ee.ImageCollection(COLLECTION).median().unmask(-9999, False).toInt16().rename(["B4_00"])


@pytest.fixture
def server(start: Any) -> Iterator[Emulator]:
    found = start(archive=Archive(asset(n) for n in range(3)), evaluate=None, image_pixels=None)
    yield found
    assert found.errors == []


def test_pixels_values_and_files_agree(server: Emulator) -> None:
    affine = {"scaleX": 10, "translateX": 500_000, "scaleY": -10, "translateY": 4_600_000}
    grid = {
        "dimensions": {"width": SIZE, "height": SIZE},
        "affineTransform": affine,
        "crsCode": "EPSG:32615",
    }
    request = {"expression": composite(), "grid": grid}
    array = np.load(io.BytesIO(ee.data.computePixels(request | {"fileFormat": "NPY"})))
    np.testing.assert_array_equal(array["B4_00"], expected())
    tiff = ee.data.computePixels(request | {"fileFormat": "GEO_TIFF"})
    task = ee.batch.Export.image.toCloudStorage(
        composite(),
        "cell",
        bucket="crops",
        crs="EPSG:32615",
        crsTransform=list(TRANSFORM)[:6],
        dimensions=f"{SIZE}x{SIZE}",
        formatOptions={"noData": -9999},
    )
    task.start()
    server.advance(2)
    for data in (tiff, server.storage.get("crops", "cell.tif")):
        with rasterio.open(io.BytesIO(data)) as raster:
            np.testing.assert_array_equal(raster.read(1), expected())
            assert raster.descriptions == ("B4_00",)
            assert raster.transform == TRANSFORM


def test_an_image_tells_its_bands(server: Emulator) -> None:
    told = ee.ImageCollection(COLLECTION).first().getInfo()
    assert [band["id"] for band in told["bands"]] == ["B4"]
    assert told["properties"]["system:index"] == "20210601T170000_T15TVG"


def test_what_the_evaluator_does_not_know_is_a_400_that_names_it(server: Emulator) -> None:
    with pytest.raises(ee.EEException, match=r"Image\.entropy"):
        ee.Image.constant(1).entropy(ee.Kernel.square(2)).getInfo()
    assert server.log[-1].status == 400
    with pytest.raises(ee.EEException, match="'NO/SUCH' not found"):
        ee.Image("NO/SUCH").getInfo()
