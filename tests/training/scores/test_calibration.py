import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from training.scores.calibration import (
    calibrate,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)


@pytest.fixture(scope="module")
def calibrated():
    """Logits of 20,000 samples whose labels are drawn from the softmax of these very logits."""
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (20_000, 4))
    shares = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((20_000, 1)) > shares).sum(axis=1).clip(max=3)


def error_by_loop(probabilities, labels, bins):
    """Guo et al. 2017, equation 3, a bin (low, high] at a time."""
    total = 0.0
    for m in range(bins):
        rows = [row for row in range(len(labels)) if m / bins < probabilities[row].max() <= (m + 1) / bins]
        if rows:
            right = sum(int(probabilities[row].argmax() == labels[row]) for row in rows) / len(rows)
            sure = sum(float(probabilities[row].max()) for row in rows) / len(rows)
            total += len(rows) / len(labels) * abs(right - sure)
    return total


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_calibration_error_is_that_of_a_loop_over_bins(bins):
    rng = np.random.default_rng(bins)
    probabilities = softmax(rng.normal(0, 2, (400, 3)), axis=1)
    labels = rng.integers(0, 3, 400)
    found = expected_calibration_error(probabilities, labels, bins)
    assert found == pytest.approx(error_by_loop(probabilities, labels, bins))
    assert found > 0.1


def test_a_confidence_at_the_end_of_a_bin_belongs_to_it():
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0], [0.75, 0.25]])
    found = reliability(probabilities, np.array([0, 0, 1]), bins=4)
    assert [(one.samples, one.confidence, one.accuracy) for one in found] == [
        (1, 0.5, 1.0),  # (0.25, 0.5]
        (1, 0.75, 0.0),  # (0.5, 0.75]
        (1, 1.0, 1.0),  # (0.75, 1]
    ]


def test_the_reliability_of_two_classes_is_scikit_learns(calibrated):
    logits, labels = (part[:3000] for part in calibrated)
    probabilities = softmax(logits[:, :2], axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(int)
    shares, confidences = calibration_curve(right, probabilities.max(axis=1), n_bins=15)
    found = reliability(probabilities, labels, 15)
    np.testing.assert_allclose([one.accuracy for one in found], shares)
    np.testing.assert_allclose([one.confidence for one in found], confidences)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_likelihood_is_scikit_learns_log_loss(calibrated, temperature):
    logits, labels = calibrated
    found = negative_log_likelihood(logits, labels, temperature)
    assert found == pytest.approx(log_loss(labels, softmax(logits / temperature, axis=1)))


def test_a_calibrated_model_keeps_its_temperature(calibrated):
    logits, labels = calibrated
    found = calibrate(logits, labels)
    assert found.temperature == pytest.approx(1, abs=0.03)
    assert found.ece_before < 0.01
    assert found.ece_after < 0.01


@pytest.mark.parametrize("factor", [0.3, 2.5, 6.0])
def test_a_model_that_is_too_sure_or_too_shy_gets_the_factor_back(calibrated, factor):
    logits, labels = calibrated
    found = calibrate(logits * factor, labels)
    assert found.temperature == pytest.approx(factor, rel=0.03)
    assert found.temperature == pytest.approx(factor * fit_temperature(logits, labels), rel=1e-4)
    assert found.ece_after < 0.01 < 0.1 < found.ece_before
    assert found.nll_after < found.nll_before


def test_no_other_temperature_is_likelier():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 3, 200)
    logits = rng.normal(0, 1, (200, 3)) + 5 * np.eye(3)[np.where(rng.random(200) < 0.8, labels, 0)]

    def loss(inverse):
        return -log_softmax(logits * inverse[0], axis=1)[np.arange(200), labels].mean()

    best = minimize(loss, [1.0], bounds=[(0.05, 20)], tol=1e-12)
    assert fit_temperature(logits, labels) == pytest.approx(1 / best.x[0], rel=1e-3)


def test_float32_logits_of_any_size_are_calibrated():
    logits = np.array([[200, 0], [200, 0], [0, 200], [190, 0]], np.float32)
    found = calibrate(logits, np.array([0, 0, 1, 1]))
    assert all(map(math.isfinite, (found.nll_before, found.nll_after)))
    assert found.temperature == pytest.approx(20, rel=1e-3)  # the largest that is looked at


def test_samples_that_are_all_right_do_not_make_the_model_sure_of_everything():
    found = calibrate(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 1]))
    assert found.temperature == 1
    assert (found.nll_after, found.ece_after) == (found.nll_before, found.ece_before)


def test_the_facts_are_plain_values():
    facts = calibrate(np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), np.array([0, 1, 1])).to_dict()
    assert facts["samples"] == 3
    assert type(facts["reliability_after"]) is list
    assert sum(one["samples"] for one in facts["reliability_before"]) == 3
