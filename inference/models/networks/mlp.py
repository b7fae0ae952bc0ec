"""A multilayer perceptron on the flat series."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

HIDDEN: Final = (128,) * 8
"""Widths of the hidden layers (later version of Tong et al. 2025)."""

DROPOUT: Final = 0.3
"""Share of units dropped after each hidden layer (the same)."""


class MLP(nn.Module):
    """Hidden layers of linear, batch normalisation, GELU and dropout; one linear layer."""

    def __init__(self, inputs: int, classes: int) -> None:
        """Make the layers.

        Args:
            inputs: Bands times bins.
            classes: Number of classes.
        """
        super().__init__()
        widths = (inputs, *HIDDEN)
        self.hidden = nn.Sequential(*map(_layer, widths[:-1], widths[1:]))
        self.head = nn.Linear(HIDDEN[-1], classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(sample, class)` of `(sample, 1, band, bin)`."""
        return self.head(self.hidden(x.flatten(1)))


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.GELU(), nn.Dropout(DROPOUT))


def _initialise(module: nn.Module) -> None:
    """Kaiming-normal with fan-in, as in the authors' code."""
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)
