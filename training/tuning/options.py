"""The options of tuning; the defaults of the command are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gee_pipeline.errors import InputError
from training.fit.options import FOLD_BLOCK, Precision, Rule, SplitRule, TrainingOptions, rule_for

WAYS: Final = ("shares", "bias", "last", "norms", "all")
"""Ways of `training.tuning.ways` that change something, named here because that module loads torch."""

MOST_FOLDS: Final = 20
"""Of the folds: with more, each tells no more and costs a training."""


@dataclass(frozen=True)
class TuneOptions:
    """How a model is tuned, and how the ways to do so are compared."""

    ways: tuple[str, ...] = WAYS
    """What may be changed; to leave the model as it is is always among the choices."""
    folds: int = 5
    """Parts of the labels, by place; each is judged by networks that the others tuned."""
    rule: Rule | None = None
    """What stays together in a fold; None is blocks where the labels have places, else single samples."""
    block_size: float = FOLD_BLOCK
    """Side of these blocks in degrees."""
    batch_size: int = 32
    """Labels of one step."""
    rehearsal: int = 32
    """Series of the source in one step, where there are any."""
    seed: int = 1
    """Chooses folds and order."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Precision = "auto"
    """As in `TrainingOptions`."""

    def __post_init__(self) -> None:
        if not self.ways or not set(self.ways) <= set(WAYS) or len(set(self.ways)) < len(self.ways):
            raise InputError(
                f"Ways to tune are different names out of {', '.join(WAYS)}; got "
                f"{', '.join(self.ways) or 'none'}. Leave --ways out to try all."
            )
        if not 2 <= self.folds <= MOST_FOLDS:
            raise InputError(
                f"Labels are compared in 2 to {MOST_FOLDS} folds, got {self.folds}. Try --folds 5."
            )
        if self.rehearsal < 1:
            raise InputError(f"A step rehearses 1 series or more, got {self.rehearsal}.")
        self.training(1e-3, 1)
        self.split(places=True)

    def split(self, *, places: bool) -> SplitRule:
        """What stays together in a fold.

        Args:
            places: Whether the labels have places.
        """
        return SplitRule(rule_for(self.rule, places=places), self.block_size, seed=self.seed)

    def training(self, learning_rate: float, epochs: int) -> TrainingOptions:
        """The options of one training.

        Args:
            learning_rate: At the start.
            epochs: Passes over the labels.
        """
        return TrainingOptions(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=learning_rate,
            seed=self.seed,
            augmentation="none",
            device=self.device,
            precision=self.precision,
            class_weights="none",
        )
