import numpy as np
import pytest

from training.sample_report.ndvi import ndvi, ndvi_curves
from training.samples.samples import Samples


def samples_of(near, red, labels=None):
    """Samples with the given near infrared and red, `(sample, bin)`; None is a gap."""
    series = np.full((len(near), 10, len(near[0])), 500, np.int16)
    for sample, (n, r) in enumerate(zip(near, red, strict=True)):
        for index, (b8, b4) in enumerate(zip(n, r, strict=True)):
            series[sample, :, index] = -9999 if b8 is None else 500
            series[sample, [3, 2], index] = (-9999, -9999) if b8 is None else (b8, b4)  # B8 and B4
    labels = np.zeros(len(near), np.int64) if labels is None else np.array(labels)
    return Samples(series, labels, ("corn", "rice", "other"))


def test_ndvi_is_the_difference_of_near_infrared_and_red_by_their_sum():
    values = ndvi(samples_of([[3000, 1000]], [[1000, 1000]]))
    np.testing.assert_allclose(values, [[0.5, 0.0]])


def test_gaps_and_sums_that_are_not_positive_have_no_ndvi():
    values = ndvi(samples_of([[None, 5, -30, 40]], [[None, -5, 10, 0]]))
    np.testing.assert_array_equal(np.isnan(values), [[True, True, True, False]])


def test_large_reflectances_do_not_overflow():
    values = ndvi(samples_of([[32_000]], [[16_000]]))
    assert values[0, 0] == pytest.approx(1 / 3)


def test_a_curve_holds_the_quartiles_of_the_observed_samples_of_its_class():
    rng = np.random.default_rng(1)
    near, red = rng.integers(100, 5000, (2, 40, 6)).astype(object)
    near[rng.random((40, 6)) < 0.3] = None
    labels = np.arange(40) % 2 * 2  # corn and other, no rice
    curves = ndvi_curves(samples_of(near, red, labels))
    assert list(curves) == ["corn", "other"]
    for name, label in (("corn", 0), ("other", 2)):
        for index in range(6):
            pairs = [
                (n[index], r[index]) for n, r, own in zip(near, red, labels, strict=True) if own == label
            ]
            values = [(n - r) / (n + r) for n, r in pairs if n is not None]
            expected = np.percentile(values, [25, 50, 75])
            curve = curves[name]
            found = [curve.lower[index], curve.median[index], curve.upper[index]]
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_bin_in_which_almost_no_sample_is_observed_is_left_out():
    near = [[2000, 2000 if index < 2 else None] for index in range(101)]
    curve = ndvi_curves(samples_of(near, [[500, 500]] * 101))["corn"]
    # 2 of 101 samples are less than a fiftieth.
    np.testing.assert_array_equal(np.isnan(curve.median), [False, True])
