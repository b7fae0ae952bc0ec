import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gee_pipeline.bands import BANDS
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import Recipe
from inference.models.networks.normalisation import Normalisation
from inference.models.series import clear_bins, fill_gaps, fill_gaps_whole, model_input, pixel_series

NODATA = -9999


def _series(pixels, bands, bins, share, seed=0):
    """Random series in which a share of the bins is absent in all bands."""
    random = np.random.default_rng(seed)
    series = random.integers(-200, 12_000, (pixels, bands, bins)).astype(np.int16)
    gaps = random.random((pixels, 1, bins)) < share
    return np.where(gaps, np.int16(NODATA), series)


def _bands(count):
    """A recipe of that many bands of Sentinel-2."""
    return Recipe.of(bands=BANDS[:count])


def _interpolated(series):
    """numpy's own interpolation, one band of one pixel at a time."""
    bins = np.arange(series.shape[2])
    out = np.full(series.shape, np.nan)
    for i, one in enumerate(series):
        seen = bins[(one != NODATA).all(axis=0)]
        for b in range(len(one)):
            if len(seen):
                out[i, b] = np.interp(bins, seen, one[b, seen].astype(float))
    return out


@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(1, 4), st.integers(1, 50), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_gaps_are_filled_as_numpy_interpolates(seed, pixels, bands, bins, share):
    series = _series(pixels, bands, bins, share, seed)
    filled = fill_gaps(series)
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled, _interpolated(series), rtol=1e-6, atol=2e-3)


def test_ends_take_the_nearest_value_and_a_gap_the_line_between():
    series = np.array([[[NODATA, 100, NODATA, NODATA, 400, NODATA]]], np.int16)
    assert fill_gaps(series).tolist() == [[[100, 100, 200, 300, 400, 400]]]


def test_zero_is_an_observation():
    series = np.array([[[0, NODATA, 0, 50]]], np.int16)
    assert fill_gaps(series).tolist() == [[[0, 0, 0, 50]]]


def test_a_bin_with_one_absent_band_is_a_gap_of_all_bands():
    series = np.array([[[10, 500, 30], [10, NODATA, 30]]], np.int16)
    assert fill_gaps(series).tolist() == [[[10, 20, 30], [10, 20, 30]]]


def test_a_series_without_observation_is_nan_and_leaves_its_neighbours_alone():
    series = _series(3, 2, 8, 0.3)
    series[1] = NODATA
    filled = fill_gaps(series)
    assert np.isnan(filled[1]).all()
    assert np.isfinite(filled[[0, 2]]).all()
    assert np.isnan(model_input(series, Normalisation((0.1, 0.1), (1, 1)), _bands(2))[1]).all()


def test_the_input_is_not_changed():
    series = _series(4, 3, 9, 0.5)
    before = series.copy()
    fill_gaps(series)
    model_input(series, Normalisation((0.1,) * 3, (0.2,) * 3), _bands(3))
    np.testing.assert_array_equal(series, before)


def test_the_models_input_is_filled_scaled_and_normalised_band_by_band():
    series = _series(300, 3, 43, 0.6)
    series[:, :, 7] = 1_000  # every series has an observation
    mean, std = (0.05, 0.3, 0.2), (0.02, 0.1, 0.4)
    found = model_input(series, Normalisation(mean, std), _bands(3))
    reflectance = _interpolated(series) / 10_000
    wanted = (reflectance - np.reshape(mean, (3, 1))) / np.reshape(std, (3, 1))
    assert found.shape == (300, 1, 3, 43)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-5, atol=1e-5)


def test_views_give_the_same_as_copies():
    series = _series(40, 4, 30, 0.4)
    normalisation = Normalisation((0.1,) * 4, (0.2,) * 4)
    view = series[::3, :, 5:20]
    np.testing.assert_array_equal(
        model_input(view, normalisation, _bands(4)), model_input(view.copy(), normalisation, _bands(4))
    )
    np.testing.assert_array_equal(fill_gaps(view), fill_gaps(view.copy()))


def test_another_number_of_bands_is_refused():
    with pytest.raises(MismatchError, match="takes 10 bands, the series have 9"):
        model_input(np.zeros((1, 9, 43), np.int16), Normalisation((0.1,) * 10, (0.1,) * 10), Recipe())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_kept_pixels_come_in_row_order_with_bands_before_bins(share):
    random = np.random.default_rng(1)
    values = random.integers(-9999, 9999, (6, 3, 17, 11)).astype(np.int16)
    keep = random.random((17, 11)) < share
    wanted = [values[:, :, y, x].T for y in range(17) for x in range(11) if keep[y, x]]
    found = pixel_series(values, keep)
    assert found.shape == (len(wanted), 3, 6)
    np.testing.assert_array_equal(found, np.array(wanted).reshape(-1, 3, 6))
    np.testing.assert_array_equal(pixel_series(values[:, :, ::2], keep[::2]), _rows(values, keep, 2))


