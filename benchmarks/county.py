"""A county on a laptop: the whole `cropmap predict`, from composites on disk to map and report.

    python -m benchmarks.county --size 2048 --model fast

Makes simulated scenes, has `cropmap export` write their composites, and then times `cropmap predict` in that
folder: start, reading of composites, network, predictions, mosaic, picture and report. Counted are pixels
that got a class. Exits with 1 where the rate is below the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import shapely
from shapely.geometry.base import BaseGeometry

LIMIT: Final = 25_000.0
"""Pixels per second that the model `fast` must reach on two cores."""


@dataclass(frozen=True)
class Timed:
    """One command."""

    seconds: float
    """Wall time."""
    processor: float
    """Seconds of processor time of the command and its workers; 0 on Windows, which does not say."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 where the rate is within the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=2_048, help="pixels along a side [2048]")
    parser.add_argument("--acquisitions", type=int, default=40, help="scenes over the season [40]")
    parser.add_argument("--model", default="fast", help="a model's file or name [fast]")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"pixels per second [{LIMIT:,.0f}]")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cropmap-county-") as home:
        folder = Path(home)
        make_composites(folder, options.size, options.acquisitions)
        timed = command(folder, "predict", "--model", options.model)
        pixels = mapped_pixels(folder)
    rate = pixels / timed.seconds
    print(
        f"{pixels:,} pixels of simulated scenes mapped with {options.model} in {timed.seconds:.1f} s "
        f"({timed.processor:.1f} s of processor time): {rate:,.0f} px/s, limit {options.limit:,.0f}"
    )
    return int(rate < options.limit)


def make_composites(folder: Path, size: int, acquisitions: int, area: BaseGeometry | None = None) -> None:
    """Simulated scenes, and the composites of an area in the folder's run.

    Args:
        folder: New or empty folder.
        size: Pixels along a side.
        acquisitions: Scenes over the season.
        area: Polygon in EPSG:4326, written as area.geojson; None takes all of the scenes.
    """
    generate = [sys.executable, "-m", "examples.simulated_scenes", str(folder), "--size", str(size)]
    subprocess.run([*generate, "--acquisitions", str(acquisitions)], check=True, stdout=subprocess.DEVNULL)
    if area is not None:
        (folder / "area.geojson").write_text(shapely.to_geojson(area), "utf-8")
    timed = command(folder, "export", "--clock", "solar")
    print(f"{size} x {size} px, {acquisitions} scenes: composites in {timed.seconds:.1f} s")


def command(folder: Path, name: str, *more: str) -> Timed:
    """Run a command of cropmap in the folder's run.

    Raises:
        SystemExit: It failed.
    """
    words = [sys.executable, "-m", "cli.main", name, "--quiet", "--year", "2021", *more]
    words += ["--aoi", str(folder / "area.geojson"), "--source", str(folder / "catalog.json")]
    before, start = os.times(), time.perf_counter()
    done = subprocess.run([*words, "--out", str(folder / "run")], stdout=subprocess.DEVNULL, check=False)
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"cropmap {name} ended with {done.returncode}.")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Timed(seconds, spent)


def mapped_pixels(folder: Path) -> int:
    """Pixels that the finished map gives a class."""
    report: dict[str, Any] = json.loads((folder / "run" / "map" / "report.json").read_text("utf-8"))
    return sum(one["pixels"] for one in report["classes"])


if __name__ == "__main__":
    sys.exit(main())
