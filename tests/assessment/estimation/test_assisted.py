import numpy as np
import pytest

from assessment.estimation.assisted import Covariate, assisted_total
from assessment.estimation.designs import Stratified

SIZES = np.array([6000.0, 4000.0, 500.0])
UNITS = (60, 40, 10)


@pytest.fixture
def drawn():
    """Three strata, the last with few units; y follows f in the first two."""
    rng = np.random.default_rng(4)
    group = np.repeat([0, 1, 2], UNITS)
    f = rng.random(len(group))
    y = (rng.random(len(group)) < f).astype(float)
    return Stratified(group, SIZES), y, Covariate(f, group, np.array([2900.0, 2100.0, 240.0]))


def whole(design, y, f) -> float:
    """Lambda of the whole sample: covariance of the totals over the variance of that of f."""
    above = below = 0.0
    for g, (n, size) in enumerate(zip(UNITS, SIZES, strict=True)):
        part = design.stratum == g
        scale = size**2 * (1 - n / size) / n
        above += scale * np.cov(y[part], f[part])[0, 1]
        below += scale * f[part].var(ddof=1)
    return above / below


def test_each_group_that_says_enough_has_the_lambda_of_its_regression(drawn) -> None:
    design, y, covariate = drawn
    found = assisted_total(design, y, covariate)
    slopes = []
    for g in (0, 1):
        part = covariate.group == g
        slopes.append(np.cov(y[part], covariate.values[part])[0, 1] / covariate.values[part].var(ddof=1))
    rest = whole(design, y, covariate.values)
    assert found.lambdas == pytest.approx(np.clip([*slopes, rest], 0, 1))
    value = sum(
        found.lambdas[g] * covariate.totals[g]
        + SIZES[g] * (y - found.lambdas[g] * covariate.values)[covariate.group == g].mean()
        for g in range(3)
    )
    assert found.estimate.value == pytest.approx(value)


def test_the_variance_counts_the_lambdas_that_were_fitted_by_group(drawn) -> None:
    design, y, covariate = drawn
    found = assisted_total(design, y, covariate)
    expected = 0.0
    for g, (n, freedom) in enumerate(zip(UNITS, (58, 38, 9), strict=True)):
        left = (y - found.lambdas[g] * covariate.values)[covariate.group == g]
        squares = ((left - left.mean()) ** 2).sum() / freedom
        expected += SIZES[g] ** 2 * (1 - n / SIZES[g]) * squares / n
    assert found.estimate.se**2 == pytest.approx(expected)


def test_a_group_with_few_cases_takes_the_lambda_of_the_whole_sample(drawn) -> None:
    design, y, covariate = drawn
    y = np.where((covariate.group == 0) & (np.cumsum(y) > 4), 0.0, y)  # four cases of sixty
    found = assisted_total(design, y, covariate)
    assert found.lambdas[0] == found.lambdas[2] == pytest.approx(whole(design, y, covariate.values))
    assert found.lambdas[1] != found.lambdas[0]


@pytest.mark.parametrize("seed", range(8))
def test_a_useless_map_hardly_widens_the_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1], 30)
    y = (rng.random(60) < 0.5).astype(float)
    covariate = Covariate(rng.random(60), group, np.array([500.0, 500.0]))
    found = assisted_total(Stratified(group, np.array([1000.0, 1000.0])), y, covariate)
    assert found.estimate.se <= 1.02 * found.plain_se


def test_a_map_that_says_the_opposite_is_not_believed() -> None:
    y = np.tile([0.0, 1.0], 20)
    covariate = Covariate(1 - y, np.zeros(40, int), np.array([100.0]))
    found = assisted_total(Stratified(np.zeros(40, int), np.array([400.0])), y, covariate)
    assert found.lambdas == (0.0,)
    assert found.estimate.se == found.plain_se
    assert found.correlation == pytest.approx(-1)


def test_a_gain_is_that_of_the_correlation() -> None:
    rng = np.random.default_rng(6)
    f = rng.random(4000)
    y = 0.5 * f + 0.2 * rng.random(4000)
    covariate = Covariate(f, np.zeros(4000, int), np.array([50_000.0]))
    found = assisted_total(Stratified(np.zeros(4000, int), np.array([100_000.0])), y, covariate)
    expected = np.sqrt(1 - np.corrcoef(y, f)[0, 1] ** 2)
    assert found.estimate.se / found.plain_se == pytest.approx(expected, rel=1e-3)
