"""Whether the area of applicability tells where a model is wrong, on real places (needs the real data).

    python -m benchmarks.applicability [--model accurate|fast|wide|FILE] [--data DIRECTORY]

The model that ships knows Arkansas. Its answers are compared with labels on the blocks of Arkansas that did
not train it, on the same pixels thinned to the seven months of the Canadian series, in California and in
Canada. A group is the samples of a square; it is flagged where more than 60 % of them lie outside the area of
applicability. Limits: at least 80 % of the groups with an accuracy below 0.8 are flagged, at most 10 % of
those above 0.9. Beside them, how well dissimilarity and confidence each tell a right class from a wrong one,
as the area under the ROC curve: 0.5 is chance.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.real_map import DATA
from gee_pipeline.bands import NODATA
from gee_pipeline.layers import AT_LIMIT
from inference.models.checkpoint import Checkpoint, load_checkpoint
from inference.models.predictor import Predictor
from inference.models.shipped import SHIPPED, model_path
from training.fit.split import in_blocks
from training.samples.crops import NAMES, OTHER

FEWEST: Final = 25
"""Samples of a group: with fewer its accuracy is chance."""

FLAGGED: Final = 0.6
"""Share of a group outside the area of applicability above which it is flagged."""

LOW, HIGH = 0.8, 0.9
"""Accuracies below which a group should be flagged, and above which not."""


@dataclass(frozen=True)
class Place:
    """Labelled series of one region."""

    name: str
    series: NDArray[np.int16]
    """`(sample, band, bin)` of the year, gaps nodata."""
    labels: NDArray[np.int64]
    """Of CropGlobe."""
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    side: float
    """Degrees of the squares that are groups."""
    least: int
    """Observed bins in the window that a series has."""


@dataclass(frozen=True)
class Group:
    """Samples of one square."""

    place: str
    samples: int
    accuracy: float
    outside: float
    """Share outside the area of applicability."""


@dataclass(frozen=True)
class Answers:
    """What the model says in one region."""

    place: str
    right: NDArray[np.bool_]
    dissimilarity: NDArray[np.float64]
    confidence: NDArray[np.float64]
    groups: tuple[Group, ...]

    @property
    def told(self) -> tuple[float, float]:
        """Areas under the ROC curves of dissimilarity and of confidence."""
        return (
            float(roc_auc_score(~self.right, self.dissimilarity)),
            float(roc_auc_score(self.right, self.confidence)),
        )


def main() -> None:
    """Print the table; exit with 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="The area of applicability on real places.")
    parser.add_argument("--model", default="accurate", help="a model that ships, or a file")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--keep", type=Path, help="JSON file that the squares of the model are added to")
    options = parser.parse_args()
    if not (options.data / "worldcereal").is_dir():
        sys.exit(f"The real data are expected in {options.data}.")
    model = load_checkpoint(model_path(options.model if options.model in SHIPPED else Path(options.model)))
    found = [answers_in(model, place) for place in places(options.data, model)]
    for line in table(found):
        print(line)
    if options.keep:
        keep(options.keep, model, found)
    sys.exit(0 if within_limits([group for one in found for group in one.groups]) else 1)


