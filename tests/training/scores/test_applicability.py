"""The area of applicability of a model, against scikit-learn's covariance and scipy's quartiles."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import iqr
from sklearn.covariance import EmpiricalCovariance

from inference.models.networks.cropnet import CropNetConfig
from inference.models.predictor import Predictor
from inference.models.told.applicability import answers
from training.fit.options import SplitRule, TrainingOptions
from training.fit.split import split_samples
from training.fit.train import train_checkpoint
from training.scores.applicability import applicability_of, usual_end, with_applicability

TINY = CropNetConfig("compact", (8, 8), (2, 2), (0.0, 0.1), 10, 3)
RNG = np.random.default_rng(2)
LABELS = np.repeat(np.arange(3), 60)


def shares(labels, spread=1.0, shift=0.0):
    centres = np.array([[4, 0, -1], [0, 5, 0], [-2, 1, 4]])
    return softmax(centres[labels] + RNG.normal(shift, spread, (len(labels), 3)), axis=1)


def test_means_and_covariance_are_those_of_the_training_samples() -> None:
    training, held_out = shares(LABELS), shares(LABELS[::2])
    found = applicability_of(training, LABELS, held_out)
    assert found is not None
    values = answers(training)
    means = np.array([values[k == LABELS].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(found.means, means)
    fitted = EmpiricalCovariance(assume_centered=True).fit(values - means[LABELS])
    expected = fitted.covariance_ * len(values) / (len(values) - 3)
    np.testing.assert_allclose(found.precision, np.linalg.pinv(expected, rcond=1e-6), rtol=1e-6)
    assert found.samples == len(held_out)


def test_most_of_other_places_alike_is_inside_and_of_others_outside() -> None:
    found = applicability_of(shares(LABELS), LABELS, shares(LABELS))
    assert found is not None
    assert (found.layer(shares(LABELS)) > 100).mean() < 0.1
    strange = softmax(RNG.normal(0, 0.1, (100, 3)), axis=1)  # all classes about as likely, as no sample was
    assert (found.layer(strange) > 100).mean() > 0.9


def test_the_usual_ends_where_a_box_plots_whisker_does() -> None:
    values = RNG.exponential(1, 500)
    fence = np.quantile(values, 0.75) + 1.5 * iqr(values)
    assert usual_end(values) == pytest.approx(min(fence, values.max()))
    assert usual_end(np.array([1.0, 2, 3, 4])) == 4  # the fence lies beyond the largest


@pytest.mark.parametrize(
    ("labels", "held_out"), [(LABELS, 29), (np.r_[LABELS[:120], 2], 60), (np.zeros(180, int), 60)]
)
def test_of_too_few_samples_nothing_is_said(labels, held_out) -> None:
    assert applicability_of(shares(labels), labels, shares(LABELS[:held_out])) is None


@pytest.mark.slow
def test_a_training_says_it_of_its_own_split(made_samples) -> None:
    samples, options = made_samples(200), TrainingOptions(epochs=2, batch_size=16, device="cpu")
    rule = SplitRule(seed=5)
    checkpoint = train_checkpoint(samples, options, rule, year=2021, config=TINY)
    said = Predictor(checkpoint, "cpu").probabilities(samples.series[:, :, 24:67])
    split = split_samples(samples, rule)
    expected = applicability_of(said[split.training], samples.labels[split.training], said[split.validation])
    assert expected is not None
    assert checkpoint.applicability == expected


@pytest.mark.slow
def test_of_many_samples_some_are_drawn(made_samples, monkeypatch) -> None:
    samples = made_samples(120)
    checkpoint = train_checkpoint(
        samples,
        TrainingOptions(epochs=1, batch_size=16, device="cpu"),
        SplitRule(seed=5),
        year=2021,
        config=TINY,
    )
    monkeypatch.setattr("training.scores.applicability.MOST", 60)
    training, held_out = samples.take(np.arange(80)), samples.take(np.arange(80, 120))
    found = with_applicability(checkpoint, training, held_out, device="cpu", seed=3).applicability
    drawn = np.sort(np.random.default_rng(3).permutation(80)[:60])
    said = Predictor(checkpoint, "cpu").probabilities(samples.series[:, :, 24:67])
    assert found == applicability_of(said[drawn], samples.labels[drawn], said[80:])
