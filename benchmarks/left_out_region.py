"""Whether training in more regions helps in one that trained nothing (needs the real data).

    python -m benchmarks.left_out_region [--data DIRECTORY] [--preset small-16] [--epochs 15] [--seeds 1,2,3]

The three regions of the model `wide`, each answered as a whole by networks that never saw it: California and
Canada by one of Arkansas alone and by one of Arkansas and the other region, Arkansas by one of California and
Canada. All else is as `training.shipped.wide_checkpoint` has it. Prints each training on stderr and the means
and standard deviations over the seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Final

from benchmarks.real_map import DATA
from inference.models.predictor import Predictor
from training.fit.options import PRESETS, TrainingOptions
from training.fit.train import train_checkpoint
from training.scores.metrics import score
from training.shipped.wide_checkpoint import FILES, OPTIONS, SPLIT, read_regions

ARKANSAS, CALIFORNIA, CANADA = FILES

TRAININGS: Final = {
    (ARKANSAS,): (CALIFORNIA, CANADA),
    (ARKANSAS, CANADA): (CALIFORNIA,),
    (ARKANSAS, CALIFORNIA): (CANADA,),
    (CALIFORNIA, CANADA): (ARKANSAS,),
}
"""Regions that train -> regions that test."""


@dataclass(frozen=True)
class Result:
    """One network in one region."""

    trained: tuple[str, ...]
    """Regions that trained it."""
    tested: str
    """Region that tests it."""
    seed: int
    accuracy: float
    """Overall accuracy on all samples of the region, 0 to 1."""
    macro_f1: float
    """Mean F1 over the classes that occur there, 0 to 1."""

    def __str__(self) -> str:
        trained = " and ".join(self.trained)
        return f"{trained} to {self.tested}, seed {self.seed}: {self.accuracy:.3f}, F1 {self.macro_f1:.3f}"


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description="What more regions in the training are worth elsewhere.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--preset", default="small-16", choices=PRESETS)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=numbers, default=(1, 2, 3), help="numbers, with commas")
    chosen = parser.parse_args()
    if missing := [str(chosen.data / path) for path in FILES.values() if not (chosen.data / path).is_file()]:
        sys.exit(f"The real data are not here: {', '.join(missing)}. Name their folder with --data.")
    options = replace(OPTIONS, preset=chosen.preset, epochs=chosen.epochs, device="cpu")
    found = []
    for seed in chosen.seeds:
        for result in results(chosen.data, replace(options, seed=seed)):
            print(result, file=sys.stderr, flush=True)
            found.append(result)
    print("\n".join(table(found)))


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers that are separated by commas."""
    return tuple(map(int, text.split(",")))


def results(data: Path, options: TrainingOptions) -> Iterator[Result]:
    """Every training with one seed, which also draws the held-out blocks."""
    for trained, tests in TRAININGS.items():
        samples = read_regions([data / FILES[name] for name in trained])
        checkpoint = train_checkpoint(samples, options, replace(SPLIT, seed=options.seed))
        predictor, window = Predictor(checkpoint, "cpu"), checkpoint.recipe.window
        for name in tests:
            region = read_regions([data / FILES[name]])
            logits = predictor.logits(region.series[:, :, window.start : window.stop])
            scores = score(region.labels, logits.argmax(axis=1), region.class_names)
            yield Result(trained, name, options.seed, scores.accuracy, scores.macro_f1)


def table(found: list[Result]) -> Iterator[str]:
    """The lines of a table in Markdown: a line for each region and what trained, in shares."""
    yield "| tested in | trained on | seeds | overall accuracy | macro-F1 |"
    yield "|---|---|--:|--:|--:|"
    for tested, trained in dict.fromkeys((one.tested, one.trained) for one in found):
        some = [one for one in found if (one.tested, one.trained) == (tested, trained)]
        figures = (spread([getattr(one, of) for one in some]) for of in ("accuracy", "macro_f1"))
        yield f"| {tested} | {', '.join(trained)} | {len(some)} | {' | '.join(figures)} |"


def spread(values: list[float]) -> str:
    """Mean and standard deviation, the latter where there are two or more."""
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
