"""How well a model seems to fit a place, in figures, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np

from inference.advice.growth import Growth

INSIDE: Final = 0.2
"""Share of pixels unlike the training samples up to which a model is taken to fit: on held-out places of its
own it is a twentieth."""

MOSTLY_OUTSIDE: Final = 0.6
"""Share above which it is taken not to fit: `benchmarks.applicability` flags squares beyond it."""

GAIN: Final = 0.02
"""Mean confidence that another window must add before it is spoken of."""

NEAR: Final = 0.1
"""Squares whose share of unlike pixels differs by no more are compared with."""

ALIKE: Final = 0.07
"""Mean distance of two medians of NDVI up to which a class is taken to grow as in training: on held-out
places of its own at most 0.06, also with seven observations; in California and Canada 0.08 to 0.32."""

FEWEST: Final = 5
"""Squares on which an expectation rests at least."""

_TRIED: Final = "tried_elsewhere.json"


@dataclass(frozen=True)
class Shift:
    """The same series with the model's window moved."""

    days: int
    """By how much the window is later than the model's own."""
    confidence: float
    """Mean confidence of its classes, 0 to 1."""
    outside: float | None
    """Share of pixels unlike the training samples."""


@dataclass(frozen=True)
class Expected:
    """Accuracies of the same model on other places that look as unlike."""

    low: float
    """The tenth part of the squares have less."""
    high: float
    """The tenth part have more."""
    squares: int
    """On how many squares this rests."""


@dataclass(frozen=True)
class Advice:
    """What a trial of a few squares says."""

    model: str
    """Name of the model."""
    model_digest: str
    """Its digest."""
    area: str
    """Digest of the area that it was tried for."""
    simulated: bool
    """Whether the scenes are simulated."""
    pixels: int
    """Pixels of the trial with a class."""
    classes: Mapping[str, float]
    """Share of each of the model's classes among them."""
    confidence: float
    """Their mean confidence, 0 to 1."""
    outside: float | None
    """Share of them unlike the training samples; None where the model does not tell."""
    shifts: tuple[Shift, ...]
    """Windows that were tried, from the earliest; the model's own among them."""
    growth: tuple[Growth, ...]
    """NDVI of the classes here beside that of the training samples; empty where the model does not tell."""
    gap: str
    """How far the place lies from the training places, in words; empty where it lies within."""
    own_accuracy: float | None
    """Accuracy on the held-out places of its training; None where its file does not say."""
    expected: Expected | None
    """What to expect by other places; None where nobody tried it there."""

    @property
    def never(self) -> tuple[str, ...]:
        """Classes that are never predicted."""
        return tuple(name for name, share in self.classes.items() if share == 0)

    @property
    def best_shift(self) -> Shift:
        """The window with the highest mean confidence; the model's own unless another adds enough."""
        own = next(one for one in self.shifts if one.days == 0)
        best = max(self.shifts, key=lambda one: one.confidence)
        return best if best.confidence > own.confidence + GAIN else own

    @property
    def strange(self) -> tuple[Growth, ...]:
        """Classes that grow otherwise than in training, those that differ most first."""
        found = [one for one in self.growth if one.difference > ALIKE]
        return tuple(sorted(found, key=lambda one: -one.difference))

    @property
    def next_step(self) -> str:
        """What to do."""
        if self.outside is None:
            return (
                "The model does not tell how unlike its training samples the place is. Compare the map with "
                "labels of the place ('cropmap evaluate', 'cropmap assess') before it is used."
            )
        if self.outside <= INSIDE:
            return "Map the area, then find out how right the map is ('cropmap assess design')."
        if self.outside <= MOSTLY_OUTSIDE:
            return (
                "Map with caution: look at the layer applicability, and compare with labels of the place "
                "('cropmap evaluate') before the map is used."
            )
        return (
            "Do not rely on this model here: gather labels of the place ('cropmap sample', or fields of your "
            "own), compare ('cropmap evaluate'), and train a model on them ('cropmap train')."
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        further = {
            "never": list(self.never),
            "best_shift_days": self.best_shift.days,
            "strange": [one.name for one in self.strange],
            "next": self.next_step,
        }
        return {**asdict(self), **further}


def expected_of(digest: str, outside: float | None) -> Expected | None:
    """What accuracy a model had on other places as unlike; None where too few were tried.

    Args:
        digest: Of the model.
        outside: Share of pixels unlike the training samples.
    """
    if outside is None:
        return None
    near = [one["accuracy"] for one in tried(digest) if abs(one["outside"] - outside) <= NEAR]
    if len(near) < FEWEST:
        return None
    low, high = np.quantile(near, [0.1, 0.9])
    return Expected(float(low), float(high), len(near))


@cache
def tried(digest: str) -> Sequence[Mapping[str, Any]]:
    """Squares of real places on which a model that ships was tried, by `benchmarks.applicability --keep`."""
    text = resources.files("inference.models.checkpoints").joinpath(_TRIED).read_text(encoding="utf-8")
    found: Sequence[Mapping[str, Any]] = json.loads(text).get(digest, [])
    return found
