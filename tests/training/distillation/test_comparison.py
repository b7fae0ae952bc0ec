"""A student beside its teacher."""

import numpy as np
import pytest

from training.distillation.comparison import Comparison, JudgedSet, compare, with_half_hidden


def hot(classes):
    return np.eye(2, dtype=np.float32)[classes]


def test_the_figures_of_a_set_counted_by_hand(made_samples):
    samples = made_samples(4, classes=2)  # labels 0 1 0 1
    one = compare(JudgedSet("four", samples, hot([0, 1, 0, 0])), hot([0, 1, 1, 0]))
    assert (one.name, one.samples) == ("four", 4)
    assert (one.teacher_accuracy, one.accuracy, one.agreement) == (0.75, 0.5, 0.75)
    assert one.teacher_macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert one.macro_f1 == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("accuracy", "macro_f1", "agreement", "passes"),
    [
        (0.949, 0.899, 0.99, True),  # exactly the tolerance, in spite of rounding
        (0.9489, 0.9, 0.99, False),
        (0.95, 0.8989, 0.99, False),
        (0.95, 0.9, 0.9899, False),
        (0.99, 0.95, 0.99, True),  # better than its teacher
    ],
)
def test_a_student_may_lose_the_tolerance_and_no_more(accuracy, macro_f1, agreement, passes):
    one = Comparison("set", 1000, 0.95, accuracy, 0.9, macro_f1, agreement)
    assert one.within(0.1, 99) is passes


def test_half_of_the_observations_are_hidden_in_the_second_set(made_samples):
    samples = made_samples(6)
    (name, same), (hidden_name, hidden) = with_half_hidden("here", samples, 1)
    assert (name, hidden_name) == ("here", "here, half of the observations hidden")
    assert same is samples
    window = samples.recipe.window
    before, after = samples.observed_bins(window), hidden.observed_bins(window)
    assert (abs(after - before / 2) <= 6).all()
    assert after.sum() < 0.7 * before.sum()
    assert (hidden.labels == samples.labels).all()
