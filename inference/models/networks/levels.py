"""What a network finds at several depths: where domains are compared and aligned."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Levelled(Protocol):
    """A network whose logits are its head's answer to the last of its levels."""

    head: nn.Module
    """From the last level to logits `(sample, class)`."""

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features `(sample, feature)` from the shallowest to the deepest.

        Args:
            x: Float32 `(sample, 1, band, bin)` from `inference.models.series.model_input`.
        """
