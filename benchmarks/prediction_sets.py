"""How often prediction sets hold the true class, on real places (needs the real data).

    python -m benchmarks.prediction_sets [--model accurate|fast|wide|FILE] [--data DIRECTORY]

The places are those of `benchmarks.applicability`. First the limits that a model ships with, on places and in
countries that they were not made for: reported, not promised. Then limits from labels of the region itself,
drawn at random or in some of its squares, tried on the others, in many draws: the mean coverage, how often it
lies within the binomial 95 % interval of 90 % for the samples it was tried on, and within the interval that
also counts that the limits rest on few samples (beta-binomial; Vovk 2012). Where labels and tried samples are
drawn alike, the mean coverage should be 90 % or a little more, and that interval hold in 95 % of the draws;
limits are 0.885 (of 30 labels few classes have limits of their own) and 85 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, binom

from benchmarks.applicability import Place, places
from benchmarks.real_map import DATA
from gee_pipeline.bands import NODATA
from inference.models.checkpoint import Checkpoint, load_checkpoint
from inference.models.predictor import Predictor
from inference.models.shipped import SHIPPED, model_path
from inference.models.told.prediction_sets import PredictionSets
from training.samples.crops import NAMES, OTHER
from training.scores.prediction_sets import COVERAGE, sets_of

DRAWS: Final = 400
"""Draws of labels of each number and kind."""

LABELS: Final = (30, 100, 300, 1_000)
"""Labels that set the limits."""

LEAST: Final = 0.885
"""Mean coverage below which labels that are drawn at random do not keep their promise."""

HELD: Final = 0.85
"""Share of these draws that lie in the interval which counts the labels, at least: with several limits from
few labels each the coverage spreads a little more than with one."""


@dataclass(frozen=True)
class Answers:
    """What the model says in one region."""

    place: str
    said: NDArray[np.float32]
    """`(sample, class)`: probabilities."""
    labels: NDArray[np.intp]
    """`(sample,)`: true class."""
    square: NDArray[np.intp]
    """`(sample,)`: square of the region."""

    def hits(
        self, sets: PredictionSets, which: NDArray[np.intp]
    ) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Whether the sets of some samples hold their class, and how many classes they have."""
        members = sets.members(self.said[which])
        return members[np.arange(len(which)), self.labels[which]], members.sum(axis=1)


@dataclass(frozen=True)
class Tried:
    """Limits from labels of a region, tried on its other samples, over many draws."""

    coverage: float
    spread: float
    """Standard deviation of the coverage between draws."""
    binomial: float
    """Share of draws within the binomial interval of the samples tried."""
    both: float
    """Share of draws within the interval that counts the labels too."""
    worst: float
    """Mean coverage of the class with the least."""
    size: float
    """Mean number of classes in a set."""


def main() -> None:
    """Print both tables; exit with 1 where labels drawn at random do not keep their promise."""
    parser = argparse.ArgumentParser(description="Prediction sets on real places.")
    parser.add_argument("--model", default="accurate", help="a model that ships, or a file")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    if not (options.data / "worldcereal").is_dir():
        sys.exit(f"The real data are expected in {options.data}.")
    model = load_checkpoint(model_path(options.model if options.model in SHIPPED else Path(options.model)))
    found = [answers_in(model, place) for place in places(options.data, model)]
    for line in as_shipped(found, model):
        print(line)
    print()
    kept = True
    print("| region | labels | drawn | coverage | spread | binomial | with labels | worst class | size |")
    print("|---|--:|---|--:|--:|--:|--:|--:|--:|")
    for one in found:
        for count, alike in ((n, kind) for n in LABELS if 2 * n <= len(one.labels) for kind in (True, False)):
            tried = by_labels(one, count, alike=alike)
            kept &= not alike or (tried.coverage >= LEAST and tried.both >= HELD)
            print(row(one.place, count, tried, alike=alike))
    sys.exit(0 if kept else 1)


