"""The weights of a CropNet or a perceptron as plain numbers, and what they take on the way to the servers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from gee_pipeline.errors import InputError

TAPS: Final = 9
"""Places that a convolution of 3 x 3 looks at."""

Matrix = tuple[tuple[float, ...], ...]
"""Rows of numbers."""


@dataclass(frozen=True)
class Map:
    """Rows and columns that the positions of a layer stand for."""

    rows: int
    """Bands at first, then fewer."""
    columns: int
    """Bins at first, then fewer."""

    @property
    def width(self) -> int:
        """Columns and the empty one after them: a shift in time runs into it, not into the next row."""
        return self.columns + 1

    @property
    def length(self) -> int:
        """Positions in one row, the empty columns too."""
        return self.rows * self.width

    @property
    def positions(self) -> int:
        """Positions that mean something."""
        return self.rows * self.columns

    def after(self, stride: int) -> Map:
        """What a convolution of a stride leaves, whose margin is one position."""
        return Map(math.ceil(self.rows / stride), math.ceil(self.columns / stride))


@dataclass(frozen=True)
class Convolution:
    """A convolution of 3 x 3 with its batch normalisation folded in, and the ReLU after it."""

    matrix: Matrix
    """`(channel out, 9 x channel in + 1)`: place by place, row by row; the last column is the bias."""
    stride: int
    """Along bands and along time."""

    @property
    def inputs(self) -> int:
        """Channels that it takes."""
        return (len(self.matrix[0]) - 1) // TAPS

    @property
    def outputs(self) -> int:
        """Channels that it gives."""
        return len(self.matrix)


@dataclass(frozen=True)
class Told:
    """What a model says of its own answers, as far as layers on request need it."""

    set_limits: tuple[float, ...] | None = None
    """`(class,)`: one less the probability of a class in a prediction set is at most this."""
    means: Matrix | None = None
    """`(class, class)`: mean answer of each class in training, see `inference.models.told.applicability`."""
    precision: Matrix = ()
    """`(class, class)`: inverse of the covariance of these answers."""
    limit: float = 0.0
    """Dissimilarity above which a pixel is outside."""


@dataclass(frozen=True)
class NetworkWeights:
    """A CropNet on bands x bins, or a multilayer perceptron on them as one vector, ready for the servers."""

    factor: tuple[float, ...]
    """`(band,)`: stored values times this ..."""
    offset: tuple[float, ...]
    """`(band,)`: ... plus this are what the network takes."""
    bins: int
    """Bins of its window."""
    convolutions: tuple[Convolution, ...]
    """In order."""
    head: Matrix
    """`(class, channel + 1)`: the linear layer, its bias last."""
    temperature: float
    """Logits are divided by it before the softmax."""
    told: Told = Told()
    """What layers on request need."""
    layers: tuple[Matrix, ...] = ()
    """Hidden layers of a perceptron, `(unit, input + 1)`: normalisation folded in, the bias last, GELU after
    each; the input is band after band. A perceptron has these and no convolution."""

    def __post_init__(self) -> None:
        numbers = (*self.factor, *self.offset, *(v for m in self.matrices for row in m for v in row))
        if not all(map(math.isfinite, (*numbers, self.temperature))):
            raise InputError(
                "Weights for the servers are finite numbers, and some of these are not. The training "
                "diverged or the file is damaged: train or copy the model again."
            )

    @property
    def bands(self) -> int:
        """Rows of its input."""
        return len(self.factor)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.head)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The weights of each layer in order, the head last."""
        return (*(convolution.matrix for convolution in self.convolutions), *self.layers, self.head)

    @cached_property
    def count(self) -> int:
        """Weights in all."""
        return sum(len(matrix) * len(matrix[0]) for matrix in self.matrices)

    def maps(self) -> Iterator[Map]:
        """The input's map, and then that of each convolution's output."""
        found = Map(self.bands, self.bins)
        yield found
        for convolution in self.convolutions:
            found = found.after(convolution.stride)
            yield found

    @cached_property
    def multiplications(self) -> int:
        """Products that the convolutions and the head take for one pixel, those of the empty columns too."""
        layers = zip(self.convolutions, list(self.maps())[1:], strict=True)
        work = sum(one.outputs * len(one.matrix[0]) * after.length for one, after in layers)
        return work + sum(len(matrix) * len(matrix[0]) for matrix in (*self.layers, self.head))

    @cached_property
    def largest_array(self) -> int:
        """Numbers of the largest array that one pixel becomes on its way: the shifted copies of a layer."""
        layers = zip(self.convolutions, list(self.maps())[1:], strict=True)
        convolved = [len(one.matrix[0]) * after.length for one, after in layers]
        return max(*convolved, *(len(matrix[0]) for matrix in (*self.layers, self.head)))
