"""Features of one class drawn together, those of different classes pushed apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def supervised_contrast(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The supervised contrastive loss of a batch (Khosla et al. 2020, equation 2, the sum outside the log).

    Each sample is compared with all others by the cosine of their features; those of its class are to be
    nearer than the rest. A sample without a partner of its class is left out of the mean; 0 where none has
    one.

    Args:
        features: `(sample, feature)`, of any length, of all domains together.
        labels: `(sample,)`.
        temperature: Smaller values look at the nearest samples only.
    """
    directions = functional.normalize(features, dim=1)
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    likeness = (directions @ directions.T / temperature).masked_fill(~others, -torch.inf)
    logarithms = likeness.log_softmax(dim=1)
    partners = (labels[:, None] == labels[None]) & others
    count = partners.sum(dim=1)
    if not bool((count > 0).any()):
        return features.sum() * 0
    sums = logarithms.masked_fill(~partners, 0).sum(dim=1)
    has = count > 0
    return -(sums[has] / count[has]).mean()
