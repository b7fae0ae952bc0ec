"""Which class weights serve a rare class: narrow CropNets on real pixels, judged on land that did not train.

    python -m benchmarks.class_weights ../shared/data/usa-2021/median_S2_ARK_month1-12_day5.npz

One class at a time is thinned out to 20 training samples; the held-out blocks keep all of theirs. The best
epoch is chosen on the same blocks, for all rules alike. Figures are means over the seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.models.networks.cropnet import DROPOUT, CropNetConfig
from training.fit.augment import Augmentation
from training.fit.loop import fit
from training.fit.options import CLASS_WEIGHTS, SplitRule, TrainingOptions
from training.fit.split import split_samples
from training.fit.train import band_statistics
from training.samples.samples import Samples, read_samples
from training.scores.metrics import Scores

CLASSES = ("corn", "soybeans", "rice", "cotton", "other")
FEW = 20
SEEDS = (1, 2, 3)
NARROW = CropNetConfig("narrow", (16,) * 4, (2, 1, 1, 1), DROPOUT, 10, len(CLASSES))


@dataclass(frozen=True)
class Result:
    """One training."""

    rule: str
    rare: str | None
    scores: Scores


def thinned(samples: Samples, rare: str | None, seed: int) -> Samples:
    """The samples with 20 of one class."""
    if rare is None:
        return samples
    members = np.flatnonzero(samples.labels == samples.class_names.index(rare))
    kept = np.random.default_rng(seed).choice(members, FEW, replace=False)
    others = np.flatnonzero(samples.labels != samples.class_names.index(rare))
    return samples.take(np.sort(np.concatenate([others, kept])))


def results(samples: Samples) -> Iterator[Result]:
    """Every rule, with each class rare and with none, for each seed."""
    for seed in SEEDS:
        split = split_samples(samples, SplitRule(block_size=0.25, seed=seed))
        training, held_out = samples.take(split.training), samples.take(split.validation)
        for rare in (None, "rice", "cotton", "corn"):
            few = thinned(training, rare, seed)
            normalisation = band_statistics(few, samples.recipe)
            for rule in CLASS_WEIGHTS:
                options = TrainingOptions(
                    epochs=12, batch_size=64, learning_rate=3e-3, seed=seed, device="cpu",
                    class_weights=rule,  # type: ignore[arg-type]
                )  # fmt: skip
                augmentation = Augmentation.of("field", options, samples.recipe)
                found = fit(
                    NARROW, few, held_out, options, recipe=samples.recipe,
                    normalisation=normalisation, augmentation=augmentation,
                )  # fmt: skip
                yield Result(rule, rare, found.scores)


def row(rule: str, rare: str | None, found: list[Result]) -> str:
    """One line of the table."""
    chosen = [one.scores for one in found if (one.rule, one.rare) == (rule, rare)]
    overall = np.mean([s.accuracy for s in chosen])
    macro = np.mean([s.macro_f1 for s in chosen])
    if rare is None:
        return f"| none | {rule} | {overall:.3f} | {macro:.3f} | | |"
    facts = [next(c for c in s.classes if c.name == rare) for s in chosen]
    users, producers = np.mean([c.precision for c in facts]), np.mean([c.recall for c in facts])
    return f"| {rare} | {rule} | {overall:.3f} | {macro:.3f} | {users:.3f} | {producers:.3f} |"


def main(path: Path) -> None:
    """Print the table."""
    samples = read_samples([path], CLASSES)
    found = list(results(samples))
    print("| rare class | weights | overall accuracy | macro-F1 | its user's | its producer's accuracy |")
    print("|---|---|--:|--:|--:|--:|")
    for rare in (None, "rice", "cotton", "corn"):
        for rule in CLASS_WEIGHTS:
            print(row(rule, rare, found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
