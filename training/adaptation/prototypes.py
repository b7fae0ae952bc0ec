"""One direction for each class, which follows the source, and what draws target features to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class Prototypes:
    """Moving mean directions of the classes (after CSTN, Peng et al. 2025, whose sizes are not public)."""

    def __init__(self, classes: int, keep: float, temperature: float) -> None:
        """No prototype yet.

        Args:
            classes: Number of classes.
            keep: Share of a prototype that stays in a step.
            temperature: Of the contrast.
        """
        self.classes, self.keep, self.temperature = classes, keep, temperature
        self.means: Tensor | None = None
        """`(class, feature)`; NaN where a class has not been seen."""

    def follow(self, features: Tensor, labels: Tensor) -> None:
        """Move towards the classes of a batch.

        Args:
            features: `(sample, feature)`.
            labels: `(sample,)`.
        """
        directions = functional.normalize(features.detach(), dim=1)
        if self.means is None:
            self.means = torch.full((self.classes, features.shape[1]), torch.nan, device=features.device)
        for label in torch.unique(labels):
            mean = directions[labels == label].mean(dim=0)
            former = self.means[label]
            self.means[label] = mean if former.isnan().any() else former.lerp(mean, 1 - self.keep)

    def contrast(self, features: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the cosines with the prototypes; a class without one takes no part.

        Args:
            features: `(sample, feature)`.
            labels: `(sample,)`.
        """
        assert self.means is not None, "follow has been called"
        known = ~self.means.isnan().any(dim=1)
        usable = known[labels]
        if not bool(usable.any()):
            return features.sum() * 0
        cosines = (
            functional.normalize(features[usable], dim=1)
            @ functional.normalize(self.means.nan_to_num(), dim=1).T
        )
        logits = (cosines / self.temperature).masked_fill(~known, -torch.inf)
        return functional.cross_entropy(logits, labels[usable])

    def state(self) -> dict[str, Any]:
        """The means."""
        return {} if self.means is None else {"means": self.means}

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave."""
        self.means = state.get("means")
