"""How often 95 % intervals of areas and accuracy hold the truth, and how wide they are, over many samples.

    python -m benchmarks.assessment [--samples 2000]

A made map of 400,000 pixels whose truth is known: probabilities of four classes, one of them rare, pixels of
the most probable class, and some where the map shows nothing. Each design is drawn, answered without error
and estimated again and again. Only figures that rest on 30 units or more are counted.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.accuracy import Accuracy
from assessment.estimation.intervals import FEW_UNITS, Figure
from assessment.report.results import ClassCovariate, Results, results
from assessment.report.sampled import Sampled, SampledUnit, StratumSize

NAMES: Final = ("wheat", "maize", "rape", "other")
LABELS: Final = (*NAMES, "not enough observations")
PIXELS: Final = 400_000
POINTS: Final = (180, 100, 60, 210, 50)
"""Points of each stratum; a simple random sample has their sum."""

Key = tuple[str, str, str]
"""Estimator, measure, class."""


@dataclass(frozen=True)
class Place:
    """A map and its truth."""

    shown: NDArray[np.intp]
    """`(pixel,)`: index of what the map shows."""
    truth: NDArray[np.intp]
    """`(pixel,)`: index of the class."""
    probabilities: NDArray[np.float64]
    """`(pixel, class)`: what the map says, in whole percents."""

    @classmethod
    def made(cls, seed: int) -> Place:
        """A map that is right in nine of ten pixels and a little less sure than it could be."""
        rng = np.random.default_rng(seed)
        parts = rng.dirichlet(0.3 * np.array([0.35, 0.15, 0.04, 0.46]), PIXELS)
        truth = (rng.random(PIXELS)[:, None] > np.cumsum(parts, axis=1)[:, :3]).sum(axis=1)
        said = np.maximum(parts, 1e-9) ** 0.7
        said = np.round(100 * said / said.sum(axis=1, keepdims=True)) / 100
        hidden = rng.random(PIXELS) < 0.06
        said[hidden] = 0
        return cls(np.where(hidden, len(NAMES), said.argmax(axis=1)), truth, said)

    def truths(self) -> dict[tuple[str, str], float]:
        """True value by measure and class; areas in pixels."""
        mapped = self.shown < len(NAMES)
        out = {("overall", ""): float((self.shown == self.truth)[mapped].mean())}
        for k, name in enumerate(NAMES):
            shown, there = self.shown == k, self.truth == k
            both = (shown & there).sum()
            out["area", name] = float(there.sum())
            out["users", name] = both / shown.sum()
            out["producers", name] = both / there.sum()
            out["f1", name] = 2 * both / (shown.sum() + there.sum())
        return out

    def draw(self, rng: np.random.Generator, *, simple: bool) -> tuple[Sampled, list[ClassCovariate | None]]:
        """A sample with its answers, and what the map says of it."""
        of = [np.flatnonzero(self.shown == h) for h in range(len(LABELS))]
        if simple:
            chosen = rng.choice(PIXELS, sum(POINTS), replace=False)
        else:
            parts = [rng.choice(p, n, replace=False) for p, n in zip(of, POINTS, strict=True)]
            chosen = np.concatenate(parts)
        sizes = {name: (float(len(p)), float(len(p))) for name, p in zip(LABELS, of, strict=True)}
        units = tuple(
            SampledUnit(str(i), LABELS[self.shown[i]], LABELS[self.shown[i]], NAMES[self.truth[i]])
            for i in chosen.tolist()
        )
        strata = tuple(StratumSize(name, *size) for name, size in sizes.items())
        known: list[ClassCovariate | None] = [
            ClassCovariate(
                self.probabilities[chosen, k],
                {n: float(self.probabilities[p, k].sum()) for n, p in zip(LABELS, of, strict=True)},
            )
            for k in range(len(NAMES))
        ]
        return Sampled(simple, strata, sizes, NAMES, units, "pixels"), known


@dataclass
class Tally:
    """What many samples said of one figure."""

    hits: list[bool] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    se: list[float] = field(default_factory=list)

    def add(self, figure: Figure, truth: float) -> None:
        """Count one sample."""
        self.hits.append(figure.low <= truth <= figure.high)
        self.errors.append(figure.value - truth)
        self.se.append(figure.se)


def figures(found: Results) -> Iterator[tuple[Key, Figure | None, int]]:
    """Every figure of a report and the units that it rests on."""
    kinds = {"plain": found.plain, "post-stratified": found.post_stratified}
    for kind, accuracy in kinds.items():
        if accuracy is not None:
            yield from _of(kind, accuracy)
    for one, known in zip(found.plain.classes, found.assisted, strict=True):
        if known:
            yield ("model-assisted", "area", one.name), known.area, one.reference_units


def _of(kind: str, accuracy: Accuracy) -> Iterator[tuple[Key, Figure | None, int]]:
    yield (kind, "overall", ""), accuracy.overall, accuracy.units
    for one in accuracy.classes:
        yield (kind, "area", one.name), one.area, one.reference_units
        yield (kind, "users", one.name), one.users, one.mapped_units
        yield (kind, "producers", one.name), one.producers, one.reference_units
        yield (kind, "f1", one.name), one.f1, one.reference_units


def tally(place: Place, samples: int, *, simple: bool) -> dict[Key, Tally]:
    """Draw and estimate again and again."""
    rng, truths = np.random.default_rng(1), place.truths()
    out: dict[Key, Tally] = defaultdict(Tally)
    for _ in range(samples):
        sampled, known = place.draw(rng, simple=simple)
        for key, figure, units in figures(results(sampled, known)):
            if figure and units >= FEW_UNITS:
                flagged = ", few omissions" if figure.few_omissions else ""
                out[f"{key[0]}{flagged}", key[1], key[2]].add(figure, truths[key[1:]])
    return out


def lines(title: str, found: dict[Key, Tally], samples: int, base: dict[Key, Tally]) -> Iterator[str]:
    """A table: coverage, mean standard error, true one, and the width beside a plain simple random sample."""
    yield f"{title}, {samples:,} samples of {sum(POINTS)} points"
    yield f"{'':<42} {'samples':>8} {'held':>6} {'se':>10} {'true se':>10} {'width':>7}"
    for key, one in found.items():
        if len(one.hits) < samples / 10:
            continue
        simple = base.get(("plain", *key[1:]))
        width = f"{np.mean(one.se) / np.mean(simple.se):>7.2f}" if simple and simple.se else ""
        true = np.sqrt(np.mean(np.square(one.errors)))
        held = f"{len(one.hits):>8,} {np.mean(one.hits):>6.3f}"
        yield f"{' '.join(key):<42} {held} {_short(np.mean(one.se))} {_short(true)} {width}"


def _short(value: Any) -> str:
    return f"{value:>10,.0f}" if value >= 10 else f"{value:>10.4f}"


def main() -> None:
    """Print how often intervals hold the truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000, help="samples of each design [2000]")
    samples = parser.parse_args().samples
    place = Place.made(0)
    base = tally(place, samples, simple=True)
    print(f"The map is right in {place.truths()['overall', '']:.1%} of the pixels that it shows.")
    for line in lines("Stratified by class", tally(place, samples, simple=False), samples, base):
        print(line)
    for line in lines("Simple random", base, samples, base):
        print(line)


if __name__ == "__main__":
    main()
