import math
from dataclasses import replace

import pytest
from scipy import stats

from assessment.estimation.estimate import Estimate
from assessment.estimation.intervals import Z, area_interval, share_interval

LEVEL = 2 * stats.norm.cdf(1.96) - 1


def test_a_normal_interval_is_cut_where_nothing_can_be_and_says_so() -> None:
    plain = area_interval(Estimate(0.3, 0.1, 50, 50))
    assert (plain.low, plain.high, plain.cut) == (pytest.approx(0.104), pytest.approx(0.496), False)
    low, high = area_interval(Estimate(0.1, 0.1, 50, 50)), area_interval(Estimate(95.0, 5.0, 50, 50), 100)
    assert (low.low, low.cut) == (0, True)
    assert (high.high, high.cut) == (100, True)
    assert low.half_width == pytest.approx(Z * 0.1)


def test_clusters_have_the_wider_interval_of_student() -> None:
    estimate = Estimate(0.5, 0.1, 90, 90, degrees=4)
    area, share = area_interval(estimate), share_interval(estimate)
    half = 0.1 * stats.t.ppf(0.975, 4)
    assert area.high == pytest.approx(0.5 + half, abs=1e-4)
    assert (area.interval, share.interval) == ("t", "wilson")
    assert area.half_width == share.half_width == pytest.approx(half, abs=1e-4)
    assert share.high > share_interval(replace(estimate, degrees=math.inf)).high


@pytest.mark.parametrize(("right", "n"), [(0, 40), (40, 40), (3, 3)])
def test_a_share_of_0_or_1_has_the_exact_interval_where_units_are_alike(right: int, n: int) -> None:
    found = share_interval(Estimate(right / n, 0.0, n, n), binomial=True)
    expected = stats.binomtest(right, n).proportion_ci(LEVEL, "exact")
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.interval == "clopper-pearson"


@pytest.mark.parametrize(("right", "n"), [(0, 40), (40, 40), (38, 40), (2, 50), (20, 40)])
def test_other_shares_have_the_score_interval_of_as_many_equal_units(right: int, n: int) -> None:
    p = right / n
    found = share_interval(Estimate(p, math.sqrt(p * (1 - p) / n), 3 * n, n))
    expected = stats.binomtest(right, n).proportion_ci(LEVEL, "wilson")
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.half_width > 0


def test_a_class_that_was_never_found_has_an_upper_limit() -> None:
    found = area_interval(Estimate(0.0, 1e-18, 300, 200.0)).times(1000)
    expected = stats.binomtest(0, 200).proportion_ci(LEVEL, "wilson")
    assert (found.low, found.high) == (0, pytest.approx(1000 * expected.high))
    assert (found.se, found.half_width) == (0, pytest.approx(500 * expected.high))


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
    found = area_interval(Estimate(value, se, units, units))
    assert found.flags == flags
    assert replace(found, few_omissions=True).flags == (*flags, "few omissions")


@pytest.mark.parametrize("units", [11, 22, 26, 48])  # for which rounding leaves a little
def test_an_interval_of_0_begins_at_0_and_one_of_1_ends_at_1(units: int) -> None:
    assert share_interval(Estimate(0.0, 0.0, units, units)).low == 0
    assert share_interval(Estimate(1.0, 0.0, units, units)).high == 1
