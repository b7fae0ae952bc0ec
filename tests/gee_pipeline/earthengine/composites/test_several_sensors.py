"""Composites of several sensors: the servers, the local engine and a plain loop agree, sensor by sensor."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import shapely

from gee_pipeline import sensors
from gee_pipeline.earthengine.composites.scene_list import counted_scenes
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER, YEAR
from gee_pipeline.sensors import ALPHAEARTH, SENTINEL_1
from gee_pipeline.stac.composites.source import StacSource
from tests.support.ee_emulator.archive import ImageAsset, Raster
from tests.support.fake_catalog import Layer, cell_at, raster_v1
from tests.support.made_sensor import MADE_UP, made_shot
from tests.support.sensor_scenes import SensorScenes, holed, optical, plain, radar, spectrum

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("offline_client")]

NODATA = -9999
SEASON = SUMMER.season(2021, "north")
MAY = range(24, 27)
BOTH = Recipe.of(bands=("B4", "B11", "VV", "VH"))
CELL = cell_at(size=12)
AREA = shapely.box(9.15, 46.22, 9.17, 46.24)


@pytest.fixture
def made_up(monkeypatch):
    """A sensor that nothing but its data knows."""
    monkeypatch.setitem(sensors.SENSORS, MADE_UP.name, MADE_UP)


def both(folder):
    """Three bins: of two sensors, of radar alone, of optical alone; two scenes of each on one day."""
    return SensorScenes(folder).save(
        optical("S2_a", "2021-05-01T10:30:00", 1, ("B4", "B11")),
        optical("S2_b", "2021-05-03T10:30:00", 2, ("B4", "B11")),
        optical("S2_c", "2021-05-03T10:31:00", 3, ("B4", "B11")),
        optical("S2_d", "2021-05-12T10:30:00", 4, ("B4", "B11")),
        radar("S1_a", "2021-05-02T05:30:00", 10),
        radar("S1_b", "2021-05-04T05:30:00", 20),
        radar("S1_c", "2021-05-04T05:30:25", 30),
        radar("S1_d", "2021-05-07T17:10:00", 40),
    )


def agreed(scenes, recipe=BOTH, season=SEASON, bins=MAY):
    """The composite on which the loop and both engines agree."""
    wanted = scenes.loop(CELL.geobox, season, bins, recipe)
    local = StacSource(str(scenes.path), recipe).read_cell(CELL, season, bins)
    np.testing.assert_array_equal(local.values, wanted, "the local engine")
    served = scenes.earth_engine(CELL.geobox, season, bins, recipe)
    np.testing.assert_array_equal(served, wanted, "Earth Engine")
    return wanted


def test_two_sensors_have_gaps_of_their_own(tmp_path):
    values = agreed(both(tmp_path))
    seen = [(values[:, rows] != NODATA) for rows in (slice(0, 2), slice(2, 4))]
    assert all((one.all(axis=1) == one.any(axis=1)).all() for one in seen)  # whole or absent within a sensor
    optical_seen, radar_seen = (one[:, 0] for one in seen)
    assert (optical_seen & ~radar_seen).any()
    assert (radar_seen & ~optical_seen).any()
    assert radar_seen[1].any()
    assert not optical_seen[1].any()  # no scene of Sentinel-2 in the second bin
    assert values[:, 2:][values[:, 2:] != NODATA].min() >= -5000


def test_the_order_of_the_bands_is_that_of_the_recipe(tmp_path):
    scenes = both(tmp_path)
    turned = Recipe.of(bands=("VH", "B11", "B4"))
    values = agreed(scenes, turned)
    np.testing.assert_array_equal(values[:, 0], agreed(scenes, Recipe.of(bands=("VH",)))[:, 0])
    np.testing.assert_array_equal(values[:, 1:], agreed(scenes, Recipe.of(bands=("B11", "B4"))))


def test_scenes_are_counted_sensor_by_sensor(tmp_path):
    scenes = both(tmp_path)
    counts = StacSource(str(scenes.path), BOTH).read_cell(CELL, SEASON, MAY).counts
    assert (counts.scenes, counts.without_score, counts.same_day) == (8, 4, 4)
    listed = scenes.listed(CELL.geobox, SEASON, MAY, BOTH)
    assert {name: len(found) for name, found in listed.items()} == {"sentinel-2": 4, "sentinel-1": 4}
    there = counted_scenes(listed, BOTH, 0)
    assert (there.scenes, there.without_score, there.same_day) == (8, 4, 4)


def test_power_becomes_decibels(tmp_path):
    scenes = SensorScenes(tmp_path).save(
        radar("S1_a", "2021-05-02T05:30:00", 10, power=True), radar("S1_b", "2021-05-04T05:30:00", 20)
    )
    recipe = Recipe.of(bands=("VV", "VH"))
    found = StacSource(str(scenes.path), recipe).read_cell(CELL, SEASON, MAY).values
    np.testing.assert_array_equal(found, scenes.loop(CELL.geobox, SEASON, MAY, recipe))
    alone = np.full((20, 20), 0.1, np.float32)
    scenes = SensorScenes(tmp_path / "one").save(
        plain(
            "sentinel-1", "S1_e", "2021-05-02T05:30:00", {"VV": alone, "VH": np.where(alone > 0, 0, alone)}
        ),
        plain("sentinel-1", "S1_f", "2021-05-07T05:30:00", {"VV": alone, "VH": alone / 10}),
    )
    found = StacSource(str(scenes.path), recipe).read_cell(CELL, SEASON, MAY).values
    assert (found[0] == NODATA).all()  # of no power there is no logarithm
    assert found[1, :, 3, 3].tolist() == [-1000, -2000]


def items_of(scenes, change):
    """Change the items of a catalog."""
    for path in sorted(scenes.folder.glob("*/item.json")):
        item = json.loads(path.read_text())
        change(item)
        path.write_text(json.dumps(item))
    return StacSource(str(scenes.path), BOTH)


AMPLITUDE = np.full((20, 20), 300, np.uint16)


@pytest.mark.parametrize("fields", [raster_v1(data_type="uint16"), {}])
def test_amplitudes_without_calibration_are_refused(tmp_path, fields):
    bands = {"VV": AMPLITUDE, "VH": AMPLITUDE}
    scenes = SensorScenes(tmp_path)
    scenes.save(plain("sentinel-1", "S1_a", "2021-05-02T05:30:00", bands, fields))
    source = StacSource(str(scenes.path), Recipe.of(bands=("VV", "VH")))
    words = r"uint16\) without calibration.*sentinel-1-rtc"
    if fields:  # the item says it, so that no work is begun
        with pytest.raises(InputError, match=words):
            source.survey(AREA, SEASON, MAY)
    with pytest.raises(SceneReadError, match=words):
        source.read_cell(CELL, SEASON, MAY)


def test_whole_numbers_of_declared_decibels_are_read(tmp_path):
    steps = {"VV": np.full((20, 20), -1234, np.int16), "VH": np.full((20, 20), -2001, np.int16)}
    fields = raster_v1(data_type="int16", scale=0.01, offset=0, unit="dB")
    scenes = SensorScenes(tmp_path).save(plain("sentinel-1", "S1_a", "2021-05-02T05:30:00", steps, fields))
    found = StacSource(str(scenes.path), Recipe.of(bands=("VV", "VH"))).read_cell(CELL, SEASON, MAY).values
    assert found[0, :, 5, 5].tolist() == [-1234, -2001]


def test_scenes_of_another_sensor_mode_or_polarisation_are_left_out(tmp_path):
    scenes = both(tmp_path)
    alone = StacSource(str(scenes.path), Recipe.of(bands=("B4", "B11")))
    assert alone.survey(AREA, SEASON, MAY).scenes == 4

    def change(item):
        if item["id"] == "S1_a":
            item["properties"]["sar:instrument_mode"] = "EW"
        if item["id"] == "S1_b":
            del item["assets"]["vh"]

    changed = items_of(scenes, change)
    (tmp_path / "catalog.json").touch()
    assert changed.survey(AREA, SEASON, MAY).scenes == 6
    kept = [shot for shot in scenes.shots if shot.id not in ("S1_a", "S1_b")]
    wanted = replace(scenes, shots=kept).loop(CELL.geobox, SEASON, MAY, BOTH)
    np.testing.assert_array_equal(changed.read_cell(CELL, SEASON, MAY).values, wanted)


def test_images_of_another_mode_or_polarisation_are_left_out(tmp_path):
    scenes = both(tmp_path)
    wanted = scenes.earth_engine(CELL.geobox, SEASON, MAY, BOTH)
    layer = Layer(np.full((20, 20), -3.0, np.float32))
    band = Raster(layer.values, layer.transform, layer.crs)
    when = scenes.shots[-1].when
    both_bands = {"VV": band, "VH": band}
    listed = {"transmitterReceiverPolarisation": ["VV", "VH"]}
    for name, bands, properties in (
        ("wide", both_bands, listed | {"instrumentMode": "EW"}),
        ("single", {"VV": band}, {"instrumentMode": "IW", "transmitterReceiverPolarisation": ["VV"]}),
    ):
        scenes.archive.add(ImageAsset(f"COPERNICUS/S1_GRD/{name}", when, bands, properties))
    np.testing.assert_array_equal(scenes.earth_engine(CELL.geobox, SEASON, MAY, BOTH), wanted)
    scenes.archive.add(
        ImageAsset("COPERNICUS/S1_GRD/good", when, both_bands, listed | {"instrumentMode": "IW"})
    )
    assert (scenes.earth_engine(CELL.geobox, SEASON, MAY, BOTH) != wanted).any()


def test_items_that_name_no_platform_are_known_by_their_bands(tmp_path):
    scenes = both(tmp_path)
    before = StacSource(str(scenes.path), BOTH).read_cell(CELL, SEASON, MAY).values
    source = items_of(scenes, lambda item: item["properties"].pop("constellation"))
    np.testing.assert_array_equal(source.read_cell(CELL, SEASON, MAY).values, before)


def test_a_sensor_without_any_scene_is_named(tmp_path):
    scenes = SensorScenes(tmp_path).save(optical("S2_a", "2021-05-01T10:30:00", 1, ("B4", "B11")))
    with pytest.raises(InputError, match=r"Sentinel-2 and Sentinel-1; of Sentinel-1 there is no scene"):
        StacSource(str(scenes.path), BOTH).survey(AREA, SEASON, MAY)


def test_a_missing_band_of_sentinel_2_is_still_refused_by_name(tmp_path):
    scenes = both(tmp_path)
    source = items_of(scenes, lambda item: item["assets"].pop("B11", None))
    with pytest.raises(InputError, match="must have the bands B4, B11; scene S2_a has no B11"):
        source.survey(AREA, SEASON, MAY)


@pytest.mark.usefixtures("made_up")
def test_a_sensor_is_added_by_its_data_alone(tmp_path):
    scenes = SensorScenes(tmp_path).save(
        optical("S2_a", "2021-05-01T10:30:00", 1, ("B4", "B11")),
        made_shot("X_a", "2021-05-02T12:00:00", 50),
        made_shot("X_b", "2021-05-04T12:00:00", 60),
    )
    values = agreed(scenes, Recipe.of(bands=("X2", "B4", "X1")))
    seen = values[0, :2][values[0, :2] != NODATA]
    assert len(seen) > 100
    assert -4000 <= seen.min() < seen.max() <= 4000


def test_a_years_embedding_is_one_bin(tmp_path):
    recipe = Recipe.of(bands=("A00", "A01", "A63"), season=YEAR, bin_days=365, min_clear_bins=1)

    def shot(name, day, seed):
        bands = {f"A{i:02d}": holed(seed + i, -1.05, 1.05, share=0.1) for i in (0, 1, 63)}
        return plain("alphaearth", name, f"{day}T00:00:00", bands)

    scenes = SensorScenes(tmp_path).save(
        shot("zone_31", "2021-01-01", 100),
        shot("zone_32", "2021-02-01", 200),  # whatever its day, it lies over the other and counts alone
        shot("later", "2022-01-01", 300),
    )
    values = agreed(scenes, recipe, bins=range(1))
    assert values.shape[:2] == (1, 3)
    above = scenes.shots[1].bands["A00"].nearest(CELL.geobox)[0]
    there = values[0, 0][(values[0, 0] != NODATA) & (np.abs(above) <= 1)]
    assert len(there) > 50
    south = YEAR.season(2022, "south")  # from July 2021 on: the embedding of 2022
    assert (agreed(scenes, recipe, season=south, bins=range(1)) != values).any()


def test_chosen_months_of_flagged_spectra_are_two_bins(tmp_path):
    bands = ("reflectance_0", "reflectance_143", "reflectance_283")
    recipe = Recipe.of(bands=bands, season=YEAR, bin_days="month:6,8", min_clear_bins=2)
    days = ("2023-05-31", "2023-06-01", "2023-06-30", "2023-07-15", "2023-08-02", "2023-08-09", "2023-08-31")
    twice = spectrum("E_same_day", "2023-08-31T21:00:00", 900, bands)
    shots = [spectrum(f"E{i}", f"{day}T15:00:00", 100 * i, bands) for i, day in enumerate(days)]
    scenes = SensorScenes(tmp_path).save(*shots, twice)
    values = agreed(scenes, recipe, YEAR.season(2023, "north"), range(2))
    seen = values[:, 0] != NODATA
    assert seen.any(axis=(1, 2)).all()
    assert not seen.all()
    assert -1000 <= values[values != NODATA].min() < 0


def test_spectra_without_their_flags_are_refused(tmp_path):
    bands = ("reflectance_0", "reflectance_1")
    recipe = Recipe.of(bands=bands, season=YEAR, bin_days="month:6,8", min_clear_bins=2)
    shot = replace(spectrum("E_a", "2023-06-01T15:00:00", 1, bands), flag=None)
    scenes = SensorScenes(tmp_path).save(shot)
    with pytest.raises(InputError, match="by the asset `dilated_cloud_flag`; scene E_a has none"):
        StacSource(str(scenes.path), recipe).survey(AREA, YEAR.season(2023, "north"), range(2))


def test_a_source_names_the_collections_of_its_sensors():
    two = EarthEngineSource(BOTH).describe()
    assert two["collection"] == "COPERNICUS/S2_SR_HARMONIZED, COPERNICUS/S1_GRD"
    assert EarthEngineSource(Recipe.of(bands=("A00",))).describe() == {
        "kind": "earthengine",
        "collection": ALPHAEARTH.collection,
        "cloud_score": None,
        "cropland": "none",
    }


def test_stored_decibels_have_the_steps_that_the_sensor_says():
    assert SENTINEL_1.step == 100
    assert SENTINEL_1.stored_range == (-5000, 2000)
    assert math.isclose(ALPHAEARTH.step, 9000)
