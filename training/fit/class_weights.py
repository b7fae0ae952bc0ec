"""How much a sample of each class counts in the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.fit.options import ClassWeights
from training.samples.samples import Samples

CAP: Final = 5.0
"""`capped`: a sample weighs at most this many times what it weighs where all classes are equally frequent."""

BETA: Final = 0.999
"""`effective`: a sample shows the less the more there are, after 1 / (1 - BETA) = 1,000 hardly anything new
(Cui et al. 2019, equation 2)."""


def class_weights(samples: Samples, rule: ClassWeights) -> Tensor:
    """`(class,)`: weights that are 1 on average over the samples.

    Args:
        samples: What is trained on; every class has a sample.
        rule: `balanced`, the inverse frequency as in the authors' code; `effective`, the inverse effective
            number of samples (Cui et al. 2019); `capped`, the inverse frequency, at most `CAP`; `none`.
    """
    counts = np.array(list(samples.counts.values()), np.float64)
    weights = _RAW[rule](counts)
    return torch.tensor(weights * counts.sum() / (weights @ counts), dtype=torch.float32)


def _balanced(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts.sum() / (len(counts) * counts)


def _effective(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return (1 - BETA) / (1 - BETA**counts)


def _capped(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.minimum(_balanced(counts), CAP)


_RAW: Final[dict[ClassWeights, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "balanced": _balanced,
    "effective": _effective,
    "capped": _capped,
    "none": np.ones_like,
}
