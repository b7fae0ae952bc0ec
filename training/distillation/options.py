"""The options of a distillation; the defaults of the command are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gee_pipeline.errors import InputError
from training.fit.options import Precision, TrainingOptions

CHANNELS: Final = (8, 16, 24, 32)
"""Sizes of students, from the smallest: the presets `small-N` of CropNet."""


@dataclass(frozen=True)
class DistillOptions:
    """How students are taught, and how little they may lose.

    Students learn from the teacher's answers alone, softened by a temperature (Hinton et al. 2015,
    "Distilling the Knowledge in a Neural Network").
    """

    channels: tuple[int, ...] = CHANNELS
    """Sizes to try in this order, until one is good enough; a single one is taken as it comes out."""
    tolerance: float = 0.1
    """Percentage points of overall accuracy and of macro-F1 that a student may lose on each set."""
    agreement: float = 99.0
    """Percent of the pixels to which a student must give the teacher's class, on each set of samples."""
    series: int = 60_000
    """Series to learn from: the samples as they are, and changed copies of them until there are so many."""
    epochs: int = 12
    """Passes over these series."""
    batch_size: int = 128
    """Series in one step."""
    learning_rate: float = 2e-3
    """Adam's learning rate at the start; it falls to 0 along a cosine."""
    softness: float = 2.0
    """Temperature that the answers of both networks are softened by in training."""
    seed: int = 1
    """Chooses the copies, the first weights and the order."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Precision = "auto"
    """Precision of the student's training, as in `TrainingOptions`; the teacher answers as it maps."""

    def __post_init__(self) -> None:
        if not self.channels or not set(self.channels) <= set(CHANNELS):
            raise InputError(
                f"A student has {', '.join(map(str, CHANNELS))} channels, got {list(self.channels)}. Choose "
                "one of them, or auto."
            )
        if not (0 <= self.tolerance <= 100 and 0 <= self.agreement <= 100):
            raise InputError(
                "A tolerance is 0 to 100 percentage points and an agreement 0 to 100 percent; got "
                f"{self.tolerance:g} and {self.agreement:g}."
            )
        if self.series < 1 or not 0 < self.softness <= 100:
            raise InputError(
                "A student learns from 1 series or more, softened by a temperature above 0 and up to 100; "
                f"got {self.series} and {self.softness:g}."
            )
        self.training(self.channels[0])

    def training(self, channels: int) -> TrainingOptions:
        """The options of the training of one student."""
        return TrainingOptions(
            preset=f"small-{channels}",
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            augmentation="none",
            device=self.device,
            precision=self.precision,
            class_weights="none",
        )
