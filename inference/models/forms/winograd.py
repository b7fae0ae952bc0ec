"""3x3 convolution of small maps with a third of the multiplications (Winograd's minimal filtering).

Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks": a tile of the map and the kernel are
both evaluated at a few points, multiplied there channel by channel, and brought back. All three steps are
matrix products here, so they run at the speed of the machine's own matrix library.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

POINTS: Final = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
"""Where tiles are evaluated, besides infinity: small and alike, for the least rounding error."""

TALLEST: Final = len(POINTS) - 1
"""Most rows of a map; taller ones would need points that cost too much accuracy."""

WIDTH: Final = 4
"""Columns of a tile: 6 points for 4 results; 6 columns cost accuracy and were no faster."""

_ONE: Final = POINTS.index(1.0)


class WinogradConvolution(nn.Module):
    """A convolution of stride 1 with bias, and the ReLU after it, for maps of one low height.

    Maps are `(position, pixel, channel)`, their positions column by column: then a tile of whole columns is
    one contiguous block, and going to the points and back is one matrix product for all pixels at once.
    Results differ from a direct convolution by rounding only, about 1e-6 of their size.
    """

    to_points: Tensor
    from_points: Tensor
    kernels: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv2d, height: int) -> None:
        """Evaluate the kernels at the points.

        Args:
            convolution: 3x3, stride 1, padding 1, with bias.
            height: Rows of the map, up to `TALLEST`.
        """
        super().__init__()
        self.height = height
        rows, columns = minimal_filter(height), minimal_filter(WIDTH)
        inside = rows[0][:, 1:-1]  # the rows above and below the map are padding: zero
        self.register_buffer("to_points", _kron(columns[0], inside))  # (point, position of a tile)
        self.register_buffer("from_points", _kron(columns[2], rows[2]))  # (position of a tile, point)
        weight = convolution.weight.detach().double().permute(3, 2, 1, 0)  # (column, row, input, output)
        kernels = torch.from_numpy(np.kron(columns[1], rows[1])) @ weight.reshape(9, -1)
        self.register_buffer("kernels", kernels.view(-1, *weight.shape[2:]).float())  # (point, input, output)
        assert convolution.bias is not None
        self.register_buffer("bias", convolution.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Map `(position, pixel, output channel)` of a map `(position, pixel, input channel)`."""
        y = x.new_empty(*x.shape[:2], len(self.bias))
        width = len(x) // self.height
        for start in range(0, width, WIDTH):
            self._tile(x, y, start, width)
        return y.relu_()

    def _tile(self, x: Tensor, y: Tensor, start: int, width: int) -> None:
        """Write the columns of `y` from `start`; tiles at the ends leave out what lies outside the map."""
        first, last = max(start - 1, 0), min(start + WIDTH + 1, width)
        stop = min(start + WIDTH, width)
        near = self._positions(first - start + 1, last - start + 1)
        points = self.to_points[:, near] @ x[self._positions(first, last)].flatten(1)
        products = torch.bmm(points.view(len(points), *x.shape[1:]), self.kernels)
        products[_ONE * (self.height + 2) + _ONE] += self.bias  # the powers of 1: it reaches every result
        here = y[self._positions(start, stop)].flatten(1)
        torch.mm(self.from_points[self._positions(0, stop - start)], products.flatten(1), out=here)

    def _positions(self, first: int, last: int) -> slice:
        return slice(first * self.height, last * self.height)


def minimal_filter(
    results: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The matrices B, G, A of `A @ ((G @ kernel) * (B @ data))`: a filter of three taps along a line.

    The filter is the transpose of multiplying two polynomials by their values at some points (Toom-Cook).

    Args:
        results: Number of outputs, up to `TALLEST`; the data are two more.
    """
    size = results + 2
    interpolate = np.linalg.inv(_values(size, size)).astype(np.float64)
    return interpolate.T, _values(size, 3), _values(size, results).T


def _values(points: int, coefficients: int) -> NDArray[np.float64]:
    """Matrix from coefficients to values at the points; at infinity only the last coefficient counts."""
    finite = np.vander(POINTS[: points - 1], coefficients, increasing=True)
    return np.vstack([finite, np.eye(coefficients)[-1]])


def _kron(columns: NDArray[np.float64], rows: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.kron(columns, rows)).float()