def keep(path: Path, model: Checkpoint, found: list[Answers]) -> None:
    """Add the squares to those by which `cropmap advise` says what to expect; thinned ones are left out."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known[model.digest] = [
        {
            "place": group.place,
            "samples": group.samples,
            "outside": round(group.outside, 3),
            "accuracy": round(group.accuracy, 3),
        }
        for one in found
        if "seven bins" not in one.place
        for group in one.groups
    ]
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def places(data: Path, model: Checkpoint) -> Iterator[Place]:
    """The regions; of Arkansas the blocks that did not train."""
    arkansas = _read(data / "usa-2021/median_S2_ARK_month1-12_day5.npz", "Arkansas, held out", 0.25, 8)
    california = _read(data / "usa-2021/median_S2_CAL_month1-12_day5.npz", "California", 0.25, 8)
    canada = _read(data / "worldcereal/canada_cropglobe_like.npz", "Canada 2017", 2.0, 6)
    kept = in_blocks(arkansas, model.provenance["split"])  # type: ignore[arg-type]  # it has lon and lat
    held_out = _take(arkansas, kept)
    yield held_out
    yield thinned(held_out, np.flatnonzero((canada.series[:, 0] != NODATA).any(axis=0)))
    yield california
    yield canada


def thinned(place: Place, bins: NDArray[np.intp]) -> Place:
    """The same samples with one observation near each of some bins, and none besides."""
    series = np.full_like(place.series, NODATA)
    last = place.series.shape[2] - 1
    for at in bins:
        for away in (0, 1, -1, 2, -2, 3, -3):
            near = place.series[:, :, min(max(at + away, 0), last)]
            empty = series[:, 0, at] == NODATA
            series[empty, :, at] = near[empty]
    return Place(f"{place.name}, seven bins", series, place.labels, place.lon, place.lat, place.side, 6)


def answers_in(model: Checkpoint, place: Place) -> Answers:
    """What a model says of a region, and of its squares with enough samples."""
    window, names = model.recipe.window, [crop.name for crop in model.classes]
    series = place.series[:, :, window.start : window.stop]
    known = (series[:, 0] != NODATA).sum(axis=1) >= place.least
    applicability = model.applicability
    if applicability is None:
        sys.exit("The model does not say where it is applicable.")
    said = Predictor(model, "cpu").probabilities(series[known])
    far = applicability.dissimilarity(said)
    outside = applicability.layer(said) > AT_LIMIT
    meant = [name if name in names else OTHER for name in NAMES]
    truth = np.array([names.index(meant[label]) for label in place.labels])
    right = said.argmax(axis=1) == truth[known]
    squares = np.floor(np.stack([place.lon, place.lat])[:, known] / place.side).astype(int)
    _, index = np.unique(squares, axis=1, return_inverse=True)
    squares_of = (index.ravel() == group for group in range(index.max() + 1))
    groups = tuple(
        Group(place.name, int(here.sum()), float(right[here].mean()), float(outside[here].mean()))
        for here in squares_of
        if here.sum() >= FEWEST
    )
    return Answers(place.name, right, far, said.max(axis=1), groups)


def table(found: list[Answers]) -> Iterator[str]:
    """What is found by region, and how many groups are flagged."""
    yield "| region | samples | accuracy | outside | groups | flagged | by dissimilarity | by confidence |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for one in found:
        sizes = np.array([group.samples for group in one.groups])
        outside = float(np.average([group.outside for group in one.groups], weights=sizes))
        flagged = sum(group.outside > FLAGGED for group in one.groups)
        far, sure = one.told
        yield (
            f"| {one.place} | {len(one.right):,} | {one.right.mean():.3f} | {outside:.1%} | {len(sizes)} | "
            f"{flagged} | {far:.2f} | {sure:.2f} |"
        )
    low, high = flags([group for one in found for group in one.groups])
    yield ""
    yield f"accuracy below {LOW}: {sum(low)} of {len(low)} groups flagged (at least 80 %)"
    yield f"accuracy above {HIGH}: {sum(high)} of {len(high)} groups flagged (at most 10 %)"


def flags(groups: list[Group]) -> tuple[list[bool], list[bool]]:
    """Which groups are flagged, of those with a low and of those with a high accuracy."""
    low = [group.outside > FLAGGED for group in groups if group.accuracy < LOW]
    high = [group.outside > FLAGGED for group in groups if group.accuracy > HIGH]
    return low, high


def within_limits(groups: list[Group]) -> bool:
    """Whether enough of the wrong groups are flagged, and few of the right ones."""
    low, high = flags(groups)
    return sum(low) >= 0.8 * len(low) and sum(high) <= 0.1 * len(high)


def _read(path: Path, name: str, side: float, least: int) -> Place:
    with np.load(path) as file:
        series = file["fea"].astype(np.int16)
        if "observed" in file:
            series = np.where(file["observed"][:, None], series, np.int16(NODATA))
        return Place(name, series, file["lbl"].astype(np.int64), file["lon"], file["lat"], side, least)


def _take(place: Place, which: NDArray[np.bool_]) -> Place:
    parts = (getattr(place, key)[which] for key in ("series", "labels", "lon", "lat"))
    return Place(place.name, *parts, place.side, place.least)


if __name__ == "__main__":
    main()
