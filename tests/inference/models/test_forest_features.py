"""Features against a loop over pixels in exact fractions, which knows no other code of the project."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gee_pipeline.bands import BANDS
from gee_pipeline.errors import InputError
from gee_pipeline.features.feature_names import feature_names
from gee_pipeline.recipe import Recipe
from inference.models.forest_features import forest_features

NODATA = -9999
HARMONIC_NAMES = feature_names(Recipe(), "harmonic")
SHORT = Recipe.of(bands=("B4", "B11"), window=(121, 155))  # bins 24 to 30


def filled(one):
    """The series `[band][bin]` of one pixel, gaps filled, exact, halves up."""
    bins = range(len(one[0]))
    seen = [t for t in bins if all(band[t] != NODATA for band in one)]
    return [[math.floor(between(band, seen, t) + Fraction(1, 2)) for t in bins] for band in one]


def between(band, seen, t):
    before = max((s for s in seen if s <= t), default=seen[0])
    after = min((s for s in seen if s >= t), default=seen[-1])
    if before >= after:
        return Fraction(band[before])
    return band[before] + Fraction((band[after] - band[before]) * (t - before), after - before)


def coefficients(one, days, bands):
    """The 35 numbers x 10,000 of one filled series, by numpy's least squares, not yet rounded."""
    reflectance = {band: np.array(values) / 10_000 for band, values in zip(bands, one, strict=True)}
    index = reflectance["B8"] / np.maximum(reflectance["B3"], 0.01) - 1
    turns = [2 * np.pi * wave * days / 365 for wave in (1, 2, 3)]
    design = np.column_stack([np.ones(len(days)), *(f(turn) for turn in turns for f in (np.cos, np.sin))])
    fits = [
        np.linalg.lstsq(design, v)[0] for v in (*(reflectance[b] for b in ("B8A", "B11", "B12", "B8")), index)
    ]
    return 10_000 * np.concatenate(fits)


def random_series(seed, pixels=20, bands=10, bins=43, share=0.7, top=12_000):
    """Series of DN with gaps, no pixel without an observation."""
    rng = np.random.default_rng(seed)
    series = rng.integers(-300, top, (pixels, bands, bins)).astype(np.int16)
    gaps = rng.random((pixels, bins)) < share
    gaps[np.arange(pixels), rng.integers(0, bins, pixels)] = False
    return np.where(gaps[:, None], np.int16(NODATA), series)


def test_medians_are_the_filled_series_band_after_band():
    series = random_series(0)
    found = forest_features(series, Recipe(), "median")
    expected = [[value for band in filled(one) for value in band] for one in series.tolist()]
    assert found.dtype == np.float32
    assert found.tolist() == expected


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([100, 3000, 32_767]))
@settings(max_examples=40, deadline=None)
@example(0, 1.0, 32_767)  # one observation a pixel
@example(1, 0.96, 32_767)  # long gaps between the largest numbers, where 32 bits would not do
def test_medians_are_exact_in_every_season(seed, share, top):
    recipe = Recipe.of(bands=("B4", "B11"), window=(1, 365))
    series = random_series(seed, pixels=4, bands=2, bins=73, share=share, top=top)
    found = forest_features(series, recipe, "median")
    assert found.tolist() == [[value for band in filled(one) for value in band] for one in series.tolist()]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([1, NODATA, 2, NODATA, 1], [1, 2, 2, 2, 1]),  # halves, rising and falling
        ([-1, NODATA, -2, NODATA, -1], [-1, -1, -2, -1, -1]),  # -1.5 goes up to -1
        ([0, NODATA, NODATA, NODATA, -2], [0, 0, -1, -1, -2]),  # -0.5 and -1.5
        ([NODATA, NODATA, 7, NODATA, NODATA], [7] * 5),
        ([NODATA, 0, NODATA, NODATA, 1], [0, 0, 0, 1, 1]),  # thirds
        ([-9998, NODATA, 32_766, NODATA, -9998], [-9998, 11_384, 32_766, 11_384, -9998]),
    ],
)
def test_gaps_and_halves(series, expected):
    recipe = Recipe.of(bands=("B4",), window=(121, 145))
    found = forest_features(np.array([[series]], np.int16), recipe, "median")
    assert found.tolist() == [expected]


