"""All samples that a design can draw from a tiny population: means and variances over them are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product

import numpy as np
import pytest

from assessment.estimation.assisted import Covariate, assisted_total
from assessment.estimation.designs import Calibrated, Clusters, PostStratified, Stratified, Unequal
from assessment.estimation.estimate import covariance, ratio, total
from gee_pipeline.errors import InputError

STRATUM = np.array([0, 0, 0, 0, 1, 1, 1])
Y = np.array([1.0, 0.0, 1.0, 3.0, 5.0, 4.0, 0.0])
F = np.array([0.8, 0.1, 0.6, 0.9, 0.7, 0.9, 0.2])

Samples = Iterator[tuple[float, list[int], object]]
"""Probability of a sample, its units, its design."""


def stratified() -> Samples:
    pairs = list(product(combinations(range(4), 2), combinations(range(4, 7), 2)))
    for one, two in pairs:
        units = [*one, *two]
        yield 1 / len(pairs), units, Stratified(STRATUM[units], np.array([4.0, 3.0]))


def unequal() -> Samples:
    """A design of three out of seven whose samples have odd probabilities."""
    triples = [np.array(t) for t in combinations(range(7), 3)]
    chance = np.array([1.0 + (t.sum() % 5) for t in triples])
    chance /= chance.sum()
    joint = np.zeros((7, 7))
    for p, t in zip(chance, triples, strict=True):
        joint[np.ix_(t, t)] += p
    for p, t in zip(chance, triples, strict=True):
        yield float(p), t.tolist(), Unequal(np.diag(joint)[t], joint[np.ix_(t, t)])


CLUSTERS = [[0, 1, 2], [3, 4], [5, 6]]


def whole_clusters() -> Samples:
    pairs = list(combinations(range(3), 2))
    for pair in pairs:
        units = [unit for c in pair for unit in CLUSTERS[c]]
        cluster = np.repeat([0, 1], [len(CLUSTERS[c]) for c in pair])
        yield 1 / len(pairs), units, Clusters(cluster, Stratified(np.zeros(2, int), np.array([3.0])))


LARGER = [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
MORE = np.array([1.0, 0.0, 2.0, 3.0, 5.0, 4.0, 0.0, 2.0, 2.0, 7.0])


def two_stages() -> Samples:
    for pair in combinations(range(3), 2):
        within = [list(combinations(LARGER[c], 2)) for c in pair]
        for one, two in product(*within):
            sizes = np.array([float(len(LARGER[c])) for c in pair])
            first = Stratified(np.zeros(2, int), np.array([3.0]))
            chance = 1 / 3 / len(within[0]) / len(within[1])
            yield chance, [*one, *two], Clusters(np.array([0, 0, 1, 1]), first, sizes)


@pytest.mark.parametrize(
    ("samples", "values"),
    [(stratified, Y), (unequal, Y), (whole_clusters, Y), (two_stages, MORE)],
    ids=lambda value: getattr(value, "__name__", "values"),
)
def test_totals_and_their_variances_are_right_on_average(
    samples: Callable[[], Samples], values: np.ndarray
) -> None:
    drawn = list(samples())
    chance = np.array([p for p, _, _ in drawn])
    estimates = [total(design, values[units]) for _, units, design in drawn]
    found = np.array([one.value for one in estimates])
    assert chance.sum() == pytest.approx(1)
    assert chance @ found == pytest.approx(values.sum())
    truth = chance @ (found - values.sum()) ** 2
    assert chance @ np.array([one.se**2 for one in estimates]) == pytest.approx(truth)
    assert truth > 0


@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_a_total_with_a_known_covariate_is_right_on_average(weight: float) -> None:
    known = np.bincount(STRATUM, F)
    errors, variances = [], []
    for chance, units, design in stratified():
        covariate = Covariate(F[units], STRATUM[units], known)
        found = assisted_total(design, Y[units], covariate, weight).estimate
        errors.append((chance, found.value - Y.sum()))
        variances.append(chance * found.se**2)
    assert sum(p * error for p, error in errors) == pytest.approx(0)
    assert sum(variances) == pytest.approx(sum(p * error**2 for p, error in errors))


def test_a_post_stratified_variance_is_that_of_many_samples() -> None:
    rng = np.random.default_rng(5)
    group = np.repeat([0, 1, 2], [600, 300, 100])
    y = (rng.random(1000) < np.array([0.8, 0.3, 0.5])[group]).astype(float)
    sizes = np.array([600.0, 300.0, 100.0])
    found = []
    for _ in range(3000):
        units = rng.choice(1000, 60, replace=False)
        if np.bincount(group[units], minlength=3).min() >= 2:
            found.append(total(PostStratified(group[units], sizes), y[units]))
    values = np.array([one.value for one in found])
    assert values.mean() == pytest.approx(y.sum(), rel=0.005)
    assert np.mean([one.se**2 for one in found]) == pytest.approx(values.var(), rel=0.08)


def test_a_post_stratified_variance_counts_that_sizes_were_left_to_chance() -> None:
    group, y = np.array([0, 0, 0, 0, 1, 1]), np.array([1.0, 0, 0, 1, 0, 1])
    found = total(PostStratified(group, np.array([30.0, 10.0])), y)
    # Cochran 1977, equation 5A.42, with s^2 of 1/3 and 1/2, n = 6, N = 40.
    mean_variance = (1 - 6 / 40) / 6 * (0.75 / 3 + 0.25 / 2) + (0.25 / 3 + 0.75 / 2) / 36
    assert (found.value, found.se**2) == (pytest.approx(20), pytest.approx(1600 * mean_variance))


def test_without_pairwise_probabilities_units_count_as_drawn_with_replacement() -> None:
    p, y = np.array([0.1, 0.2, 0.4]), np.array([1.0, 1.0, 2.0])
    z = [10.0, 5.0, 5.0]
    found = total(Unequal(p), y)
    assert found.value == pytest.approx(sum(z))
    assert found.se**2 == pytest.approx(3 / 2 * sum((one - 20 / 3) ** 2 for one in z))


def test_a_calibrated_total_is_the_ratio_times_what_is_known() -> None:
    _, units, design = next(stratified())
    size = np.array([1.0, 1.2, 0.9, 1.1])
    mine = Calibrated(design, size, 50.0)
    expected = ratio(design, Y[units] * size, size)
    found = total(mine, Y[units] * size)
    assert (found.value, found.se) == (pytest.approx(50 * expected.value), pytest.approx(50 * expected.se))
    part = np.array([1, 0, 1, 1]) * size
    again, plain = ratio(mine, Y[units] * part, part), ratio(design, Y[units] * part, part)
    assert (again.value, again.se) == (pytest.approx(plain.value), pytest.approx(plain.se))


def test_a_covariance_of_totals_is_the_sum_of_those_within_strata() -> None:
    design = Stratified(np.array([0, 0, 0, 1, 1]), np.array([30.0, 20.0]))
    y, x = np.array([1.0, 0, 1, 0, 1]), np.array([0.9, 0.3, 0.5, 0.1, 0.2])
    by_hand = sum(
        size**2 * (1 - n / size) / n * np.cov(y[part], x[part])[0, 1]
        for size, n, part in ((30, 3, slice(0, 3)), (20, 2, slice(3, 5)))
    )
    assert covariance(design, y, x) == pytest.approx(by_hand)


def test_a_stratum_that_is_wholly_in_the_sample_adds_no_variance() -> None:
    design = Stratified(np.array([0, 1, 1]), np.array([1.0, 10.0]))
    assert total(design, np.array([7.0, 2, 2])).se == 0


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([4.0, 3.0, 5.0], "rice has no unit in the sample, so nothing is known of 41.67% of the frame"),
        ([4.0, 1.0, 0.0], "maize has 2 units in the sample and 1 in the frame"),
    ],
)
def test_strata_of_which_nothing_is_known_are_named(sizes: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Stratified(np.array([0, 0, 1, 1]), np.array(sizes), ("wheat", "maize", "rice"))


def test_all_faults_of_strata_are_named_at_once() -> None:
    with pytest.raises(InputError, match=r"a has n = 1 unit .*; stratum b has no unit"):
        Stratified(np.array([0, 2, 2]), np.array([4.0, 4, 4]), ("a", "b", "c"))


@pytest.mark.parametrize("p", [0.0, -0.1, 1.5, float("nan")])
def test_an_impossible_probability_is_named(p: float) -> None:
    with pytest.raises(InputError, match="that of field-7"):
        Unequal(np.array([0.5, p]), ids=("field-3", "field-7"))
