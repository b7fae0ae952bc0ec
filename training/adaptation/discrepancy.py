"""How far two sets of features lie apart: the maximum mean discrepancy with several kernels."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

WIDTHS: Final = (2.0**-3, 2.0**-2, 2.0**-1, 1.0, 2.0)
"""Squared width of each kernel, in mean squared distances of the two sets (Long et al. 2015, as commonly
programmed)."""

FEWEST: Final = 2
"""Samples of a set: of a single one there is no pair."""


def mk_mmd(one: Tensor, other: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of two samples, without bias, summed over five Gaussian kernels.

    The U-statistic of Gretton et al. (2012, equation 3): 0 in expectation where both come from the same
    distribution, so it may be negative. The widths follow the mean squared distance of all samples and have
    no gradient.

    Args:
        one: `(sample, feature)`, at least two samples.
        other: `(sample, feature)`, at least two samples; the numbers may differ.
    """
    both = torch.cat([one, other])
    squared = _squared_distances(both)
    mean = squared.detach().mean().clamp(min=torch.finfo(squared.dtype).tiny)
    kernel = torch.stack([torch.exp(-squared / (2 * width * mean)) for width in WIDTHS]).sum(dim=0)
    first = len(one)
    within = _mean_of_pairs(kernel[:first, :first]) + _mean_of_pairs(kernel[first:, first:])
    return within - 2 * kernel[:first, first:].mean()


def class_wise_mk_mmd(one: Tensor, labels: Tensor, other: Tensor, other_labels: Tensor) -> Tensor:
    """The mean of `mk_mmd` over the classes that have two samples or more on both sides; 0 where none has.

    Class by class the shares of the classes do not matter, which a discrepancy of whole sets takes for a
    difference to be removed.

    Args:
        one: `(sample, feature)`.
        labels: `(sample,)` class of each.
        other: `(sample, feature)`.
        other_labels: `(sample,)` class of each.
    """
    found = []
    for label in torch.unique(labels):
        mine, theirs = one[labels == label], other[other_labels == label]
        if min(len(mine), len(theirs)) >= FEWEST:
            found.append(mk_mmd(mine, theirs))
    return torch.stack(found).mean() if found else one.sum() * 0


def _squared_distances(features: Tensor) -> Tensor:
    """`(sample, sample)`; from the differences, since a product of norms loses the small distances."""
    return (features[:, None] - features[None]).square().sum(dim=2)


def _mean_of_pairs(kernel: Tensor) -> Tensor:
    """Mean of a square matrix without its diagonal."""
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))