def _rows(values, keep, step):
    return np.array(
        [values[:, :, y, x].T for y in range(0, 17, step) for x in range(11) if keep[y, x]]
    ).reshape(-1, 3, 6)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_series_of_a_composite_are_filled_like_copies_of_them(share):
    values = _series(17 * 11, 3, 6, 0.4).transpose(2, 1, 0).reshape(6, 3, 17, 11)
    keep = np.random.default_rng(2).random((17, 11)) < share
    series = pixel_series(values, keep)
    assert np.shares_memory(series, values) == (share == 1)
    np.testing.assert_array_equal(fill_gaps(series), fill_gaps(np.ascontiguousarray(series)))
    observed = series[(series != NODATA).all(axis=1).any(axis=1)]
    filled = fill_gaps_whole(observed)
    np.testing.assert_allclose(filled, _interpolated(observed), atol=0.5 + 1e-9)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"\(4, 5\).*\(5, 4\)"):
        pixel_series(np.zeros((2, 3, 4, 5), np.int16), np.ones((5, 4), bool))


def test_a_bin_counts_as_clear_when_every_band_is_observed():
    values = np.full((5, 2, 1, 3), 100, np.int16)
    values[[0, 2], :, 0, 1] = NODATA  # two whole gaps
    values[4, 1, 0, 2] = NODATA  # one band only
    assert clear_bins(values).tolist() == [[5, 3, 4]]
    assert clear_bins(values).dtype == np.uint8


RADAR = Recipe.of(bands=("B4", "B8", "B11", "VV", "VH"))
"""Two sensors: three bands of reflectance x 10,000, two of decibels x 100."""


def _radar_series(pixels, seed=0):
    """Series of both sensors, each with gaps of its own and at least one observation."""
    both = [_series(pixels, 3, 43, 0.7, seed), _series(pixels, 2, 43, 0.5, seed + 1)]
    for series in both:
        series[:, :, 11] = 500
    return np.concatenate(both, axis=1), both


def test_the_gaps_of_a_sensor_fill_its_own_rows_only():
    series, both = _radar_series(60)
    wanted = np.concatenate([_interpolated(one) for one in both], axis=1)
    sizes = RADAR.group_sizes
    np.testing.assert_allclose(fill_gaps(series, sizes), wanted, rtol=1e-6, atol=1e-3)
    np.testing.assert_array_equal(fill_gaps_whole(series, sizes), np.floor(wanted + 0.5000001))


def test_each_band_is_normalised_in_the_unit_of_its_sensor():
    series, both = _radar_series(20)
    mean, std = (0.1, 0.3, 0.2, -11.0, -17.0), (0.05, 0.1, 0.1, 3.0, 4.0)
    found = model_input(series, Normalisation(mean, std), RADAR)[:, 0]
    values = np.concatenate([_interpolated(both[0]) / 10_000, _interpolated(both[1]) / 100], axis=1)
    wanted = (values - np.reshape(mean, (5, 1))) / np.reshape(std, (5, 1))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_sensor_that_saw_nothing_is_nan_in_its_rows():
    series, _ = _radar_series(3)
    series[1, 3:] = NODATA
    filled = fill_gaps(series, RADAR.group_sizes)
    assert np.isnan(filled[1, 3:]).all()
    assert np.isfinite(filled[1, :3]).all()
    assert np.isfinite(filled[[0, 2]]).all()
    with pytest.raises(AssertionError, match="without any observation"):
        fill_gaps_whole(series, RADAR.group_sizes)


def test_clear_bins_of_two_sensors_are_those_of_the_one_with_the_fewest():
    values = np.full((5, 3, 1, 2), 100, np.int16)
    values[:2, :2, 0, 0] = NODATA
    values[1:, 2, 0, 1] = NODATA
    assert clear_bins(values, (2, 1)).tolist() == [[3, 1]]
    assert clear_bins(values).tolist() == [[3, 1]]
    values[4, 2, 0, 0] = NODATA  # a gap of the other sensor alone
    assert clear_bins(values, (2, 1)).tolist() == [[3, 1]]
    assert clear_bins(values).tolist() == [[2, 1]]


def test_groups_of_other_sizes_than_the_series_are_refused():
    with pytest.raises(MismatchError, match=r"have 10 \+ 2 rows, the series 10"):
        fill_gaps(np.zeros((1, 10, 43), np.int16), (10, 2))


def test_more_bins_than_a_map_can_say_count_as_254():
    values = np.full((365, 1, 1, 3), 100, np.int16)
    values[260:, :, :, 1] = values[200:, :, :, 2] = NODATA
    assert clear_bins(values).tolist() == [[254, 254, 200]]
