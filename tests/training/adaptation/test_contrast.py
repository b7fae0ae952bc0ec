"""The contrasts beside computations by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.adaptation.contrast import supervised_contrast
from training.adaptation.prototypes import Prototypes


def test_two_classes_by_hand():
    """Three directions: 0, 0 and 90 degrees; the third has no partner and is left out of the mean."""
    features = torch.tensor([[2.0, 0.0], [5.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    found = supervised_contrast(features, torch.tensor([0, 0, 1]), temperature=0.5)
    # either of the first two: cosine 1 with its partner, 0 with the third
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + math.exp(0 / 0.5)))
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_each_partner_counts_alike():
    angles = torch.tensor([0.0, 0.3, 1.1, 2.0], dtype=torch.float64)
    features = torch.stack([angles.cos(), angles.sin()], dim=1)
    labels, temperature = [0, 0, 0, 1], 0.2

    def likeness(i: int, j: int) -> float:
        return math.exp(math.cos(float(angles[i] - angles[j])) / temperature)

    each = []
    for i in range(3):
        total = sum(likeness(i, j) for j in range(4) if j != i)
        partners = [j for j in range(4) if j != i and labels[j] == labels[i]]
        each.append(-sum(math.log(likeness(i, j) / total) for j in partners) / len(partners))
    found = supervised_contrast(features, torch.tensor(labels), temperature)
    assert float(found) == pytest.approx(sum(each) / 3, abs=1e-12)


def test_without_any_partner_it_is_nothing_and_no_nan():
    features = torch.randn(3, 4, requires_grad=True)
    found = supervised_contrast(features, torch.tensor([0, 1, 2]), 0.1)
    found.backward()
    assert float(found.detach()) == 0
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_a_gradient_is_a_number_where_some_have_partners():
    features = torch.randn(5, 4, requires_grad=True)
    supervised_contrast(features, torch.tensor([0, 1, 0, 2, 3]), 0.1).backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert features.grad.abs().sum() > 0


def test_prototypes_follow_the_source_and_draw_the_target():
    found = Prototypes(classes=3, keep=0.9, temperature=0.5)
    found.follow(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 1]))
    found.follow(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    assert found.means is not None
    assert torch.allclose(
        found.means[0], torch.tensor([0.9, 0.1])
    )  # the mean of directions, nine tenths kept
    assert torch.equal(found.means[1], torch.tensor([0.0, 1.0]))
    assert found.means[2].isnan().all()
    own = math.hypot(0.9, 0.1)
    cosines = (0.9 / own / 0.5, 0.0)
    expected = -math.log(math.exp(cosines[0]) / sum(map(math.exp, cosines)))
    loss = found.contrast(torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 2]))
    assert float(loss) == pytest.approx(expected, rel=1e-6)  # class 2 has no prototype
    again = Prototypes(3, 0.9, 0.5)
    again.resume(found.state())
    assert float(again.contrast(torch.tensor([[3.0, 0.0]]), torch.tensor([0]))) == pytest.approx(
        expected, rel=1e-6
    )
    assert float(found.contrast(torch.tensor([[3.0, 0.0]]), torch.tensor([2]))) == 0
