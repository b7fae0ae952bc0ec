"""Labels in folds by place, so that each is judged by networks that did not see its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from gee_pipeline.errors import InputError
from training.fit.options import SplitRule
from training.fit.split import Labelled, kept_together


@dataclass(frozen=True)
class Folds:
    """Labels by fold and by what stays together."""

    fold: NDArray[np.intp]
    """`(sample,)`: the fold of each."""
    unit: NDArray[np.intp]
    """`(sample,)`: block, group or single sample, counted from 0; each lies in one fold."""
    facts: dict[str, Any]
    """Rule, folds and units, as JSON values."""

    @property
    def parts(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Samples that tune and samples that judge, one pair a fold."""
        numbers = range(self.fold.max() + 1)
        return [(np.flatnonzero(self.fold != k), np.flatnonzero(self.fold == k)) for k in numbers]

    @property
    def description(self) -> str:
        """The folds in words."""
        folds, units = self.facts["folds"], self.facts["units"]
        if self.facts["rule"] == "blocks":
            return f"{folds} folds over {units} blocks of {self.facts['block_size']:g} degrees"
        if self.facts["rule"] == "column":
            return f"{folds} folds over {units} groups"
        return f"{folds} folds over samples at random; optimistic, because neighbours tune"


def folds_of(samples: Labelled, rule: SplitRule, folds: int, seed: int) -> Folds:
    """Folds of about the same size; as many as asked for, or as there are places.

    Args:
        samples: Labels.
        rule: What stays together.
        folds: Most folds.
        seed: Deals the places.

    Raises:
        InputError: The samples lie in one place, or have no places or groups where the rule takes them.
    """
    _, unit = np.unique(kept_together(samples, rule), axis=0, return_inverse=True)
    unit = unit.ravel()
    units = int(unit.max()) + 1
    if units < 2:
        raise InputError(
            "Folds take labels of two places or more, so that some can judge what the others teach; all "
            f"{len(unit)} lie in one. Gather labels elsewhere too, choose smaller blocks (--block-size) or, "
            "knowing that the figures will be optimistic, --split random."
        )
    count = min(folds, units)
    dealt = GroupKFold(count, shuffle=True, random_state=seed).split(unit, groups=unit)
    fold = np.empty(len(unit), np.intp)
    for number, (_, judged) in enumerate(dealt):
        fold[judged] = number
    facts: dict[str, Any] = {"rule": rule.rule, "folds": count, "units": units, "seed": seed}
    return Folds(fold, unit, facts | ({"block_size": rule.block_size} if rule.rule == "blocks" else {}))
