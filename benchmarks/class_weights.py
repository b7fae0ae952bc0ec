"""Which class weights serve a rare class: narrow CropNets on real pixels, scored on land that did not train.

    python -m benchmarks.class_weights ../shared/data/usa-2021/median_S2_ARK_month1-12_day5.npz

One class at a time is thinned out to 20 training samples. The held-out blocks keep all of theirs, so that
there is something to count, and the counts of the class are divided by as much as its training samples were:
figures are those of land on which the class is as rare as in training. The best epoch is chosen on the same
blocks, for all rules alike. Figures are means over the seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from inference.models.networks.cropnet import CropNetConfig
from training.fit.loop import fit
from training.fit.options import CLASS_WEIGHTS, ClassWeights, SplitRule, TrainingOptions
from training.fit.split import split_samples
from training.fit.train import band_statistics
from training.samples.samples import Samples, read_samples

CLASSES: Final = ("corn", "soybeans", "rice", "cotton", "other")
RARE: Final = (None, "rice", "cotton")
FEW: Final = 20
SEEDS: Final = (1, 2, 3, 4, 5, 6)
EPOCHS: Final = 10
NARROW: Final = CropNetConfig("narrow", (16,) * 4, (2, 2, 1, 1), (0.0, 0.1, 0.1, 0.1), 10, len(CLASSES))
"""Reaches 0.97 without a rare class; as regularised as `compact` it is right in 0.80 after so few epochs."""
RULES: Final[tuple[ClassWeights, ...]] = CLASS_WEIGHTS  # type: ignore[assignment]


@dataclass(frozen=True)
class Result:
    """One training."""

    rule: str
    """How classes were weighted."""
    rare: str | None
    """The class that was thinned out."""
    kept: float
    """Share of its training samples that were left."""
    confusion: NDArray[np.int64]
    """`(label, predicted)` on the held-out blocks."""

    @property
    def figures(self) -> tuple[float, float, float]:
        """Overall accuracy, and the rare class's user's and producer's accuracy, where it is that rare."""
        counts = self.confusion.astype(float)
        if self.rare is None:
            return counts.trace() / counts.sum(), np.nan, np.nan
        row = CLASSES.index(self.rare)
        counts[row] *= self.kept
        found = counts[row, row]
        users = found / counts[:, row].sum() if found else 0.0
        return counts.trace() / counts.sum(), users, found / counts[row].sum()


def thinned(samples: Samples, rare: str | None, seed: int) -> tuple[Samples, float]:
    """The samples with 20 of one class, and the share of its samples that these are."""
    if rare is None:
        return samples, 1.0
    there = samples.labels == samples.class_names.index(rare)
    few = np.random.default_rng(seed).choice(np.flatnonzero(there), FEW, replace=False)
    return samples.take(np.sort(np.concatenate([np.flatnonzero(~there), few]))), FEW / there.sum()


def trained(training: Samples, held_out: Samples, rule: ClassWeights, seed: int) -> NDArray[np.int64]:
    """The confusion matrix of one narrow network."""
    options = TrainingOptions(
        epochs=EPOCHS, batch_size=32, learning_rate=3e-3, seed=seed, device="cpu", class_weights=rule
    )
    scaled = band_statistics(training, training.recipe)
    found = fit(NARROW, training, held_out, options, recipe=training.recipe, normalisation=scaled)
    return np.array(found.scores.confusion)


def results(path: Path, case: tuple[int, str | None]) -> list[Result]:
    """Every rule, for one seed and one class that is rare, or none."""
    torch.set_num_threads(1)  # processes share the cores
    seed, rare = case
    samples = read_samples([path], CLASSES)
    split = split_samples(samples, SplitRule(block_size=0.25, seed=seed))
    training, held_out = samples.take(split.training), samples.take(split.validation)
    few, kept = thinned(training, rare, seed)
    return [Result(rule, rare, kept, trained(few, held_out, rule, seed)) for rule in RULES]


def row(rule: str, rare: str | None, found: Sequence[Result]) -> str:
    """One line of the table."""
    chosen = [one.figures for one in found if (one.rule, one.rare) == (rule, rare)]
    cells = ["" if np.isnan(mean) else f"{mean:.3f}" for mean in np.mean(chosen, axis=0)]
    return f"| {rare or 'none'} | `{rule}` | {' | '.join(cells)} |"


def main(path: Path) -> None:
    """Print the table."""
    with ProcessPoolExecutor(2) as pool:
        found = [one for part in pool.map(partial(results, path), product(SEEDS, RARE)) for one in part]
    print("| rare class | weights | overall accuracy | its user's accuracy | its producer's accuracy |")
    print("|---|---|--:|--:|--:|")
    for rare in RARE:
        for rule in RULES:
            print(row(rule, rare, found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
