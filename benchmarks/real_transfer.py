"""The transfer benchmark on the real pixels of Arkansas and California (needs the real data).

    python -m benchmarks.real_transfer --out DIRECTORY [--data DIRECTORY] [--epochs 10] [--seeds 3]
        [--preset small-32] [--models cropnet] [--augmentations none,paper,code,code-days]
        [--adaptations none,mmd,class-mmd,teacher,ghca,ghca-class] [--directions cal-ark,ark-can]

Three directions, each with CropNet on the matrix and on the flat series under every augmentation, and both
forests. Arkansas is also halved at 90.7 degrees west, without the samples within a kilometre of the line. The
table on stdout is that of docs/transfer_usa_2021.md. A fourth direction, to Canada in 2017 by months, runs
where it is named. With adaptations, networks see each target without its labels; the table is that of
docs/adaptation.md. What is finished is kept: the same command continues.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from benchmarks.real_map import CLASSES, DATA
from cli.commands.models.benchmark import describe
from training.transfer.protocol import FILE, Protocol
from training.transfer.tables import percent

BORDER, STRIP = -90.7, 0.01
"""Degrees: where Arkansas is cut, and how far from there samples are left out."""

RICE = ("rice", "other")

AUGMENTATIONS = ("none", "paper", "code", "code-days")


@dataclass(frozen=True)
class Direction:
    """The source and the test regions."""

    title: str
    """Heading of the table."""
    source: str
    """Code of the region that trains."""
    classes: tuple[str, ...]
    """Classes of the models."""
    targets: tuple[str, ...]
    """Test regions."""
    told_apart: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Region -> the classes that its test distinguishes."""
    min_clear_bins: int | None = None
    """Fewest observed bins of a series; None is the recipe's."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return "-".join((self.source, *self.targets)).lower()


DIRECTIONS = (
    Direction("Arkansas to California, rice against other", "ARK", CLASSES, ("CAL",), {"CAL": RICE}),
    Direction("California to Arkansas, rice against other", "CAL", RICE, ("ARK",)),
    Direction("Arkansas, west to east, five classes", "ARW", CLASSES, ("ARE",)),
)

CANADA = Direction(
    "Arkansas to Canada 2017 by months, corn, soybeans and other",
    "ARK",
    CLASSES,
    ("CAN",),
    {"CAN": ("corn", "soybeans", "other")},
    min_clear_bins=6,
)
"""Seven bins of the window have a month each: fewer than a recipe asks for otherwise."""

ALL = {one.name: one for one in (*DIRECTIONS, CANADA)}


def main() -> None:
    """Train what is missing and print the tables."""
    parser = argparse.ArgumentParser(description="The transfer benchmark on real pixels.")
    parser.add_argument("--data", type=Path, default=DATA / "usa-2021")
    parser.add_argument("--out", type=Path, required=True, help="folder for the benchmarks")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="compact", help="size of the CropNets")
    parser.add_argument("--models", type=names, default=Protocol.models, help="names, with commas")
    parser.add_argument("--augmentations", type=names, default=AUGMENTATIONS, help="names, with commas")
    parser.add_argument("--adaptations", type=names, default=("none",), help="names, with commas")
    parser.add_argument("--directions", type=names, default=[one.name for one in DIRECTIONS])
    parser.add_argument("--precision", default="mixed", help="auto, float32 or mixed (default)")
    options = parser.parse_args()
    if not (options.data / FILE.format("ARK")).is_file():
        sys.exit(f"The real data are expected in {options.data}, which has no {FILE.format('ARK')}.")
    regions = write_regions(options.data, options.out / "data")
    for direction in (ALL[name] for name in options.directions):
        protocol = protocol_of(direction, regions, options)
        print("\n".join([f"\n**{direction.title}**\n", *table(protocol, options.out / direction.name)]))


def names(text: str) -> tuple[str, ...]:
    """Names that are separated by commas."""
    return tuple(text.split(","))


def write_regions(data: Path, folder: Path) -> Path:
    """A folder with Arkansas, its halves and California."""
    folder.mkdir(parents=True, exist_ok=True)
    for code in ("ARK", "CAL"):
        shutil.copy(data / FILE.format(code), folder)
    with np.load(folder / FILE.format("ARK")) as file:
        whole = dict(file)
    halves = {"ARW": whole["lon"] < BORDER - STRIP, "ARE": whole["lon"] >= BORDER + STRIP}
    for code, half in halves.items():
        np.savez_compressed(
            folder / FILE.format(code), **{name: array[half] for name, array in whole.items()}
        )
    if (canada := data.parent / "worldcereal" / "canada_cropglobe_like.npz").is_file():
        shutil.copy(canada, folder / FILE.format("CAN"))
    return folder


def protocol_of(direction: Direction, regions: Path, options: argparse.Namespace) -> Protocol:
    """What is trained in a direction, at the size of two cores."""
    return Protocol(
        data=regions,
        source=direction.source,
        targets=direction.targets,
        classes=direction.classes,
        target_classes=direction.told_apart,
        models=options.models,
        augmentations=options.augmentations,
        adaptations=options.adaptations,
        min_clear_bins=direction.min_clear_bins,
        seeds=options.seeds,
        preset=options.preset,
        epochs=options.epochs,
        batch_size=64,
        learning_rate=1e-3,
        schedule="cosine",
        block_size=0.1,
        precision=options.precision,
    )


def table(protocol: Protocol, out: Path) -> Iterator[str]:
    """The lines of a table in Markdown, after training what is missing."""
    from training.transfer.runner import Standing, run_benchmark

    def listen(standing: Standing) -> None:
        if standing.record or standing.error:
            print(describe(standing), file=sys.stderr)

    summary = run_benchmark(protocol, out, listen=listen)
    summary.require_complete()
    trainings = by_method(out / "results.csv")
    figures = "OA (%) | macro-F1 (%) | held-out macro-F1 in the source (%) | minutes |"
    yield f"| model | augmentation | adaptation | {figures}"
    yield "|---|---|---|--:|--:|--:|--:|"
    for method, rows in trainings.items():
        means = [spread(rows, name) for name in ("accuracy", "macro_f1", "held_out_macro_f1")]
        minutes = f"{mean(float(row['seconds']) for row in rows) / 60:.1f}"
        yield f"| {' | '.join((*method, *means, minutes))} |"


def by_method(path: Path) -> dict[tuple[str, str, str], list[dict[str, str]]]:
    """Model, augmentation and adaptation -> the lines of its trainings."""
    found: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["model"], row["augmentation"], row["adaptation"]), []).append(row)
    return found


def spread(rows: list[dict[str, str]], name: str) -> str:
    """Mean and standard deviation of a column over the seeds, as a text in percent."""
    values = [float(row[name]) for row in rows]
    return percent(mean(values), stdev(values) if len(values) > 1 else None)


if __name__ == "__main__":
    main()
