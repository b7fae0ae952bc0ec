"""Which pixels of a map may stand as labels; the defaults of the command are here."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.errors import InputError

if TYPE_CHECKING:
    from gee_pipeline.recipe import Recipe

NEIGHBOURS: Final = 8
"""Pixels that touch a pixel."""


@dataclass(frozen=True)
class PseudoRules:
    """How labelled samples are drawn from a map, in the order in which the rules apply.

    A label that a network gives, taken as true in a second training, is a pseudo-label (Lee 2013). All rules
    exist to lower the share of wrong ones without losing the variety that a forest has to learn.
    """

    confidence: float = 80
    """Percent, 0 to 100: the least confidence of a pixel. The map's confidence is calibrated (Guo et al.
    2017), so pixels of 80 % and more are wrong in fewer than one of five cases, as far as the place resembles
    the training places. A fixed limit is that of FixMatch (Sohn et al. 2020, 0.95 there)."""
    best_share: float | None = None
    """Percent, 0 to 100: this percent of each class, the most confident, passes whatever its confidence. One
    limit for all classes empties the difficult ones; a limit for each class does not (class-balanced
    self-training, Zou et al. 2018). With a confidence of 100 this rule stands alone. None takes the one limit
    for all."""
    min_clear: int | None = None
    """Observed bins in the model window, at least. Ours: the fewer observations, the more of the series is
    interpolated. None takes the recipe's own limit, below which the map has no class at all."""
    neighbours: int = NEIGHBOURS
    """How many of the 8 neighbours must have the same class, 0 to 8. Pixels at the edge of a field mix two
    crops: CropGlobe cuts them away by an inward buffer (Tong et al. 2025, section 2.3); the count of
    neighbours is ours. Neighbours outside the area, without a class or not mapped are not the same."""
    passes: int = 10
    """Passes through the network with its dropout left on: samples of its posterior (Gal and Ghahramani
    2016). Labels that are confident and certain in this sense are wrong less often than labels that are only
    confident (Rizve et al. 2021). 0 leaves the rule out."""
    agree: int = 9
    """Passes of these that must give the class of the map. The limit is ours."""
    per_class: int = 1000
    """Samples of a class, at most. Ours: a class as frequent as the map has it would drown the rare ones;
    with this many of each a forest with some hundred leaves per tree is well filled."""
    largest_ratio: float | None = None
    """The largest class has at most this many times the samples of the smallest that has any; 1 makes all
    equal. None lets a class lack samples without a cost to the others."""
    spacing: int = 60
    """Metres between any two samples at least; a multiple of the 10 m pixel, as in CropGlobe (Tong et al.
    2025, section 2.3). Near pixels show one field twice."""
    seed: int = 0
    """Chooses the samples and the dropout; a pixel's turn depends on the seed and its cell alone."""

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 100:
            raise InputError(f"A confidence is 0 to 100 percent, got --confidence {self.confidence:g}.")
        if self.best_share is not None and not 0 < self.best_share <= 100:
            raise InputError(
                f"The most confident share of a class is above 0 and up to 100 percent, got --best-share "
                f"{self.best_share:g}. Omit it for one limit for all classes."
            )
        if not 0 <= self.neighbours <= NEIGHBOURS:
            raise InputError(f"A pixel has {NEIGHBOURS} neighbours, got --neighbours {self.neighbours}.")
        if self.min_clear is not None and not 0 <= self.min_clear <= 254:
            raise InputError(f"Observed bins are 0 to 254, got --min-clear {self.min_clear}.")
        self._require_stability()
        self._require_draw()

    def _require_stability(self) -> None:
        if not 0 <= self.passes <= 255 or (self.passes and not 1 <= self.agree <= self.passes):
            raise InputError(
                f"Of 0 to 255 passes at least 1 and at most all must agree, got --passes {self.passes} and "
                f"--agree {self.agree}. Lower --agree, or leave the rule out with --passes 0."
            )

    def _require_draw(self) -> None:
        if self.per_class < 1 or not 0 <= self.seed < 2**32:
            raise InputError(
                f"A class has at least 1 sample and a seed is 0 to {2**32 - 1}; got --per-class "
                f"{self.per_class} and --seed {self.seed}."
            )
        if self.largest_ratio is not None and not 1 <= self.largest_ratio < math.inf:
            raise InputError(
                "The largest class has 1 times the smallest or more, got --largest-ratio "
                f"{self.largest_ratio:g}."
            )
        if self.spacing < PIXEL_SIZE or self.spacing % PIXEL_SIZE:
            raise InputError(
                f"The spacing is a multiple of the {PIXEL_SIZE} m pixel, got --spacing {self.spacing}."
            )

    @property
    def square(self) -> int:
        """Pixels along a side of the squares that give one candidate of a class each."""
        return self.spacing // PIXEL_SIZE

    def least_clear(self, recipe: Recipe) -> int:
        """Observed bins that a pixel has at least."""
        return recipe.min_clear_bins if self.min_clear is None else self.min_clear

    def to_dict(self) -> dict[str, Any]:
        """The rules as JSON values."""
        return asdict(self)

    @property
    def description(self) -> str:
        """The rules in half a sentence."""
        share = f" or among the surest {self.best_share:g} % of the class" if self.best_share else ""
        stable = f", {self.agree} of {self.passes} dropout passes alike" if self.passes else ""
        return (
            f"confidence at least {self.confidence:g} %{share}, {self.neighbours} of {NEIGHBOURS} neighbours "
            f"alike{stable}, {self.spacing} m apart, up to {self.per_class} of a class"
        )
