import time

import numpy as np
import pytest

from gee_pipeline.bands import BANDS
from gee_pipeline.errors import InputError
from gee_pipeline.features.harmonic import FEATURES, bin_days, harmonic_features
from gee_pipeline.recipe import Recipe

DAYS = np.arange(122.5, 335, 5)  # the middle of five-day bins from day 121 (0-based 120) to 334
ROW = {band: row for row, band in enumerate(BANDS)}


@pytest.fixture
def series():
    """Forty smooth but irregular series of plausible reflectance x 10,000."""
    rng = np.random.default_rng(0)
    level = rng.uniform(300, 4000, (40, 10, 1))
    return (level + 200 * rng.normal(size=(40, 10, 43)).cumsum(axis=2) / 6).clip(150, 9000).astype(np.float32)


def written_out(one, days, keep=slice(None), period=365):
    """The 35 numbers of one series by numpy's least squares, variable by variable."""
    reflectance = one.astype(np.float64) / 10_000
    gcvi = reflectance[ROW["B8"]] / reflectance[ROW["B3"]] - 1
    columns = [np.ones(len(days))]
    for wave in (1, 2, 3):
        columns += [np.cos(2 * np.pi * wave * days / period), np.sin(2 * np.pi * wave * days / period)]
    design = np.stack(columns, axis=1)
    out = []
    for values in (*(reflectance[ROW[band]] for band in ("B8A", "B11", "B12", "B8")), gcvi):
        out.extend(np.linalg.lstsq(design[keep], values[keep], rcond=1e-5)[0])
    return np.array(out)


def test_the_days_are_the_middles_of_the_bins():
    np.testing.assert_array_equal(bin_days(Recipe()), DAYS)


def test_each_series_gets_the_least_squares_of_numpy(series):
    found = harmonic_features(series, DAYS)
    assert found.shape == (40, 35)
    assert found.dtype == np.float32
    wanted = np.array([written_out(one, DAYS) for one in series])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_only_observed_bins_count_where_they_are_named(series):
    observed = np.random.default_rng(1).random((40, 43)) < 0.5
    observed[0] = True
    assert observed.sum(axis=1).min() >= 12
    hidden = np.where(observed[:, None], series, 1e6).astype(np.float32)  # what is hidden must not matter
    found = harmonic_features(hidden, DAYS, observed=observed)
    wanted = np.array([written_out(one, DAYS, keep) for one, keep in zip(series, observed, strict=True)])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert not np.allclose(found, harmonic_features(series, DAYS), atol=1e-2)


def test_too_few_observations_give_the_smallest_coefficients(series):
    """Numpy's least squares answers with the smallest sum of squares as well."""
    observed = np.zeros((3, 43), bool)
    observed[0, [5]] = observed[1, [3, 20, 40]] = True  # none in the third
    found = harmonic_features(series[:3], DAYS, observed=observed)
    for sample in (0, 1):
        np.testing.assert_allclose(
            found[sample], written_out(series[sample], DAYS, observed[sample]), rtol=1e-4, atol=1e-5
        )
    assert not found[2].any()


@pytest.mark.parametrize("band", ["B8A", "B11", "B12"])
def test_a_known_wave_is_found(band):
    turn = 2 * np.pi * DAYS / 365
    wave = 0.3 + 0.05 * np.cos(turn) - 0.02 * np.sin(2 * turn) + 0.01 * np.cos(3 * turn)
    series = np.full((1, 10, 43), 2000, np.float32)
    series[0, ROW[band]] = 10_000 * wave
    found = dict(zip(FEATURES, harmonic_features(series, DAYS)[0], strict=True))
    wanted = {"constant": 0.3, "cos1": 0.05, "sin1": 0, "cos2": 0, "sin2": -0.02, "cos3": 0.01, "sin3": 0}
    for name, value in wanted.items():
        assert found[f"{band}_{name}"] == pytest.approx(value, abs=2e-6)
    constants = {
        name: value for name, value in found.items() if abs(value) > 1e-5 and band not in name.split("_")
    }
    assert constants == pytest.approx(
        {f"{b}_constant": 0.2 for b in ("B8A", "B11", "B12", "B8") if b != band}
    )


def test_the_index_is_the_ratio_of_near_infrared_to_green_less_one():
    series = np.full((1, 10, 43), 500, np.float32)
    series[0, ROW["B8"]] = 500 * (3 + np.cos(2 * np.pi * DAYS / 365))  # so B8 / B3 - 1 is 2 + cos
    found = dict(zip(FEATURES, harmonic_features(series, DAYS)[0], strict=True))
    assert found["GCVI_constant"] == pytest.approx(2, abs=1e-4)
    assert found["GCVI_cos1"] == pytest.approx(1, abs=1e-4)
    assert found["GCVI_sin1"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("green", [0, -300, 1])
def test_a_black_green_band_gives_a_finite_index(green):
    series = np.full((1, 10, 43), 3000, np.float32)
    series[0, ROW["B3"]] = green
    found = dict(zip(FEATURES, harmonic_features(series, DAYS)[0], strict=True))
    assert found["GCVI_constant"] == pytest.approx(0.3 / 0.01 - 1, rel=1e-5)


def test_bands_are_found_by_name(series):
    order = ("B3", "B8", "B12", "B11", "B8A")
    few = series[:, [ROW[band] for band in order]]
    np.testing.assert_array_equal(harmonic_features(few, DAYS, bands=order), harmonic_features(series, DAYS))
    with pytest.raises(InputError, match=r"B11 is not among B2, B3"):
        harmonic_features(series, DAYS, bands=[f"{b}" if b != "B11" else "B9" for b in BANDS])


def test_another_period_turns_the_waves_faster(series):
    found = harmonic_features(series, DAYS, period=215)
    np.testing.assert_allclose(found[7], written_out(series[7], DAYS, period=215), rtol=1e-5, atol=1e-6)


def test_more_series_than_one_step_takes(series):
    many = np.tile(series, (210, 1, 1))  # 8,400
    found = harmonic_features(many, DAYS).reshape(210, 40, 35)
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), rtol=1e-6, atol=1e-7)
    assert harmonic_features(series[:0], DAYS).shape == (0, 35)


@pytest.mark.parametrize(
    ("days", "observed"),
    [(DAYS[:-1], None), (DAYS, np.ones((40, 42), bool)), (DAYS, np.ones((39, 43), bool))],
)
def test_shapes_that_do_not_fit_are_refused(series, days, observed):
    with pytest.raises(InputError, match="43 bins"):
        harmonic_features(series, days, observed=observed)


def test_a_hundred_thousand_series_take_seconds():
    series = np.full((100_000, 10, 43), 1500, np.float32)
    start = time.process_time()
    harmonic_features(series, DAYS)
    assert time.process_time() - start < 10