def test_a_gap_of_one_band_is_a_gap_of_all():
    recipe = Recipe.of(bands=("B4", "B11"), window=(121, 135))
    series = np.array([[[10, 99, 30], [50, NODATA, 70]]], np.int16)
    assert forest_features(series, recipe, "median").tolist() == [[10, 20, 30, 50, 60, 70]]


def test_harmonic_features_are_least_squares_of_the_rounded_medians():
    series = random_series(3)
    days = np.arange(122.5, 335, 5)
    found = forest_features(series, Recipe(), "harmonic")
    exact = np.array([coefficients(filled(one), days, BANDS) for one in series.tolist()])
    assert found.dtype == np.float32
    assert (found == np.floor(found)).all()
    clear = np.abs(exact - np.floor(exact) - 0.5) > 1e-4  # two solvers may part at a half
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], np.floor(exact + 0.5)[clear])


@pytest.mark.parametrize(
    ("green", "infrared", "index"),
    [
        (800, 2401, 20_013),  # 20012.5: a half goes up, whatever the last bit says
        (800, 2403, 20_038),  # 20037.5
        (800, 2399, 19_988),  # 19987.5
        (50, 3000, 290_000),  # a green below 100 DN counts as 100
        (-20, -500, -60_000),
    ],
)
def test_a_constant_series_is_its_constant(green, infrared, index):
    series = np.full((1, 10, 43), NODATA, np.int16)
    series[0, :, 20] = 1234
    series[0, BANDS.index("B3"), 20], series[0, BANDS.index("B8"), 20] = green, infrared
    found = forest_features(series, Recipe(), "harmonic")[0]
    constants = {name: value for name, value in zip(HARMONIC_NAMES, found, strict=True) if value}
    assert constants == {
        "B8A_constant": 1234,
        "B11_constant": 1234,
        "B12_constant": 1234,
        "B8_constant": infrared,
        "GCVI_constant": index,
    }


def test_names_are_band_after_band_and_bin_after_bin():
    names = feature_names(Recipe(), "median")
    assert len(names) == 430
    assert names[:2] + names[-1:] == ("B2_24", "B2_25", "B12_66")
    assert feature_names(SHORT, "median") == tuple(f"{b}_{i}" for b in ("B4", "B11") for i in range(24, 31))


def test_names_of_coefficients_have_no_blanks():
    names = feature_names(Recipe(), "harmonic")
    assert len(set(names)) == 35
    assert names[:3] + names[-1:] == ("B8A_constant", "B8A_cos1", "B8A_sin1", "GCVI_sin3")
    assert not any(character.isspace() for name in names for character in name)


def test_harmonic_features_need_their_bands():
    series = random_series(0, bands=2, bins=7)
    with pytest.raises(InputError, match=r"B8A.*--features median"):
        forest_features(series, SHORT, "harmonic")
    with pytest.raises(InputError, match="--features median"):
        feature_names(SHORT, "harmonic")


@pytest.mark.parametrize("kind", ["median", "harmonic"])
def test_a_series_without_observation_is_refused(kind):
    series = random_series(0)
    series[5] = NODATA
    with pytest.raises(AssertionError, match="observation"):
        forest_features(series, Recipe(), kind)


@pytest.mark.parametrize("shape", [(3, 2, 6), (3, 1, 7), (3, 7, 2)])
def test_series_of_another_window_are_refused(shape):
    with pytest.raises(AssertionError, match="window"):
        forest_features(np.zeros(shape, np.int16), SHORT, "median")


def test_no_pixels_have_no_features():
    assert forest_features(np.empty((0, 2, 7), np.int16), SHORT, "median").shape == (0, 14)
