"""How often 95 % intervals of areas and accuracy hold the truth, and how wide they are, over many samples.

    python -m benchmarks.assessment made                          # a made map of 400,000 pixels
    python -m benchmarks.assessment demo [--run build/demo]       # the demo: simulated scenes
    python -m benchmarks.assessment real [--run build/real_map]   # painted fields of real pixels

Each design of `cropmap assess design` is drawn again and again from a map whose truth is known at every
pixel, answered by SIMULATED interpreters who say that truth, and estimated; one sample goes the whole way
through design, answer sheets and report. Exits with 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.accuracy import Accuracy
from assessment.estimation.intervals import FEW_UNITS, Figure
from assessment.report.results import Results, results
from assessment.sample.request import DesignRequest
from benchmarks.known_maps import KnownDesign, KnownMap, demo_map, made_map, real_map, whole_way
from gee_pipeline.errors import CropmapError

POINTS: Final = 600
SIMPLE: Final = "simple random"
STRATIFIED: Final = ("strata: classes", "strata: confidence")
DESIGNS: Final[Mapping[str, dict[str, Any]]] = {
    SIMPLE: {"strata": "none"},
    STRATIFIED[0]: {},
    STRATIFIED[1]: {"strata": "confidence"},
    "blocks of 30 m, all pixels": {"strata": "none", "blocks": 30.0, "blocks_drawn": 66},
    "blocks of 100 m, two stages": {"strata": "none", "blocks": 100.0, "blocks_drawn": 60},
}
ASSISTED: Final = "model-assisted"
BY_STRATA: Final = "area, limits of strata"
"""The area with the interval from limits of each stratum (`assessment.estimation.mover`)."""

HELD: Final = (0.93, 0.97)
"""Share of the samples whose interval holds the truth."""
WIDER: Final = 1.02
"""Most that a standard error with the map's help may be of that without it, in any sample."""
NARROWER: Final = 0.70
"""Most that it may be of that of a simple random sample of as many points, on average."""

Key = tuple[str, str, str]
"""Estimator, measure, class."""
Row = tuple[float, ...]
"""Of one sample: value, low, high, standard error, that without the map, units, and the gain that the
correlation within the strata lets expect."""


@dataclass(frozen=True)
class Tally:
    """What many samples said of one figure."""

    truth: float
    """Its true value."""
    rows: NDArray[np.float64]
    """`(sample, 7)`: as `Row`."""

    @property
    def held(self) -> float:
        """Share of the samples whose interval holds the truth."""
        return float(((self.rows[:, 1] <= self.truth) & (self.truth <= self.rows[:, 2])).mean())

    @property
    def error(self) -> float:
        """Root mean square error: the true standard error, and bias where there is any."""
        return float(np.sqrt(np.mean((self.rows[:, 0] - self.truth) ** 2)))

    @property
    def se(self) -> float:
        """Mean standard error."""
        return float(self.rows[:, 3].mean())

    @property
    def width(self) -> float:
        """Mean width of the interval."""
        return float((self.rows[:, 2] - self.rows[:, 1]).mean())

    @property
    def widest(self) -> float:
        """Largest standard error beside that without the map, of any sample."""
        return float(np.max(self.rows[:, 3] / np.maximum(self.rows[:, 4], 1e-300)))

    @property
    def gain(self) -> float:
        """Part of the standard error that the map saves, on average."""
        return float(1 - self.rows[:, 3].mean() / self.rows[:, 4].mean())

    @property
    def expected_gain(self) -> float:
        """That which the correlation of truth and probability within the strata predicts."""
        return float(self.rows[:, 6].mean())

    @property
    def units(self) -> float:
        """Mean number of units that it rests on."""
        return float(self.rows[:, 5].mean())

    @property
    def degrees(self) -> float:
        """Degrees of freedom with which its standard error is known, 1 / (2 cv^2).

        A figure of 50 units of which three light ones and one heavy one are wrong has hardly any.
        """
        spread = float(self.rows[:, 3].std())
        return self.se**2 / (2 * spread**2) if spread > 0 else np.inf

    @property
    def limited(self) -> bool:
        """Whether it has to keep the limits: it has units enough, and a standard error as of so many."""
        return min(self.units, self.degrees) >= FEW_UNITS


Found = dict[str, dict[Key, Tally]]
"""By design and figure."""


def rows_of(found: Results) -> Iterator[tuple[Key, Row]]:
    """What is counted of the report of one sample."""
    for kind, accuracy in {"plain": found.plain, "post-stratified": found.post_stratified}.items():
        for measure, name, figure, units in () if accuracy is None else _figures(accuracy):
            if figure:
                yield (kind, measure, name), _row(figure, units, figure.se)
    for one, known in zip(found.plain.classes, found.assisted, strict=True):
        if known and one.area:
            row = _row(known.area, one.reference_units, one.area.se, known.expected_gain)
            yield (ASSISTED, "area", one.name), row


def _figures(accuracy: Accuracy) -> Iterator[tuple[str, str, Figure | None, int]]:
    """Measure, class, figure and the units that it rests on."""
    yield "overall", "", accuracy.overall, accuracy.units
    for one in accuracy.classes:
        yield "area", one.name, one.area, one.reference_units
        if one.area and one.area.mover:
            low, high = one.area.mover
            yield BY_STRATA, one.name, replace(one.area, low=low, high=high), one.reference_units
        yield "users", one.name, one.users, one.mapped_units
        yield "producers", one.name, one.producers, one.reference_units
        yield "f1", one.name, one.f1, one.reference_units


def _row(figure: Figure, units: int, without: float, expected: float = 0.0) -> Row:
    return figure.value, figure.low, figure.high, figure.se, without, float(units), expected


