"""The settings of an adaptation; nothing heavy is imported here.

Yang et al. (2026, EGU26-10174) describe GHCA in an abstract. What it does not say is a setting here, with a
default of ours or of public code of its parts; docs/adaptation.md lists which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from gee_pipeline.errors import InputError

DEFAULT_METHOD: Final = "teacher"
"""What helped most where it was measured: docs/adaptation.md."""

AUGMENTATION: Final = "code-days"
"""How series of both places change while a network is adapted, unless something else is asked for."""

Discrepancy = Literal["global", "class-wise"]
DISCREPANCIES: Final[tuple[str, ...]] = get_args(Discrepancy)

Batches = Literal["joint", "apart"]
BATCHES: Final[tuple[str, ...]] = get_args(Batches)


@dataclass(frozen=True)
class AdaptationOptions:
    """How a network is adapted to series without labels; the defaults are GHCA with all its parts.

    A weight of 0 leaves its part out.
    """

    discrepancy_weight: float = 1.0
    """Of the distance between source and target, the mean over the levels (Long et al. 2015: 1)."""
    pseudo_weight: float = 2.0
    """Of the cross-entropy of accepted target series (TimeMatch: 2)."""
    contrast_weight: float = 0.1
    """Of the contrast over source and accepted target series [ours]."""
    prototype_weight: float = 0.0
    """Of the contrast of accepted target series with a prototype of each class; GHCA has none."""
    discrepancy: Discrepancy = "global"
    """`global` compares all series; `class-wise` those of each class, target series by accepted labels."""
    levels: int = 3
    """How many of the deepest levels are compared; the last is what the head reads [ours]."""
    warm_up: float = 0.4
    """Share of the training that sees the source alone [ours]."""
    ramp: float = 0.3
    """Share of the adaptation in which the weights rise from 0, along a sigmoid [ours]."""
    keep: float | None = None
    """Share of the teacher that stays in a step; None is 0.999, less where that is longer than a tenth of the
    adaptation [ours; TimeMatch: 0.9999 in 10,000 steps]."""
    rounds: int = 8
    """How often the teacher labels series of the target [ours]."""
    labelled: int = 2000
    """Most series that it labels, drawn once; all others are still seen by the discrepancy [ours]."""
    confidence: float = 0.9
    """Least probability of the teacher's class, calibrated on the held-out source (TimeMatch: 0.9)."""
    certainty: float = 0.5
    """Share of each class that is certain enough: the lower quantile of the entropy [ours]."""
    views: int = 8
    """Changed copies of a series whose mean answer gives that entropy [ours]."""
    stability: int = 3
    """Rounds in which the class must have been the same, this one among them [ours]."""
    most_of_class: int = 1000
    """Most accepted series of a class, the most certain ones [ours]."""
    temperature: float = 0.1
    """Of the contrasts (0.07 to 0.1 in Khosla et al. 2020)."""
    prototype_keep: float = 0.9
    """Share of a prototype that stays in a step [ours]."""
    batches: Batches = "joint"
    """`joint` normalises source and target of a step together, `apart` each by itself [ours]."""

    def __post_init__(self) -> None:
        weights = (self.discrepancy_weight, self.pseudo_weight, self.contrast_weight, self.prototype_weight)
        if min(weights) < 0 or max(weights) == 0:
            raise InputError(
                f"The weights of an adaptation are 0 or more and one of them above 0, got {weights}. To "
                "train on the source alone use 'cropmap train'."
            )
        if self.discrepancy not in DISCREPANCIES or self.batches not in BATCHES:
            raise InputError(
                f"A discrepancy is {' or '.join(DISCREPANCIES)} and batches are {' or '.join(BATCHES)}; got "
                f"{self.discrepancy!r}, {self.batches!r}."
            )
        self._require_shares()
        counts = ("levels", "rounds", "labelled", "views", "stability", "most_of_class")
        if least := [name for name in counts if getattr(self, name) < 1]:
            raise InputError(f"Of {', '.join(counts)} there is at least 1, got 0 or less of {least[0]}.")
        if self.stability > self.rounds:
            raise InputError(
                f"A class cannot be the same in {self.stability} rounds of {self.rounds}: raise rounds, or "
                "lower stability."
            )
        if not self.temperature > 0:
            raise InputError(f"A temperature is above 0, got {self.temperature:g}. Try 0.1.")

    def _require_shares(self) -> None:
        shares = ("warm_up", "ramp", "confidence", "certainty", "prototype_keep", "keep")
        given = {name: value for name in shares if (value := getattr(self, name)) is not None}
        for name, value in given.items():
            if not 0 <= value <= 1:
                raise InputError(f"{name.replace('_', ' ').capitalize()} lies within 0 to 1, got {value:g}.")
        if self.warm_up == 1 or self.keep == 1:
            raise InputError(
                "A warm-up of 1 leaves nothing to adapt, and a teacher that keeps 1 never learns; got "
                f"{self.warm_up:g} and {self.keep}."
            )

    @property
    def needs_labels(self) -> bool:
        """Whether target series are used by the teacher's classes."""
        by_class = self.discrepancy == "class-wise" and self.discrepancy_weight > 0
        return by_class or max(self.pseudo_weight, self.contrast_weight, self.prototype_weight) > 0

    def kept_in(self, steps: int) -> float:
        """Share of the teacher that stays in a step of an adaptation of so many.

        A teacher remembers about 1 / (1 - share) steps; a tenth of all is enough.
        """
        if self.keep is not None:
            return self.keep
        return min(0.999, max(0.0, 1 - 10 / max(steps, 1)))


_ALONE: Final[dict[str, Any]] = dict.fromkeys(
    ("discrepancy_weight", "pseudo_weight", "contrast_weight", "prototype_weight"), 0.0
)

GHCA: Final = AdaptationOptions()

METHODS: Final[dict[str, AdaptationOptions]] = {
    "mmd": AdaptationOptions(**{**_ALONE, "discrepancy_weight": 1.0}),
    "class-mmd": AdaptationOptions(**{**_ALONE, "discrepancy_weight": 1.0}, discrepancy="class-wise"),
    "teacher": AdaptationOptions(**{**_ALONE, "pseudo_weight": GHCA.pseudo_weight}),
    "contrast": AdaptationOptions(**{**_ALONE, "contrast_weight": GHCA.contrast_weight}),
    "prototypes": AdaptationOptions(**{**_ALONE, "pseudo_weight": 1.0, "prototype_weight": 0.1}),
    "ghca": GHCA,
    "ghca-class": replace(GHCA, discrepancy="class-wise"),
}
"""The methods by name: the parts of GHCA each alone, prototypes in the place of its contrast (after CSTN,
Peng et al. 2025), and GHCA with the global and with the class-wise discrepancy (after PLCM)."""


def method_of(name: str) -> AdaptationOptions:
    """The settings of a method.

    Args:
        name: Of `METHODS`.

    Raises:
        InputError: There is no such method.
    """
    if name not in METHODS:
        raise InputError(f"A method of adaptation is one of {', '.join(METHODS)}, got {name!r}.")
    return METHODS[name]
