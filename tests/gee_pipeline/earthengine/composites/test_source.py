"""The source as a run uses it: surveys, a whole season in one answer, cells without anything to fetch."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import BANDS
from gee_pipeline.earthengine.client.session import disconnect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites import search
from gee_pipeline.earthengine.composites.block_scenes import read_record
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.errors import CorruptFileError, EarthEngineError, InputError
from gee_pipeline.grid import Cell
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
    return [image for day in DAYS for image in scenes_on(day)]


def scenes_on(day: int) -> list[ImageAsset]:
    """The scene of a day of the season, and its score."""
    time = datetime(2021, 1, 1, 10, 30, tzinfo=UTC) + timedelta(days=day)
    name = f"{time:%Y%m%dT%H%M%S}_T32TNS"
    bands = {band: raster(20 * day + i, "uint16") for i, band in enumerate(BANDS)}
    score = {"cs": raster(0.9, "float32"), "cs_cdf": raster(0.9, "float32")}
    return [
        ImageAsset(f"COPERNICUS/S2_SR_HARMONIZED/{name}", time, {**bands, "SCL": raster(4, "uint8")}),
        ImageAsset(f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{name}", time, score),
    ]


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator(Archive(scenes())) as emulator:
        yield emulator
    disconnect()


@pytest.fixture
def source(server: Emulator, tmp_path: Path) -> EarthEngineSource:
    settings = EarthEngineSettings(server.project, server.key_file(tmp_path), server.url)
    return EarthEngineSource(Recipe(), settings)


def test_the_bins_of_a_season_that_have_scenes_come_in_one_answer(
    source: EarthEngineSource, server: Emulator
) -> None:
    composite = source.read_cell(cell_at(size=SIZE), SEASON, range(73))
    expected = np.full((73, 10), -9999)
    for index, days in {0: [0], 1: [7, 8], 36: [180], 72: [364]}.items():
        expected[index] = [np.floor(np.median([20 * d + b for d in days]) + 0.5) for b in range(10)]
    assert (composite.values == expected[:, :, None, None]).all()
    (request,) = server.log.of("pixels")
    assert request.bands is not None
    assert request.bands == tuple(f"{band}_{index}" for index in (0, 1, 36, 72) for band in BANDS)


def test_bins_without_a_scene_are_not_asked_for(source: EarthEngineSource, server: Emulator) -> None:
    composite = source.read_cell(cell_at(size=SIZE), SEASON, range(20, 50))
    (request,) = server.log.of("pixels")
    assert request.bands == tuple(f"{band}_36" for band in BANDS)
    assert (composite.values[16] == 3_600 + np.arange(10)[:, None, None]).all()
    assert (np.delete(composite.values, 16, axis=0) == -9999).all()


def test_what_a_cell_took_that_failed_in_the_end_is_counted(
    source: EarthEngineSource, server: Emulator
) -> None:
    half = 8 * 8 * len(BANDS) * 2 * 2  # bytes of 2 bins: two requests for the 4 with a scene
    source = replace(source, settings=replace(source.settings, request_bytes=half, most_requests=1))
    server.script("pixels", Answer.ok(), Answer.error(400, "No."))
    with pytest.raises(EarthEngineError, match="No"):
        source.read_cell(cell_at(size=SIZE), SEASON, range(73))
    source.settle()
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
    assert len(server.log.of("value")) == 1
    monkeypatch.setattr(search, "COUNTED", 4)
    (_, many) = source.survey(AREA, SEASON, range(73)).notices
    assert "not counted beforehand" in many


def test_an_area_without_scenes_is_refused(source: EarthEngineSource) -> None:
    elsewhere = shapely.box(20, 46, 20.1, 46.1)
    with pytest.raises(InputError, match=r"no scene of this area from 2021-01-01 to 2021-12-31"):
        source.survey(elsewhere, SEASON, range(73))


@pytest.mark.parametrize(
    ("bins", "cell_size", "cells"),
    [
        (43, 256, 16),  # 2 requests per cell, 32 at once
        (73, 256, 8),  # 4 requests per cell
        (43, 32, 32),  # one request per cell
        (43, 1024, 2),  # 31 requests per cell: the next cell has begun before one ends
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


# --- lists of scenes


def lists(server: Emulator) -> int:
    """Requests for lists of scenes; what a cell took is asked for too."""
    return sum("Profile.getProfiles" not in json.dumps(entry.body) for entry in server.log.of("value"))


def cells(rows: range, cols: range) -> Iterator[Cell]:
    """Cells around the scenes, which lie in that of row 0 and column 0."""
    for row, col in product(rows, cols):
        corner = Affine(10, 0, LEFT + 10 * SIZE * col, 0, -10, TOP - 10 * SIZE * row)
        yield Cell(row, col, GeoBox((SIZE, SIZE), corner, UTM32))


def test_sixteen_cells_take_one_list_and_at_most_three_requests_each_whatever_they_are(
    source: EarthEngineSource, server: Emulator
) -> None:
    source = replace(source, settings=replace(source.settings, request_bytes=SIZE**2 * 10 * 2 * 2))
    for cell in cells(range(4), range(4)):
        source.read_cell(cell, SEASON, range(73))
    assert lists(server) == 1
    assert (
        len(server.log.of("pixels")) == 2 * 16
    )  # two of the four bins with scenes in each, as 43 of 256 pixels
    assert len(server.log.of("value")) == 1 + 33 // 32  # the list, and the computing time of these requests
    assert len(server.log.of("value")) + len(server.log.of("pixels")) <= 3 * 16
    source.read_cell(next(cells(range(4, 5), range(1))), SEASON, range(73))
    assert lists(server) == 2


def test_threads_that_want_one_list_ask_for_it_once(source: EarthEngineSource, server: Emulator) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda cell: source.scenes_of([cell], SEASON, range(73)), cells(range(4), range(4)))
        )
    assert lists(server) == 1
    assert len(found[0]["sentinel-2"]) == 5


def test_a_request_is_smaller_than_its_answer(source: EarthEngineSource, server: Emulator) -> None:
    cell = Cell(0, 0, GeoBox((256, 256), Affine(10, 0, LEFT, 0, -10, TOP), UTM32))
    source.read_cell(cell, SEASON, range(73))
    sent = sum(len(json.dumps(entry.body)) for entry in server.log.of("pixels"))
    assert sent < 12_000  # five scenes in four bins
    assert sent < 4 * 10 * 256 * 256 * 2


def test_a_run_keeps_its_lists_and_a_later_start_asks_for_none(
    source: EarthEngineSource, server: Emulator, tmp_path: Path
) -> None:
    first = source.keeping(tmp_path).read_cell(cell_at(size=SIZE), SEASON, range(73))
    assert lists(server) == 1
    server.archive.add(scenes_on(12)[0])  # comes later, without a score
    again = source.keeping(tmp_path).read_cell(cell_at(size=SIZE), SEASON, range(73))
    np.testing.assert_array_equal(again.values, first.values)
    assert lists(server) == 1
    record = read_record(tmp_path, ["sentinel-2"])
    assert record is not None
    assert (record.blocks, record.scenes, record.without_score, record.withdrawn) == (1, 5, 0, {})
    assert record.first == record.last
    assert abs(datetime.now(UTC) - record.first) < timedelta(minutes=5)


def test_fewer_bins_are_taken_from_the_list_of_more_and_more_bins_are_listed_anew(
    source: EarthEngineSource, server: Emulator, tmp_path: Path
) -> None:
    kept = source.keeping(tmp_path)
    few = kept.read_cell(cell_at(size=SIZE), SEASON, range(30, 50))
    assert few.counts.scenes == 1
    assert kept.read_cell(cell_at(size=SIZE), SEASON, range(73)).counts.scenes == 5
    assert lists(server) == 2
    assert kept.read_cell(cell_at(size=SIZE), SEASON, range(30, 50)).counts.scenes == 1
    assert lists(server) == 2


def test_a_damaged_list_says_what_to_do(source: EarthEngineSource, tmp_path: Path) -> None:
    source.keeping(tmp_path).scenes_of([cell_at(size=SIZE)], SEASON, range(73))
    (path,) = (tmp_path / "scenes").glob("*.json")
    path.write_text(path.read_text().replace('"index"', '"x"').replace("T32TNS", "T32TNT"))
    with pytest.raises(CorruptFileError, match=r"Delete it: the scenes of its cells are listed again"):
        source.keeping(tmp_path).scenes_of([cell_at(size=SIZE)], SEASON, range(73))


@pytest.mark.parametrize(
    "collection", ["COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"]
)
def test_a_scene_that_is_withdrawn_is_noticed_and_the_cell_made_without_it(
    source: EarthEngineSource, server: Emulator, tmp_path: Path, collection: str
) -> None:
    kept = source.keeping(tmp_path)
    cell = cell_at(size=SIZE)
    kept.read_cell(cell, SEASON, range(73))
    gone = scenes_on(7)[0].index
    server.archive.withdraw(f"{collection}/{gone}")
    server.log.clear()
    found = kept.read_cell(cell, SEASON, range(73)).values[1, :, 0, 0]
    by_day = {day: np.array([20 * day + band for band in range(10)]) for day in (7, 8)}
    if collection.startswith("COPERNICUS"):
        expected = by_day[8]
    else:  # its scene classes say that it is clear
        expected = np.floor((by_day[7] + by_day[8]) / 2 + 0.5)
    np.testing.assert_array_equal(found, expected)
    assert lists(server) == 1
    (notice,) = [text for text in kept.take_notices() if "withdrawn" in text]
    assert gone in notice
    record = read_record(tmp_path, ["sentinel-2"])
    assert record is not None
    assert list(record.withdrawn) == [gone]
    later = source.keeping(tmp_path).read_cell(cell, SEASON, range(73)).values[1, :, 0, 0]
    np.testing.assert_array_equal(later, expected)
    assert lists(server) == 1


def test_a_scene_that_is_listed_but_never_there_fails_the_cell(
    source: EarthEngineSource, server: Emulator
) -> None:
    gone = f"COPERNICUS/S2_SR_HARMONIZED/{scenes_on(7)[0].index}"
    words = f"Image.load: Image asset '{gone}' not found (does not exist or caller does not have access)."
    server.rule = lambda entry: Answer.error(400, words) if entry.kind == "pixels" else None
    with pytest.raises(EarthEngineError, match="not found"):
        source.read_cell(cell_at(size=SIZE), SEASON, range(73))
    assert lists(server) == 2  # listed, and once again


def test_without_a_list_nothing_is_asked_where_that_is_not_wanted(
    source: EarthEngineSource, server: Emulator, tmp_path: Path
) -> None:
    kept = source.keeping(tmp_path)
    with pytest.raises(EarthEngineError, match="no list of them"):
        kept.scenes_of([cell_at(size=SIZE)], SEASON, range(73), ask=False)
    kept.scenes_of([cell_at(size=SIZE)], SEASON, range(73))
    found = source.keeping(tmp_path).scenes_of([cell_at(size=SIZE)], SEASON, range(73), ask=False)
    assert len(found["sentinel-2"]) == 5