def answers_in(model: Checkpoint, place: Place) -> Answers:
    """What a model says of the samples of a region that have enough observations."""
    window, names = model.recipe.window, [crop.name for crop in model.classes]
    series = place.series[:, :, window.start : window.stop]
    known = (series[:, 0] != NODATA).sum(axis=1) >= place.least
    meant = [name if name in names else OTHER for name in NAMES]
    truth = np.array([names.index(meant[label]) for label in place.labels])[known]
    squares = np.floor(np.stack([place.lon, place.lat])[:, known] / place.side).astype(int)
    _, square = np.unique(squares, axis=1, return_inverse=True)
    return Answers(place.name, Predictor(model, "cpu").probabilities(series[known]), truth, square.ravel())


def as_shipped(found: list[Answers], model: Checkpoint) -> Iterator[str]:
    """The coverage by the limits in the model's file, over all and by class."""
    names = [crop.name for crop in model.classes]
    yield f"| region | all | {' | '.join(names)} | size | empty |"
    yield f"|---|--:|{'--:|' * len(names)}--:|--:|"
    if model.prediction_sets is None:
        sys.exit("The model has no limits of prediction sets.")
    for one in found:
        held, sizes = one.hits(model.prediction_sets, np.arange(len(one.labels)))
        of = [held[one.labels == k] for k in range(len(names))]
        texts = [f"{part.mean():.2f} ({len(part):,})" if len(part) else "" for part in of]
        empty = (sizes == 0).mean()
        yield f"| {one.place} | {held.mean():.3f} | {' | '.join(texts)} | {sizes.mean():.2f} | {empty:.1%} |"


def by_labels(one: Answers, count: int, *, alike: bool, seed: int = 1) -> Tried:
    """Limits from some labels, tried on the others, over many draws.

    Args:
        one: Answers in the region.
        count: Labels that set the limits.
        alike: Labels are drawn from all samples; else from half of the squares, and tried on the other half.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    found = [tried for _ in range(DRAWS) if (tried := _draw(one, count, alike, rng)) is not None]
    coverage, binomial, both, sizes = (
        np.array(column) for column in zip(*(f[:4] for f in found), strict=True)
    )
    classes = np.array([f[4] for f in found])
    worst = min(float(np.nanmean(one)) for one in classes.T if not np.isnan(one).all())
    return Tried(coverage.mean(), coverage.std(), binomial.mean(), both.mean(), worst, sizes.mean())


def _draw(
    one: Answers, count: int, alike: bool, rng: np.random.Generator
) -> tuple[float, bool, bool, float, list[float]] | None:
    if alike:
        order = rng.permutation(len(one.labels))
        setting, others = order[:count], order[count:]
    else:
        squares = rng.permutation(one.square.max() + 1)
        first = np.isin(one.square, squares[: len(squares) // 2])
        setting, others = rng.permutation(np.flatnonzero(first))[:count], np.flatnonzero(~first)
        if len(setting) < count or len(others) < count:
            return None
    sets = sets_of(one.said[setting], one.labels[setting], source="labels of the region")
    if sets is None:
        return None
    held, sizes = one.hits(sets, others)
    hits, tried = int(held.sum()), len(held)
    rank = math.ceil((count + 1) * COVERAGE)
    low, high = binom.interval(0.95, tried, COVERAGE)
    least, most = betabinom.interval(0.95, tried, rank, count + 1 - rank)
    of = [held[one.labels[others] == k] for k in range(one.said.shape[1])]
    classes = [float(part.mean()) if len(part) >= 10 else math.nan for part in of]
    return hits / tried, low <= hits <= high, least <= hits <= most, float(sizes.mean()), classes


def row(place: str, count: int, tried: Tried, *, alike: bool) -> str:
    """A line of the second table."""
    kind = "at random" if alike else "other squares"
    coverage = f"{tried.coverage:.3f} | {tried.spread:.3f} | {tried.binomial:.0%} | {tried.both:.0%}"
    return f"| {place} | {count:,} | {kind} | {coverage} | {tried.worst:.2f} | {tried.size:.2f} |"


if __name__ == "__main__":
    main()
