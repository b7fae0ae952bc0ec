"""The interval of an area from limits of each stratum: against scipy, and over all samples of a frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assessment.estimation.accuracy import LabelledSample, assess
from assessment.estimation.designs import Clusters, PostStratified, Stratified
from assessment.estimation.mover import TAIL, mover_interval

LEVELS = [TAIL, 1 - TAIL]


@pytest.mark.parametrize(("n", "x"), [(40, 3), (40, 20), (200, 1), (30, 29)])
def test_of_a_single_stratum_it_is_jeffreys_interval(n: int, x: int) -> None:
    found = mover_interval(np.array([n]), np.array([x]), np.array([1.0]))
    assert found == pytest.approx(stats.beta.ppf(LEVELS, x + 0.5, n - x + 0.5))


def test_a_class_that_no_unit_shows_begins_at_nothing_and_may_be_there_all_the_same() -> None:
    low, high = mover_interval(np.array([50, 300]), np.array([0, 0]), np.array([0.2, 0.8]))
    assert low == 0
    limits = [stats.beta.ppf(1 - TAIL, 0.5, n + 0.5) for n in (50, 300)]
    assert high == pytest.approx(np.hypot(0.2 * limits[0], 0.8 * limits[1]))


def test_limits_of_strata_add_up_as_squares() -> None:
    n, x, w = np.array([50, 75, 400]), np.array([45, 2, 6]), np.array([0.1, 0.25, 0.65])
    p = x / n
    low, high = (stats.beta.ppf(level, x + 0.5, n - x + 0.5) for level in LEVELS)
    share = (w * p).sum()
    expected = share - ((w * (p - low)) ** 2).sum() ** 0.5, share + ((w * (high - p)) ** 2).sum() ** 0.5
    assert mover_interval(n, x, w) == pytest.approx(expected)


def test_a_census_leaves_nothing_open() -> None:
    share = 0.3 * 0.5 + 0.7 * 0.1
    found = mover_interval(np.array([10, 20]), np.array([5, 2]), np.array([0.3, 0.7]), np.zeros(2))
    assert found == pytest.approx((share, share))


def test_it_holds_where_few_omitted_units_decide_and_the_normal_one_does_not() -> None:
    """Over every sample that there can be of a rare class, by its probability."""
    n, p, w = np.array([50, 250]), np.array([0.8, 0.012]), np.array([0.035, 0.965])
    truth = float(w @ p)
    held = {"mover": 0.0, "normal": 0.0}
    for mapped in range(51):
        for omitted in range(16):
            x = np.array([mapped, omitted])
            chance = float(np.prod(stats.binom.pmf(x, n, p)))
            if chance < 1e-9:
                continue
            low, high = mover_interval(n, x, w)
            q = x / n
            se = float(np.sqrt((w**2 * q * (1 - q) / (n - 1)).sum()))
            held["mover"] += chance * (low <= truth <= high)
            held["normal"] += chance * (abs(float(w @ q) - truth) <= 1.96 * se)
    assert 0.93 <= held["mover"] <= 0.97
    assert held["normal"] < 0.92


def sample_of(drawn: object, units: int) -> LabelledSample:
    rng = np.random.default_rng(4)
    return LabelledSample(
        drawn,  # type: ignore[arg-type]
        ("a", "b"),
        rng.integers(0, 2, units),
        rng.integers(0, 2, units),
        500.0,
        np.ones(units),
    )


def test_an_area_by_strata_has_it_in_hectares() -> None:
    stratum = np.repeat([0, 1], [30, 70])
    sizes = np.array([2_000.0, 8_000.0])
    sample = sample_of(Stratified(stratum, sizes, ("p", "q")), 100)
    found = np.bincount(stratum, sample.reference == 0)
    shrink = np.sqrt(1 - np.array([30, 70]) / sizes)
    low, high = mover_interval(np.array([30, 70]), found, np.array([0.2, 0.8]), shrink)
    area = assess(sample).classes[0].area
    assert area is not None
    assert area.mover == pytest.approx((500 * low, 500 * high))


def test_of_groups_after_drawing_it_is_there_too_and_of_blocks_or_a_part_not() -> None:
    stratum, sizes = np.repeat([0, 1], [30, 70]), np.array([2_000.0, 8_000.0])
    grouped = assess(sample_of(PostStratified(stratum, sizes, ("p", "q")), 100)).classes[0].area
    assert grouped is not None
    assert grouped.mover is not None
    first = Stratified(np.zeros(10, np.intp), np.array([100.0]), ("all",))
    blocks = Clusters(np.repeat(np.arange(10), 10), first, np.full(10, 10.0), [f"b{k}" for k in range(10)])
    sample = sample_of(Stratified(stratum, sizes, ("p", "q")), 100)
    part = np.arange(100) < 60
    for area in (assess(sample_of(blocks, 100)).classes[0].area, assess(sample, part).classes[0].area):
        assert area is not None
        assert area.mover is None
