"""What the benchmark on real pixels found, as JSON values and as text for a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from examples.scoring import Score

RESAMPLES: Final = 2_000
"""Draws of the bootstrap over fields."""


@dataclass(frozen=True)
class Report:
    """The figures of one run and how they came about."""

    score: Score
    """Field pixels by true and mapped class; those without a class count as wrong."""
    forest: Score
    """The same of a Random Forest on the same composites."""
    pixels: NDArray[np.int64]
    """`(field,)`: pixels of each field."""
    right: NDArray[np.int64]
    """`(field,)`: pixels of each field mapped as their class."""
    inner: tuple[int, int]
    """Pixels whose 20 m bands show their own field too, and how many of them are mapped as their class."""
    clear_bins: NDArray[np.uint8]
    """`(pixel,)`: observed bins of each field pixel in the model window, as the map states them."""
    bare_accuracy: float
    """Overall accuracy of the network on all eastern samples as they are, without clouds or map."""
    training: dict[str, Any]
    """Provenance of the checkpoint."""
    validation: dict[str, Any]
    """Its scores on blocks held out of the training."""
    east: dict[str, int]
    """Eastern samples by class."""
    settings: dict[str, Any]
    """Options of this run."""
    seconds: dict[str, float]
    """Wall time by step."""

    @property
    def mapped(self) -> Score:
        """The score without the pixels that have no class."""
        return Score(self.score.names, self.score.confusion, np.zeros_like(self.score.unmapped))

    @property
    def no_class_share(self) -> float:
        """Share of the field pixels with too few observations for a class."""
        return float(self.score.unmapped.sum() / self.score.pixels)

    @property
    def fields_right(self) -> float:
        """Share of the fields with more than half of their pixels mapped as their class."""
        return float((2 * self.right > self.pixels).mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the overall accuracy, by resampling fields.

        The pixels of a field show one series, so fields, not pixels, are what chance deals out.
        """
        drawn = np.random.default_rng(0).integers(0, len(self.pixels), (RESAMPLES, len(self.pixels)))
        shares = self.right[drawn].sum(1) / self.pixels[drawn].sum(1)
        low, high = np.percentile(shares, (2.5, 97.5))
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "overall_accuracy": self.score.overall_accuracy,
            "overall_accuracy_interval": list(self.interval),
            "overall_accuracy_of_mapped": self.mapped.overall_accuracy,
            "overall_accuracy_away_from_borders": self.inner[1] / self.inner[0],
            "macro_f1": self.score.macro_f1,
            "share_not_enough_observations": self.no_class_share,
            "fields": len(self.pixels),
            "fields_right": self.fields_right,
            "pixels": self.score.pixels,
            "classes": list(self.score.names),
            "confusion": self.score.confusion.tolist(),
            "not_enough_observations": self.score.unmapped.tolist(),
            "precision": self.score.precision,
            "recall": self.score.recall,
            "f1": self.score.f1,
            "clear_bins": dict(zip(("least", "median", "most"), self._clear_bins(), strict=True)),
            "bare_accuracy": self.bare_accuracy,
            "forest": {
                "overall_accuracy": self.forest.overall_accuracy,
                "macro_f1": self.forest.macro_f1,
                "confusion": self.forest.confusion.tolist(),
            },
            "eastern_samples": self.east,
            "training": self.training,
            "validation": {key: self.validation[key] for key in ("accuracy", "macro_f1")},
            "settings": self.settings,
            "seconds": self.seconds,
        }

    def to_markdown(self) -> str:
        """The figures, the confusion matrix and how they were made."""
        return "\n".join([*self._figures(), "", *self._confusion(), "", *self._how()]) + "\n"

    def _figures(self) -> list[str]:
        low, high = self.interval
        pixels, right = self.inner
        return [
            "| every field pixel | CropNet, `cropmap predict` | Random Forest, same composites |",
            "|---|---|---|",
            f"| overall accuracy | **{self.score.overall_accuracy:.3f}** ({low:.3f} to {high:.3f}) "
            f"| {self.forest.overall_accuracy:.3f} |",
            f"| away from borders, {pixels / self.score.pixels:.0%} of them | {right / pixels:.3f} | |",
            f"| macro-F1 | **{self.score.macro_f1:.3f}** | {self.forest.macro_f1:.3f} |",
            f"| not enough observations (counted as wrong) | {self.no_class_share:.2%} | the same |",
            f"| fields with most pixels right | {self.fields_right:.1%} of {len(self.pixels)} | |",
        ]

    def _confusion(self) -> list[str]:
        names, score = self.score.names, self.score
        head = ["true \\ mapped", *names, "none", "recall"]
        rows = [
            [name, *map(_count, line), _count(none), f"{score.recall[name]:.3f}"]
            for name, line, none in zip(names, score.confusion, score.unmapped, strict=True)
        ]
        last = ["precision", *(f"{score.precision[name]:.3f}" for name in names), "", ""]
        return [_row(head), _row(["---"] + ["---:"] * (len(head) - 1)), *map(_row, [*rows, last])]

    def _how(self) -> list[str]:
        least, median, most = self._clear_bins()
        made, held_out = self.training, self.validation
        return [
            f"- Trained on {made['training_samples']:,} of {sum(made['samples'].values()):,} pixels, "
            f"{made['epochs']} epochs; epoch {made['best_epoch']} chosen on blocks held out "
            f"(accuracy {held_out['accuracy']:.3f}, macro-F1 {held_out['macro_f1']:.3f}).",
            f"- {len(self.pixels)} fields of {self.score.pixels:,} pixels, each with the observed series of "
            f"one of {sum(self.east.values()):,} eastern pixels; the network labels {self.bare_accuracy:.1%} "
            "of these right as they are, without clouds, scenes and map.",
            f"- Clear bins of a field pixel in the window of 43: {least} to {most}, median {median:g}.",
            "- Seconds: " + ", ".join(f"{step} {seconds:g}" for step, seconds in self.seconds.items()) + ".",
        ]

    def _clear_bins(self) -> tuple[int, float, int]:
        return int(self.clear_bins.min()), float(np.median(self.clear_bins)), int(self.clear_bins.max())


def _count(pixels: np.int64) -> str:
    return f"{pixels:,}"


def _row(entries: list[str]) -> str:
    return "| " + " | ".join(entries) + " |"