def draw_many(design: KnownDesign, seeds: range) -> dict[Key, list[Row]]:
    """Draw, answer and estimate again and again."""
    out: dict[Key, list[Row]] = defaultdict(list)
    for seed in seeds:
        for key, row in rows_of(results(*design.sample(seed))):
            out[key].append(row)
    return dict(out)


def tally(design: KnownDesign, samples: int, pool: ProcessPoolExecutor) -> dict[Key, Tally]:
    """All samples of a design, on two processes."""
    truths = design.place.truths()
    halves = list(pool.map(draw_many, [design] * 2, [range(first, samples, 2) for first in range(2)]))
    truths |= {(BY_STRATA, name): truth for (measure, name), truth in truths.items() if measure == "area"}
    keys = dict.fromkeys(key for half in halves for key in half if key[1:] in truths)
    rows = {key: [row for half in halves for row in half.get(key, ())] for key in keys}
    return {key: Tally(truths[key[1:]], np.array(found)) for key, found in rows.items()}


def lines(title: str, found: Mapping[Key, Tally], simple: Mapping[Key, Tally]) -> Iterator[str]:
    """The table of a design; widths are beside the plain estimator of a simple random sample, those by limits
    of strata beside the normal interval of the same figure."""
    head = ("samples", "units", "degrees", "held", "se", "true se", "width", "gain", "expected")
    yield f"{title:<40}" + "".join(f"{name:>10}" for name in head)
    for key, one in found.items():
        base = simple.get(("plain", *key[1:]))
        if key[1] == BY_STRATA:
            width = f"{one.width / found[key[0], 'area', key[2]].width:.2f}"
        else:
            width = f"{one.se / base.se:.2f}" if base and base.se else ""
        gains = (f"{one.gain:.3f}", f"{one.expected_gain:.3f}") if key[0] == ASSISTED else ("", "")
        figures = (
            f"{one.units:.0f}",
            f"{min(one.degrees, 9999):.0f}",
            f"{one.held:.3f}",
            _short(one.se),
            _short(one.error),
            width,
            *gains,
        )
        yield f"{_name(key):<40}{len(one.rows):>10,}" + "".join(f"{v:>10}" for v in figures) + _note(one)


def _name(key: Key) -> str:
    return " ".join(word for word in key if word)


def _short(value: float) -> str:
    return f"{value:,.1f}" if value >= 10 else f"{value:.4f}"


def _note(one: Tally) -> str:
    """Whether the limits are kept; brackets where they need not be."""
    if HELD[0] <= one.held <= HELD[1]:
        return ""
    return "  <<" if one.limited else "  (<<)"


def missed(found: Found) -> Iterator[str]:
    """Each limit that is not kept, in a sentence."""
    for design, tallies in found.items():
        for key, one in tallies.items():
            name = f"{design}: {_name(key)}"
            if one.limited and not HELD[0] <= one.held <= HELD[1]:
                yield f"{name} holds the truth in {one.held:.3f} of the samples, not {HELD[0]} to {HELD[1]}."
            if key[0] == ASSISTED and design in STRATIFIED:
                yield from _too_wide(name, one, found[SIMPLE]["plain", *key[1:]])


def _too_wide(name: str, one: Tally, simple: Tally) -> Iterator[str]:
    if one.widest > WIDER:
        yield f"{name} is {one.widest:.3f} times as wide as without the map in some sample, limit {WIDER}."
    if one.limited and one.se > NARROWER * simple.se:
        width = one.se / simple.se
        yield f"{name} is {width:.2f} times as wide as a simple random sample, limit {NARROWER:.2f}."


def measure(place: KnownMap, samples: int, points: int = POINTS) -> Found:
    """Every design; one sample of each goes the whole way and has to say the same.

    Args:
        place: The map and its truth.
        samples: Samples of each design.
        points: Points of each sample.
    """
    found: Found = {}
    with ProcessPoolExecutor(2) as pool, tempfile.TemporaryDirectory() as folder:
        for number, (name, words) in enumerate(DESIGNS.items()):
            design = KnownDesign.of(place, DesignRequest(place.place, points=points, **words))
            if list(rows_of(whole_way(design, Path(folder, str(number))))) != list(
                rows_of(results(*design.sample(0)))
            ):
                raise AssertionError(f"{name}: the report by way of files says something else")
            found[name] = tally(design, samples, pool)
            print(*lines(name, found[name], found[SIMPLE]), "", sep="\n", flush=True)
    return found


def main() -> int:
    """Print how often intervals hold the truth; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "map", choices=("made", "demo", "real"), nargs="?", default="made", help="which [made]"
    )
    parser.add_argument("--samples", type=int, default=2000, help="samples of each design [2000]")
    parser.add_argument("--run", type=Path, help="folder of the map [build/demo, build/real_map]")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            place = _open(chosen.map, chosen.run, Path(folder))
        except CropmapError as error:
            parser.error(str(error))
        except subprocess.CalledProcessError as error:
            return error.returncode  # the command has said on stderr what went wrong
        right = f"right in {place.truths()['overall', '']:.1%} of what it shows"
        print(f"{place.title}, {right}. SIMULATED interpreters, who say the truth; {POINTS} points a sample.")
        faults = list(missed(measure(place, chosen.samples)))
    print(*faults, sep="\n")
    return 1 if faults else 0


def _open(name: str, run: Path | None, work: Path) -> KnownMap:
    if name == "made":
        return made_map(work)
    return (
        demo_map(run or Path("build", "demo"))
        if name == "demo"
        else real_map(run or Path("build", "real_map"))
    )


if __name__ == "__main__":
    sys.exit(main())
