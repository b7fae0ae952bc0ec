"""The options of an explanation; the defaults of the command are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gee_pipeline.errors import InputError
from training.fit.options import AUGMENTATIONS, AugmentationPreset

GROUP_LIMIT: Final = 10_000
"""Most samples of a region: as many as the paper embeds of each group (Tong et al. 2025, section 5.1)."""

FORMATS: Final = ("png", "pdf", "svg")
"""What the pictures may be."""


@dataclass(frozen=True)
class ExplainOptions:
    """How many samples are looked at, and how."""

    per_class: int = 300
    """Samples of each class and region, drawn by chance; all where there are fewer."""
    seed: int = 1
    """Chooses the samples and what the augmentation draws; t-SNE starts from principal components."""
    augmentation: AugmentationPreset = "paper"
    """How the source is changed for the second panel of t-SNE; `none` leaves it out."""
    perplexity: float = 30
    """How many neighbours t-SNE keeps near a sample, about (van der Maaten & Hinton 2008: 5 to 50)."""
    attributed: int = 50
    """Samples of each class and region for integrated gradients, which cost `STEPS` passes each."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    format: str = "png"
    """Of the pictures."""

    def __post_init__(self) -> None:
        if not 2 <= self.per_class <= GROUP_LIMIT:
            raise InputError(
                f"An explanation looks at 2 to {GROUP_LIMIT:,} samples of a class, got {self.per_class:,}. "
                f"Try --per-class {ExplainOptions.per_class}."
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"A seed is a number from 0 to {2**32 - 1}, got {self.seed}. Try --seed 1.")
        if self.augmentation not in AUGMENTATIONS:
            raise InputError(
                f"An augmentation is one of {', '.join(AUGMENTATIONS)}, got {self.augmentation!r}."
            )
        if not 1 <= self.perplexity <= 1000:
            raise InputError(
                f"A perplexity lies within 1 to 1000, got {self.perplexity:g}. Try --perplexity 30."
            )
        if self.attributed < 1 or self.format not in FORMATS:
            raise InputError(
                f"At least 1 sample of a class is attributed, and pictures are {', '.join(FORMATS)}; got "
                f"{self.attributed} and {self.format}."
            )
