"""Medians of clear observations against a plain loop over pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gee_pipeline.composite import BLOCK, median_composite
from tests.support.slow_composite import slow_composite

NODATA = -9999


def edges_of(bins, bin_days=5):
    return np.array([(index * bin_days, (index + 1) * bin_days) for index in bins])


def one_pixel(values, days, clear=None, bin_days=5, bins=range(1)):
    stack = np.array(values, np.int16).reshape(-1, 1, 1, 1)
    clear = np.array([True] * len(values) if clear is None else clear).reshape(-1, 1, 1)
    out, dropped = median_composite(stack, clear, np.array(days), edges_of(bins, bin_days))
    return out[:, 0, 0, 0].tolist(), dropped


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([7], 7),
        ([7, 9], 8),
        ([7, 8], 8),  # a half rounds up
        ([-7, -8], -7),  # also below zero: floor(-7.5 + 0.5)
        ([-3, 0], -1),
        ([9, 1, 5], 5),
        ([9, 1, 5, 6], 6),  # 5.5
        ([32_766, 32_766], 32_766),  # no overflow
        ([-9_998, -9_998], -9_998),
        ([0, 0, 0, 10_000, 10_000], 0),
    ],
)
def test_the_median_is_the_middle_or_the_mean_of_the_middle_two(values, median):
    assert one_pixel(values, range(len(values))) == ([median], 0)


def test_of_one_day_the_last_clear_observation_counts():
    assert one_pixel([100, 200, 300], [2, 2, 2]) == ([300], 2)
    assert one_pixel([100, 200, 300], [2, 2, 2], clear=[True, True, False]) == ([200], 1)
    assert one_pixel([100, 200, 300], [2, 2, 2], clear=[True, False, False]) == ([100], 0)


def test_a_duplicate_does_not_weigh_twice():
    assert one_pixel([100, 100, 100, 900], [0, 0, 0, 1]) == ([500], 2)


def test_a_bin_without_clear_observation_is_nodata_and_days_outside_are_ignored():
    values, dropped = one_pixel([1, 2, 3, 4], [-1, 4, 5, 15], [True, False, True, True], bins=range(3))
    assert values == [NODATA, 3, NODATA]
    assert dropped == 0


def test_what_is_not_clear_never_matters():
    values, _ = one_pixel([32_767, -32_768, 5], [0, 1, 2], [False, False, True])
    assert values == [5]


def test_input_order_among_days_does_not_matter():
    assert one_pixel([10, 30, 20], [12, 10, 11], bins=range(2, 3)) == ([20], 0)


def test_no_observation_at_all_gives_nodata():
    stack, clear = np.empty((0, 2, 3, 4), np.int16), np.empty((0, 3, 4), bool)
    values, dropped = median_composite(stack, clear, np.empty(0, np.int64), edges_of(range(4, 6)))
    assert values.shape == (2, 2, 3, 4)
    assert (values == NODATA).all()
    assert dropped == 0


def random_stack(rng, observations, bands, height, width, cloudy=0.4):
    stack = rng.integers(-400, 12_000, (observations, bands, height, width)).astype(np.int16)
    return stack, rng.random((observations, height, width)) > cloudy


def test_pixels_on_both_sides_of_a_block_border_are_equal_to_the_loop():
    rng = np.random.default_rng(0)
    stack, clear = random_stack(rng, 6, 2, 3, BLOCK // 2)  # 1.5 blocks
    days = np.array([0, 1, 1, 3, 4, 7])
    out, dropped = median_composite(stack, clear, days, edges_of(range(2)))
    around = np.r_[0:3, BLOCK // 2 - 3 : BLOCK // 2]
    expected, _ = slow_composite(stack[..., around], clear[..., around], days, range(2), 5)
    np.testing.assert_array_equal(out[..., around], expected)
    assert dropped == (clear[1] & clear[2]).sum()


def test_strided_input_and_a_given_output_are_welcome():
    rng = np.random.default_rng(1)
    stack, clear = random_stack(rng, 5, 3, 8, 10)
    days = np.array([0, 2, 2, 6, 8], np.int32)
    out = np.zeros((2, 3, 4, 10), np.int16)
    returned, dropped = median_composite(stack[:, :, ::2], clear[:, ::2], days, edges_of(range(2)), out=out)
    expected = slow_composite(stack[:, :, ::2], clear[:, ::2], days, range(2), 5)
    assert returned is out
    np.testing.assert_array_equal(out, expected[0])
    assert dropped == expected[1]


def test_shapes_that_do_not_fit_are_refused():
    stack, clear = np.zeros((2, 1, 4, 4), np.int16), np.ones((2, 4, 4), bool)
    with pytest.raises(ValueError, match="do not belong"):
        median_composite(stack, clear, np.zeros(3, np.int64), edges_of(range(1)))
    with pytest.raises(ValueError, match="do not belong"):
        median_composite(stack, clear[:, :3], np.zeros(2, np.int64), edges_of(range(1)))
    with pytest.raises(ValueError, match="out must be"):
        median_composite(
            stack, clear, np.zeros(2, np.int64), edges_of(range(1)), out=np.zeros((1, 1, 4, 4), np.int32)
        )


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    observations=st.integers(0, 14),
    bands=st.integers(1, 3),
    bin_days=st.sampled_from([1, 5, 10, 73]),
    first=st.integers(0, 3),
    count=st.integers(1, 3),
    cloudy=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
)
def test_every_stack_equals_the_loop(seed, observations, bands, bin_days, first, count, cloudy):
    rng = np.random.default_rng(seed)
    stack, clear = random_stack(rng, observations, bands, 2, 3, cloudy)
    days = rng.integers(-2, 4 * bin_days + 2, observations)
    bins = range(first, first + count)
    out, dropped = median_composite(stack, clear, days, edges_of(bins, bin_days))
    expected, duplicates = slow_composite(stack, clear, days, bins, bin_days)
    np.testing.assert_array_equal(out, expected)
    assert dropped == duplicates
