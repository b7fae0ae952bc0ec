"""Every acquisition of a pixel: the servers, the scenes here and a loop over pixels find the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.client.session import connect, disconnect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import YEAR
from gee_pipeline.stac.composites.source import StacSource
from tests.support.ee_emulator.server import Emulator
from tests.support.fake_catalog import cell_at
from tests.support.sensor_scenes import EMPTY, SensorScenes, Shot, optical, spectrum
from training.sampling.series.raw_series import RawSeries, raw_path
from training.sampling.series.scene_series import SceneSeries
from training.sampling.series.server_series import ServerSeries

pytestmark = pytest.mark.slow

NODATA = -9999
SPECTRA = ("reflectance_0", "reflectance_143")
RECIPE = Recipe.of(bands=("B4", "B8", *SPECTRA), season=YEAR, bin_days="month:6,8", min_clear_bins=1)
SEASON = YEAR.season(2023, "north")
BOX = cell_at(size=12).geobox
PIXELS = [(y, x) for y in (0, 5, 11) for x in range(0, 12, 2)]


def shots() -> list[Shot]:
    days = ("05-31", "06-01", "06-14", "07-15", "08-31", "09-01")  # the first and the last are outside
    clear = [optical(f"S{i}", f"2023-{day}T10:30:00", i, ("B4", "B8")) for i, day in enumerate(days)]
    return clear + [spectrum(f"E{i}", f"2023-{day}T15:00:00", 50 + i, SPECTRA) for i, day in enumerate(days)]


def loop(scenes: SensorScenes) -> list[tuple[int, ...]]:
    """`(sample, time, four values, flag)` of each acquisition, in Python numbers."""
    rows = []
    for number, (y, x) in enumerate(PIXELS):
        for sensor, bands, place in (("sentinel-2", ("B4", "B8"), 0), ("emit", SPECTRA, 2)):
            own = [shot for shot in scenes.shots if shot.sensor == sensor and 6 <= shot.when.month <= 8]
            for shot in sorted(own, key=lambda shot: shot.when):
                values = [NODATA] * 4
                for at, band in enumerate(bands):
                    found = float(shot.bands[band].nearest(BOX)[0][y, x])
                    if sensor == "emit" and found != EMPTY and -0.1 <= found <= 2:
                        values[place + at] = int(np.floor(found * 10_000 + 0.5))
                    elif sensor == "sentinel-2" and found != 0:
                        values[place + at] = int(found)
                cloud = shot.classes if sensor == "sentinel-2" else shot.flag
                time = round(shot.when.timestamp() * 1000)
                if set(values) != {NODATA}:
                    rows.append((number, time, *values, int(cloud.nearest(BOX)[0][y, x])))
    return rows


def table(raw: RawSeries) -> list[tuple[int, ...]]:
    columns = np.column_stack([raw.sample, raw.time, raw.values, raw.flag])
    return [tuple(row) for row in columns.tolist()]


def test_both_engines_find_every_acquisition_that_a_loop_finds(tmp_path: Path) -> None:
    scenes = SensorScenes(tmp_path / "scenes").save(*shots())
    pixels: list[GeoBox] = [BOX[y : y + 1, x : x + 1] for y, x in PIXELS]
    expected = loop(scenes)
    assert len(expected) > 25
    assert {0, 1, 4, 9} == {row[-1] for row in expected}  # also what clouds hide
    assert any(NODATA in row[4:6] and max(row[4:6]) > NODATA for row in expected)  # one band of two

    here = SceneSeries(SEASON, StacSource(str(scenes.path), RECIPE)).acquisitions(pixels, BOX)
    assert table(here) == expected
    with Emulator(scenes.archive) as emulator:
        key = emulator.key_file(tmp_path)
        settings = EarthEngineSettings(project=emulator.project, service_account=key, url=emulator.url)
        there = ServerSeries(SEASON, RECIPE, Fetcher(connect(settings))).acquisitions(pixels, BOX)
        disconnect()
    assert table(there) == expected
    for raw in (here, there):
        assert (raw.score == NODATA).all()  # none of these scenes has a Cloud Score+
        assert raw.values.shape == (len(expected), 4)


def test_acquisitions_of_no_sample_are_none() -> None:
    raw = RawSeries.of([], 3)
    assert raw.values.shape == (0, 3)
    assert len(raw.time) == len(raw.sample) == 0


def test_samples_are_counted_on_from_square_to_square() -> None:
    time = round(datetime(2023, 6, 1, tzinfo=UTC).timestamp() * 1000)
    observed = np.array([[1, 2, 9_000, 4], [NODATA, NODATA, NODATA, 4]], np.int16)  # the second shows nothing
    one = RawSeries.of_pixel(1, [time, time + 1], observed, slice(1, 3), 3)
    assert (one.sample.tolist(), one.time.tolist(), one.score.tolist()) == ([1], [time], [9_000])
    assert one.values.tolist() == [[NODATA, 1, 2]]
    both = RawSeries.of([one, one.counted_from(5)], 3)
    assert both.sample.tolist() == [1, 6]
    assert raw_path(Path("a/samples.npz")) == Path("a/samples.raw.npz")
