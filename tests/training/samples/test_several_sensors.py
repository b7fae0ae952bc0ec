"""Samples of several sensors, and of one value a band: read from arrays and tables."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe, RecipeOptions
from gee_pipeline.sensors import ALPHAEARTH
from training.samples.samples import Samples, read_samples

NODATA = -9999
BANDS = ("B4", "B8", "VV", "VH")
RECIPE = Recipe.of(bands=BANDS, min_clear_bins=2)
YEARLY = Recipe.of(bands=ALPHAEARTH.band_names, window=(1, 365), bin_days=365, min_clear_bins=1)


def series_of(samples=6, seed=0):
    random = np.random.default_rng(seed)
    optical = random.integers(300, 4000, (samples, 2, 73))
    radar = random.integers(-2500, -500, (samples, 2, 73))
    optical[:, :, 1::2] = NODATA
    radar[:, :, np.arange(73) % 3 != 0] = NODATA
    return np.concatenate([optical, radar], axis=1).astype(np.int16)


def write(path, fea, **arrays):
    np.savez(path, fea=fea, lbl=np.arange(len(fea)) % 2 + 1, **arrays)
    return path


def test_a_gap_of_one_sensor_is_none_of_the_other(tmp_path):
    series = series_of()
    read = read_samples([write(tmp_path / "two.npz", series)], recipe=RECIPE)
    np.testing.assert_array_equal(read.series, series)
    torn = series.copy()
    torn[:, 3, 30] = NODATA  # VH alone: the radar's bin is a gap, the optical one stays
    read = read_samples([write(tmp_path / "torn.npz", torn)], recipe=RECIPE)
    assert (read.series[:, 2:, 30] == NODATA).all()
    np.testing.assert_array_equal(read.series[:, :2], series[:, :2])


def test_a_sample_with_too_few_observations_of_one_sensor_is_left_out(tmp_path):
    series = series_of()
    series[0, 2:] = NODATA
    series[1, 2:, 26:] = NODATA  # one in the window, at bin 24
    read = read_samples([write(tmp_path / "few.npz", series)], recipe=RECIPE)
    assert (len(read), read.sparse_dropped) == (4, 2)
    wanted = min((series[2, 0, 24:67] != NODATA).sum(), (series[2, 2, 24:67] != NODATA).sum())
    assert read.observed_bins(RECIPE.window).tolist() == [wanted] * 4


def test_observed_means_by_any_sensor():
    samples = Samples(series_of(1), np.zeros(1, np.int64), ("corn",), recipe=RECIPE)
    assert np.flatnonzero(samples.observed[0]).tolist() == [t for t in range(73) if t % 2 == 0 or t % 3 == 0]


def test_fractions_of_a_sensor_are_in_its_unit_and_whole_numbers_are_stored_ones(tmp_path):
    radar = Recipe.of(bands=("VV", "VH"), min_clear_bins=2)
    stored = series_of()[:, 2:]
    decibels = np.where(stored == NODATA, NODATA, stored / 100)
    for name, fea in (("whole", stored), ("decibels", decibels)):
        read = read_samples([write(tmp_path / f"{name}.npz", fea)], recipe=radar)
        np.testing.assert_array_equal(read.series, stored)


def test_a_value_that_a_sensor_cannot_have_is_refused(tmp_path):
    radar = Recipe.of(bands=("VV", "VH"), min_clear_bins=2)
    power = np.full((4, 2, 73), 0.1)
    power[2, 1, 30] = 60.0
    with pytest.raises(InputError, match=r"-50 to 20 for the bands of Sentinel-1.*row 2 has 60.*decibels"):
        read_samples([write(tmp_path / "power.npz", power)], recipe=radar)


@pytest.mark.parametrize("shape", [(5, 64), (5, 64, 1)])
def test_one_value_a_band_is_a_series_of_one_bin(tmp_path, shape):
    values = np.random.default_rng(1).uniform(-0.4, 0.4, (5, 64))
    read = read_samples([write(tmp_path / "alphaearth_USA.npz", values.reshape(shape))], recipe=YEARLY)
    assert read.series.shape == (5, 64, 1)
    wanted = [[int(np.floor(v * 9000 + 0.5)) for v in row] for row in values.tolist()]
    np.testing.assert_array_equal(read.series[:, :, 0], wanted)


def table(path):
    """Optical on every eighth day, radar on every twelfth, one row without a radar value on one day."""
    random = np.random.default_rng(2)
    columns = {"label": [1, 2, 1], "lon": [10.0, 10.1, 10.2], "lat": [50.0, 50.1, 50.2]}
    for step, bands, limits in ((8, BANDS[:2], (300, 4000)), (12, BANDS[2:], (-25, -5))):
        for i in range(12):
            day = date(2021, 5, 3) + timedelta(days=step * i)
            columns |= {f"{band}_{day}": random.uniform(*limits, 3).round(2) for band in bands}
    columns["VH_2021-05-15"][1] = np.nan
    pd.DataFrame(columns).to_csv(path, index=False)
    return columns


def test_a_table_gives_each_sensor_its_own_days(tmp_path):
    columns = table(tmp_path / "fields.csv")
    read = read_samples(
        [tmp_path / "fields.csv"], asked=RecipeOptions(bands=BANDS, min_clear_bins=2), recipe=RECIPE
    )
    wanted = np.full((3, 4, 73), NODATA)
    for name, values in columns.items():
        band, _, day = name.partition("_")
        if day:
            bin_of_day = (date.fromisoformat(day) - date(2021, 1, 1)).days // 5
            scale = 100 if band in ("VV", "VH") else 1
            stored = np.floor(np.array(values) * scale + 0.5)
            wanted[:, BANDS.index(band), bin_of_day] = np.where(np.isnan(stored), NODATA, stored)
    wanted[1, 2:, (date(2021, 5, 15) - date(2021, 1, 1)).days // 5] = NODATA
    np.testing.assert_array_equal(read.series, wanted)


def test_a_table_without_a_sensor_of_the_recipe_is_refused(tmp_path):
    columns = {"label": 1, "lon": 1.0, "lat": 50.0, "B4_2021-05-03": 500, "B8_2021-05-03": 900}
    pd.DataFrame([columns]).to_csv(tmp_path / "optical.csv", index=False)
    with pytest.raises(InputError, match="no column of a band and a date, such as VV_2021-05-03"):
        read_samples([tmp_path / "optical.csv"], recipe=RECIPE)
