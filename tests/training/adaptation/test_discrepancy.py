"""The discrepancy beside a double loop over pairs, and what is asked of an estimate without bias."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.adaptation.discrepancy import WIDTHS, class_wise_mk_mmd, mk_mmd


def by_loops(one: np.ndarray, other: np.ndarray) -> float:
    """Gretton et al. (2012), equation 3, pair by pair, with the mean squared distance of all pairs."""
    both = np.concatenate([one, other])
    squared = [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for q in both] for p in both]
    mean = sum(map(sum, squared)) / len(both) ** 2

    def kernel(i: int, j: int) -> float:
        return sum(math.exp(-squared[i][j] / (2 * width * mean)) for width in WIDTHS)

    m, n = len(one), len(other)
    mine = sum(kernel(i, j) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    theirs = sum(kernel(m + i, m + j) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return mine + theirs - 2 * sum(kernel(i, m + j) for i in range(m) for j in range(n)) / (m * n)


def drawn(seed: int, count: int, mean: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(mean, 1, (count, 3)))


@pytest.mark.parametrize("sizes", [(16, 16), (16, 5), (2, 9)])
def test_it_is_the_sum_over_pairs(sizes):
    one, other = drawn(1, sizes[0]), drawn(2, sizes[1], 0.7)
    assert float(mk_mmd(one, other)) == pytest.approx(by_loops(one.numpy(), other.numpy()), abs=1e-12)


def test_a_published_batch():
    """The quadratic form of the Transfer-Learning-Library, whose constant 2 / (n - 1) is no part of it."""
    source = torch.tensor(
        [
            [-0.6518, -0.1747, 1.6637],
            [0.6591, -1.6414, -0.0052],
            [-0.6235, 0.1486, -1.6082],
            [0.2418, 0.2354, 1.5756],
            [0.3166, 0.5105, -1.4931],
        ],
        dtype=torch.float64,
    )
    target = torch.tensor(
        [
            [3.6285, -1.7903, 2.1323],
            [0.2711, -0.4448, -0.1532],
            [-0.1736, 1.1942, 0.5569],
            [2.6273, -1.6785, 0.696],
            [-0.4597, 1.7086, -2.0535],
        ],
        dtype=torch.float64,
    )
    assert float(mk_mmd(source, target)) + 2 / 4 == pytest.approx(0.296166, abs=1e-6)
    assert float(mk_mmd(source, source)) + 2 / 4 == pytest.approx(-0.719731, abs=1e-6)


def test_two_halves_of_one_sample_differ_by_nothing_on_average():
    found = np.array([float(mk_mmd(drawn(2 * seed, 12), drawn(2 * seed + 1, 20))) for seed in range(200)])
    assert abs(found.mean()) < 2 * found.std(ddof=1) / math.sqrt(len(found))
    assert (found < 0).any()  # an estimate without bias of nothing


def test_it_grows_with_the_distance_of_the_means():
    found = [float(mk_mmd(drawn(1, 40), drawn(2, 40, mean))) for mean in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found)


def test_the_gradient_reaches_both_sides_and_leaves_the_widths():
    one, other = drawn(1, 6).requires_grad_(), drawn(2, 7, 1.0).requires_grad_()
    mk_mmd(one, other).backward()
    assert one.grad is not None
    assert other.grad is not None
    assert (one.grad.abs().sum(dim=1) > 0).all()
    assert (other.grad.abs().sum(dim=1) > 0).all()
    # with the widths held, a step of a coordinate changes the sum by its gradient
    step = 1e-6
    both = torch.cat([one, other]).detach()
    mean = (both[:, None] - both[None]).square().sum(dim=2).mean()

    def held(moved: torch.Tensor) -> float:
        points = torch.cat([moved, other.detach()])
        squared = (points[:, None] - points[None]).square().sum(dim=2)
        kernel = sum(torch.exp(-squared / (2 * width * mean)) for width in WIDTHS)
        mine = (kernel[:6, :6].sum() - kernel[:6, :6].trace()) / 30
        return float(mine - 2 * kernel[:6, 6:].mean())

    ahead, behind = one.detach().clone(), one.detach().clone()
    ahead[2, 1] += step
    behind[2, 1] -= step
    assert float(one.grad[2, 1]) == pytest.approx((held(ahead) - held(behind)) / (2 * step), rel=1e-5)


def test_equal_points_give_a_number():
    same = torch.ones(4, 3, requires_grad=True)
    found = mk_mmd(same, torch.ones(5, 3))
    found.backward()
    assert float(found.detach()) == pytest.approx(0, abs=1e-6)
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def test_class_by_class_unequal_shares_do_not_count():
    """Two classes, 80/20 against 20/80, each from the same place: whole sets differ, classes do not."""
    rng = np.random.default_rng(3)

    def part(counts: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        labels = np.repeat([0, 1], counts)
        return torch.from_numpy(rng.normal(6.0 * labels[:, None], 1, (100, 3))), torch.from_numpy(labels)

    (one, mine), (other, theirs) = part((80, 20)), part((20, 80))
    assert float(mk_mmd(one, other)) > 0.3
    assert abs(float(class_wise_mk_mmd(one, mine, other, theirs))) < 0.1


def test_class_by_class_it_is_the_mean_of_the_classes_on_both_sides():
    one, other = drawn(1, 7), drawn(2, 8, 0.5)
    mine, theirs = torch.tensor([0, 0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 1, 3, 3, 2])
    expected = [
        by_loops(one[mine == k].numpy(), other[theirs == k].numpy()) for k in (0, 1)
    ]  # class 2 has a single partner
    found = class_wise_mk_mmd(one, mine, other, theirs)
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-12)
    nothing = class_wise_mk_mmd(one.requires_grad_(), mine, other, torch.full((8,), 9))
    assert float(nothing.detach()) == 0
    nothing.backward()
