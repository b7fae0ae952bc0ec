import math

import pytest
from scipy import stats

from assessment.estimation.estimate import Estimate
from assessment.estimation.intervals import Z, figure, share

LEVEL = 2 * stats.norm.cdf(1.96) - 1


def test_a_normal_interval_is_cut_where_nothing_can_be_and_says_so() -> None:
    plain = figure(Estimate(0.3, 0.1, 50, 50))
    assert (plain.low, plain.high, plain.cut) == (pytest.approx(0.104), pytest.approx(0.496), False)
    low, high = figure(Estimate(0.1, 0.1, 50, 50)), figure(Estimate(95.0, 5.0, 50, 50), 100)
    assert (low.low, low.cut) == (0, True)
    assert (high.high, high.cut) == (100, True)
    assert low.half_width == pytest.approx(Z * 0.1)


def test_clusters_have_the_wider_interval_of_student() -> None:
    found = figure(Estimate(0.5, 0.1, 90, 90, degrees=4))
    assert found.high == pytest.approx(0.5 + 0.1 * stats.t.ppf(0.975, 4), abs=1e-4)
    assert found.interval == "t"


@pytest.mark.parametrize(("right", "n"), [(0, 40), (40, 40), (38, 40), (2, 50), (3, 6)])
def test_few_errors_have_the_exact_interval_where_units_are_alike(right: int, n: int) -> None:
    p = right / n
    found = share(Estimate(p, math.sqrt(p * (1 - p) / (n - 1)), n, n), right, equal=True)
    expected = stats.binomtest(right, n).proportion_ci(LEVEL, "exact")
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.interval == "clopper-pearson"


@pytest.mark.parametrize(("right", "n"), [(0, 40), (40, 40), (38, 40)])
def test_few_errors_have_the_score_interval_of_as_many_equal_units(right: int, n: int) -> None:
    p = right / n
    found = share(Estimate(p, math.sqrt(p * (1 - p) / n), 3 * n, n), 3 * right, equal=False)
    expected = stats.binomtest(right, n).proportion_ci(LEVEL, "wilson")
    if found.interval == "wilson":
        assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    else:
        assert (right, found.interval) == (38, "normal")  # six units of 120 are wrong: no longer few


def test_a_class_that_was_never_found_has_an_upper_limit() -> None:
    found = figure(Estimate(0.0, 0.0, 300, 200.0)).times(1000)
    expected = stats.binomtest(0, 200).proportion_ci(LEVEL, "wilson")
    assert (found.low, found.high) == (0, pytest.approx(1000 * expected.high))
    assert found.half_width > 0


@pytest.mark.parametrize(
    ("value", "se", "units", "flags"),
    [
        (0.5, 0.05, 30, ()),
        (0.5, 0.05, 29, ("few units",)),
        (0.1, 0.026, 90, ("large cv",)),
        (0.0, 0.0, 9, ("few units", "large cv")),
    ],
)
def test_weak_estimates_are_flagged(value: float, se: float, units: int, flags: tuple[str, ...]) -> None:
    assert figure(Estimate(value, se, units, units)).flags == flags
