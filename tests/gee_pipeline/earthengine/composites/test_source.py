"""The source as a run uses it: surveys, a whole season in one answer, cells without anything to fetch."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine

from gee_pipeline.bands import BANDS
from gee_pipeline.earthengine.client.session import disconnect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites import source as module
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.errors import EarthEngineError, InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.source import RemoteSource
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.server import Emulator
from tests.support.fake_catalog import LEFT, TOP, UTM32, cell_at

pytestmark = pytest.mark.slow

SEASON = SUMMER.season(2021, "north")
SIZE = 8
DAYS = (0, 7, 8, 180, 364)
"""Days of the season with a scene; the second and third share a bin."""
AREA = shapely.box(9.15, 46.2, 9.17, 46.24)


def raster(value: float, dtype: str) -> Raster:
    return Raster(np.full((SIZE, SIZE), value, dtype), Affine(10, 0, LEFT, 0, -10, TOP), UTM32)


def scenes() -> list[ImageAsset]:
    """One value a scene and band: 20 x day + band number; all clear."""
    found = []
    for day in DAYS:
        time = datetime(2021, 1, 1, 10, 30, tzinfo=UTC) + timedelta(days=day)
        name = f"{time:%Y%m%dT%H%M%S}_T32TNS"
        bands = {band: raster(20 * day + i, "uint16") for i, band in enumerate(BANDS)}
        found.append(
            ImageAsset(f"COPERNICUS/S2_SR_HARMONIZED/{name}", time, {**bands, "SCL": raster(4, "uint8")})
        )
        score = {"cs": raster(0.9, "float32"), "cs_cdf": raster(0.9, "float32")}
        found.append(ImageAsset(f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{name}", time, score))
    return found


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator(Archive(scenes())) as emulator:
        yield emulator
    disconnect()


@pytest.fixture
def source(server: Emulator, tmp_path: Path) -> EarthEngineSource:
    settings = EarthEngineSettings(server.project, server.key_file(tmp_path), server.url)
    return EarthEngineSource(Recipe(), settings)


def test_a_season_of_73_bins_and_ten_bands_comes_in_one_answer(
    source: EarthEngineSource, server: Emulator
) -> None:
    composite = source.read_cell(cell_at(size=SIZE), SEASON, range(73))
    expected = np.full((73, 10), -9999)
    for index, days in {0: [0], 1: [7, 8], 36: [180], 72: [364]}.items():
        expected[index] = [np.floor(np.median([20 * d + b for d in days]) + 0.5) for b in range(10)]
    assert (composite.values == expected[:, :, None, None]).all()
    (request,) = server.log.of("pixels")
    assert request.bands is not None
    assert len(request.bands) == 730  # numpy's reader would refuse the header of this many


def test_bins_before_the_first_scene_and_after_the_last_are_not_asked_for(
    source: EarthEngineSource, server: Emulator
) -> None:
    composite = source.read_cell(cell_at(size=SIZE), SEASON, range(20, 50))
    (request,) = server.log.of("pixels")
    assert request.bands == tuple(f"{band}_36" for band in BANDS)
    assert (composite.values[16] == 3_600 + np.arange(10)[:, None, None]).all()
    assert (np.delete(composite.values, 16, axis=0) == -9999).all()


def test_what_a_cell_took_that_failed_in_the_end_is_counted(
    source: EarthEngineSource, server: Emulator
) -> None:
    half = 8 * 8 * len(BANDS) * 2 * 37  # bytes of 37 bins: two requests for 73
    source = replace(source, settings=replace(source.settings, request_bytes=half, most_requests=1))
    server.script("pixels", Answer.ok(), Answer.error(400, "No."))
    with pytest.raises(EarthEngineError, match="No"):
        source.read_cell(cell_at(size=SIZE), SEASON, range(73))
    computed = server.eecu_seconds
    assert computed > 0.1  # the list of scenes and the first half
    assert source.spent().eecu_seconds == pytest.approx(computed)


def test_a_cell_without_scenes_asks_for_no_pixel(source: EarthEngineSource, server: Emulator) -> None:
    composite = source.read_cell(cell_at(left=LEFT + 500_000, size=SIZE), SEASON, range(24, 67))
    assert (composite.values == -9999).all()
    assert (composite.counts.scenes, composite.counts.duplicates_dropped) == (0, None)
    assert server.log.of("pixels") == []


def test_a_survey_counts_scenes_and_tells_of_those_without_score(
    source: EarthEngineSource, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = source.survey(AREA, SEASON, range(73))
    assert found.scenes == 5
    monkeypatch.setattr(module, "COUNTED", 4)
    (_, many) = source.survey(AREA, SEASON, range(73)).notices
    assert "not counted beforehand" in many


def test_an_area_without_scenes_is_refused(source: EarthEngineSource) -> None:
    elsewhere = shapely.box(20, 46, 20.1, 46.1)
    with pytest.raises(InputError, match=r"no scene of this area from 2021-01-01 to 2021-12-31"):
        source.survey(elsewhere, SEASON, range(73))


@pytest.mark.parametrize(
    ("bins", "cell_size", "cells"),
    [
        (43, 256, 8),  # 4 requests per cell, 32 at once
        (73, 256, 6),  # 6 requests per cell
        (43, 32, 32),  # one request per cell
        (43, 1024, 2),  # 54 requests per cell: the next cell has begun before one ends
    ],
)
def test_as_many_cells_are_fetched_as_fill_the_requests(bins: int, cell_size: int, cells: int) -> None:
    assert EarthEngineSource(Recipe()).cells_ahead(bins, cell_size) == cells


def test_a_source_travels_small_and_names_no_account(source: EarthEngineSource) -> None:
    assert isinstance(source, RemoteSource)
    assert len(pickle.dumps(source)) < 2_000
    assert pickle.loads(pickle.dumps(source)) == source
    other = replace(source, settings=replace(source.settings, project="another-project"))
    assert source.describe() == other.describe()
    assert source.describe() != replace(source, cropland="worldcover").describe()
