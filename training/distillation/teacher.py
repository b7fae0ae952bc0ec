"""Who teaches: a checkpoint, or several whose logits are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import title_of
from inference.models.predictor import Predictor

PORTION: Final = 1_024
"""Series between two reports of progress."""


@dataclass(frozen=True)
class Teacher:
    """One model or several that know the same classes and take the same series."""

    names: tuple[str, ...]
    """What the members are called, such as their files' names."""
    members: tuple[Checkpoint, ...]
    """The models."""
    predictors: tuple[Predictor, ...]
    """The same, ready to answer."""

    @classmethod
    def of(cls, members: Sequence[tuple[str, Checkpoint]], device: str = "auto") -> Teacher:
        """A teacher of some named checkpoints.

        Args:
            members: Names and checkpoints, at least one.
            device: Where they answer: `auto`, `cpu`, `cuda` or `cuda:1`.

        Raises:
            InputError: One is given twice, or there is no such device.
            MismatchError: They differ in recipe or classes.
        """
        names, checkpoints = zip(*members, strict=True)
        first = checkpoints[0]
        for name, other in members[1:]:
            _require_colleague(names[0], first, name, other)
        if len({one.digest for one in checkpoints}) < len(checkpoints):
            raise InputError("A teacher is given twice. Name each model of an ensemble once.")
        return cls(names, checkpoints, tuple(Predictor(one, device) for one in checkpoints))

    @property
    def recipe(self) -> Recipe:
        """How its series are made."""
        return self.members[0].recipe

    @property
    def class_names(self) -> tuple[str, ...]:
        """Its classes in the order of their codes."""
        return tuple(crop.name for crop in self.members[0].classes)

    @property
    def normalisation(self) -> Normalisation:
        """How its first member's input is scaled; its student's is scaled alike."""
        return self.members[0].normalisation

    @property
    def facts(self) -> list[dict[str, Any]]:
        """Name, digest and network of each member, as JSON values."""
        pairs = zip(self.names, self.members, strict=True)
        return [{"name": name, "digest": one.digest, "network": title_of(one.config)} for name, one in pairs]

    def logits(
        self, series: NDArray[np.int16], report: Callable[[int], None] = lambda done: None
    ) -> NDArray[np.float32]:
        """Mean logits `(series, class)`.

        Args:
            series: `(series, band, bin)` of whole seasons, gaps nodata, with an observation in the window.
            report: Receives the series done.
        """
        window = self.recipe.window
        out = np.zeros((len(series), len(self.class_names)), np.float32)
        for start in range(0, len(series), PORTION):
            part = series[start : start + PORTION, :, window.start : window.stop]
            answers = [one.logits(part) for one in self.predictors]
            out[start : start + PORTION] = np.mean(answers, axis=0, dtype=np.float32)
            report(min(start + PORTION, len(series)))
        return out


def _require_colleague(name: str, first: Checkpoint, other_name: str, other: Checkpoint) -> None:
    way_out = "Teachers of one ensemble answer the same question: leave one out."
    first.recipe.require_same(other.recipe, f"The teacher {name}", f"the teacher {other_name}", way_out)
    mine, theirs = (tuple(crop.name for crop in one.classes) for one in (first, other))
    if mine != theirs:
        raise MismatchError(
            f"The teachers of an ensemble must know the same classes in the same order; {name} knows "
            f"{', '.join(mine)}, {other_name} {', '.join(theirs)}. Leave one out."
        )
