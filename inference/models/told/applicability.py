"""How far a pixel lies from what a model was trained on, told by how it answers.

An answer is the logarithm of each class's probability, less their mean. The answers of training samples form
a cloud for each class; a pixel is as dissimilar as the nearest of the clouds' middles is far, in standard
deviations within a class (Mahalanobis; Lee et al. 2018, "A simple unified framework for detecting
out-of-distribution samples"). What is beyond the usual on places that did not train is outside the area of
applicability: the idea, and the rule of the limit, are those of Meyer and Pebesma (2021), whose distance is
to the nearest training sample in the space of predictors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.layers import AT_LIMIT, LEAST_PROBABILITY, MOST_UNLIKE


@dataclass(frozen=True)
class Applicability:
    """What the answers of a model are like on what it was trained on."""

    means: tuple[tuple[float, ...], ...]
    """`(class, class)`: mean answer of the training samples of each class."""
    precision: tuple[tuple[float, ...], ...]
    """`(class, class)`: inverse of the covariance of answers within a class."""
    limit: float
    """Dissimilarity above which a pixel is outside."""
    samples: int
    """Samples on places that did not train, which the limit rests on."""

    def __post_init__(self) -> None:
        classes = len(self.means)
        rows = (*self.means, *self.precision)
        square = len(self.precision) == classes and all(len(row) == classes for row in rows)
        values = [self.limit, *(value for row in rows for value in row)]
        if classes < 2 or not square or not all(map(math.isfinite, values)) or self.limit <= 0:
            raise InputError(
                "An area of applicability has a mean for each of two classes or more, their precision and a "
                f"limit above 0; got {classes} means, {len(self.precision)} rows and the limit {self.limit}."
            )

    def dissimilarity(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """`(pixel,)`: how far pixels lie from the training samples, in standard deviations.

        Args:
            probabilities: `(pixel, class)`, 0 to 1.
        """
        return distances(answers(probabilities), np.array(self.means), np.array(self.precision))

    def layer(self, probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
        """`(pixel,)`: the same in percent of the limit, at most 254."""
        share = AT_LIMIT * self.dissimilarity(probabilities) / self.limit
        # cut before rounding, so that no pixel inside is called outside
        return np.minimum(np.ceil(np.minimum(share, MOST_UNLIKE)), MOST_UNLIKE).astype(np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Applicability:
        """What `to_dict` gave."""
        rows = {name: tuple(map(tuple, values[name])) for name in ("means", "precision")}
        return cls(**{**values, **rows})


def answers(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """`(pixel, class)`: logarithms of probabilities, less their mean over the classes."""
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST_PROBABILITY))
    centred: NDArray[np.float64] = logs - logs.mean(axis=1, keepdims=True)
    return centred


def distances(
    found: NDArray[np.float64], means: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`(pixel,)`: Mahalanobis distance of each answer to the nearest mean.

    Args:
        found: `(pixel, class)`.
        means: `(class, class)`.
        precision: `(class, class)`.
    """
    nearest = np.full(len(found), np.inf)
    for mean in means:
        away = found - mean
        np.minimum(nearest, np.einsum("pi,ij,pj->p", away, precision, away), out=nearest)
    return np.sqrt(np.maximum(nearest, 0))
