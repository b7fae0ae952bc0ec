import logging
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from gee_pipeline.grid import Cell
from gee_pipeline.layers import LayerName
from inference.run import prediction
from inference.run.prediction import PredictionReader, count_codes, read_finished, write_prediction

CELL = Cell(0, 0, GeoBox((16, 16), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633"))
BESIDE = Cell(0, 1, GeoBox((16, 16), Affine(10, 0, 500_160, 0, -10, 5_000_000), "EPSG:32633"))


@pytest.fixture
def bands() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 6, (3, 16, 16), dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path, bands: NDArray[np.uint8]) -> Path:
    write_prediction(tmp_path / "cell.tif", bands, CELL, "run 1", skipped=True)
    return tmp_path / "cell.tif"


def test_a_prediction_comes_back_and_opens_elsewhere(path: Path, bands: NDArray[np.uint8]) -> None:
    found = read_finished(path, CELL, "run 1")
    assert found
    assert np.array_equal(found[0], bands)
    assert found[1]
    with rasterio.open(path) as file:
        assert np.array_equal(file.read(), bands)
        assert file.descriptions == ("class code", "confidence", "clear observations")


def test_a_file_of_another_run_or_place_is_not_finished(path: Path) -> None:
    assert read_finished(path, CELL, "run 2") is None
    assert read_finished(path, BESIDE, "run 1") is None
    assert read_finished(path.with_name("none.tif"), CELL, "run 1") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_finished_and_is_not_waited_for(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
    assert read_finished(path, CELL, "run 1") is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_flipped_bit_is_taken_for_a_prediction(
    path: Path, bands: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    """Every third byte of the file, one bit each: the pixels come back as they were, or not at all."""
    caplog.set_level(logging.CRITICAL)
    content, broken = path.read_bytes(), path.with_name("broken.tif")
    noticed = 0
    for place in range(0, len(content), 3):
        spoiled = bytearray(content)
        spoiled[place] ^= 1 << place % 8
        broken.write_bytes(spoiled)
        found = read_finished(broken, CELL, "run 1")
        noticed += found is None
        assert found is None or np.array_equal(found[0], bands)
    assert noticed > len(content) / 9


def test_files_of_one_crs_are_read_by_gdal_once(
    tmp_path: Path, bands: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Cell(0, 0, GeoBox((16, 16), CELL.geobox.transform, "EPSG:32634"))
    paths = [tmp_path / name for name in ("first", "second", "beside", "elsewhere", "other", "bare")]
    for path, cell in zip(paths[:4], (CELL, CELL, BESIDE, elsewhere), strict=True):
        write_prediction(path, bands, cell, "run 1", skipped=path.name == "second")
    write_prediction(paths[4], bands, CELL, "run 2")
    by_gdal: list[str] = []

    def counted(path: Path, cell: Cell, run: str) -> prediction.Finished | None:
        by_gdal.append(path.name)
        return read_finished(path, cell, run)

    monkeypatch.setattr(prediction, "read_finished", counted)
    reader = PredictionReader("run 1")
    found = [
        reader.read(path, cell)
        for path, cell in zip(paths, (CELL, CELL, BESIDE, CELL, CELL, CELL), strict=True)
    ]
    assert [one is not None for one in found] == [True, True, True, False, False, False]
    assert [one.skipped for one in found if one] == [False, True, False]
    assert all(np.array_equal(one.bands, bands) for one in found if one)
    assert by_gdal == ["first", "elsewhere", "other", "bare"]  # what is not finished, GDAL decides


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_flipped_bit_is_taken_for_a_prediction_without_gdal(
    path: Path, bands: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    reader, content, broken = PredictionReader("run 1"), path.read_bytes(), path.with_name("broken.tif")
    assert reader.read(path, CELL)
    for place in range(1, len(content), 3):
        spoiled = bytearray(content)
        spoiled[place] ^= 1 << place % 8
        broken.write_bytes(spoiled)
        found = reader.read(broken, CELL)
        assert found is None or np.array_equal(found[0], bands)


def test_pixels_are_counted_by_code_and_those_that_nothing_shows() -> None:
    bands = np.zeros((3, 4, 4), np.uint8)
    bands[0, :2], bands[0, 2] = 255, 7
    bands[2, 0] = 3
    assert count_codes(bands) == ({0: 4, 7: 4, 255: 8}, 4)


def test_a_file_without_layers_is_byte_for_byte_that_of_version_0_1_0(
    path: Path, bands: NDArray[np.uint8]
) -> None:
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "height": 16, "width": 16, "compress": "deflate",
        "crs": "EPSG:32633", "transform": CELL.geobox.transform,
    }  # fmt: skip
    crc = str(zlib.crc32(bands.tobytes()))
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(bands)
            file.descriptions = ("class code", "confidence", "clear observations")
            file.update_tags(CROPMAP_RUN="run 1", CROPMAP_SKIPPED="1", CROPMAP_CRC32=crc)
        assert path.read_bytes() == memory.read()


def test_layers_stand_behind_the_three_bands_and_share_their_checksum(tmp_path: Path) -> None:
    bands = np.random.default_rng(1).integers(0, 6, (7, 16, 16), dtype=np.uint8)
    layers: tuple[LayerName, ...] = ("margin", "probabilities")
    write_prediction(tmp_path / "cell.tif", bands, CELL, "run 1", layers=layers)
    found = read_finished(tmp_path / "cell.tif", CELL, "run 1")
    assert found
    assert np.array_equal(found.bands, bands)
    assert found.layers == layers
    assert found.has(("margin",))
    assert not found.has(("margin", "entropy"))
    with rasterio.open(tmp_path / "cell.tif", "r+") as file:
        assert file.descriptions[3:] == ("margin", "probability_1", "probability_2", "probability_3")
        file.write(bands[6] ^ 1, 7)
    assert read_finished(tmp_path / "cell.tif", CELL, "run 1") is None
