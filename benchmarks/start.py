"""What `cropmap predict` on one cell takes until its first pixels have a class, and until its map is there.

    python -m benchmarks.start [--rounds 5] [--model fast]

Makes simulated scenes of one cell and counts the processor time of the command and of every process that it
starts, user and system: from composites on disk, and from scenes. The cell is answered when its prediction is
written. Exits with 1 where the median of the first is above the limit.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import pyproj
import shapely

from benchmarks.county import make_composites
from examples.simulated_scenes import CENTRE, CRS
from gee_pipeline.aoi import Aoi

LIMIT: Final = 4.0
"""Seconds of processor time until the first pixels of one cell have a class, from composites on disk."""

ACQUISITIONS: Final = 40
"""Scenes over the season."""

_INTERVAL: Final = 0.01
"""Seconds between two looks."""


@dataclass(frozen=True)
class Spent:
    """Seconds of processor time of one command."""

    answered: float
    """Until the prediction of its cell was there."""
    whole: float
    """Until it ended: with the map, its picture and report."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 where the limit holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts [5]")
    parser.add_argument("--model", default="fast", help="a model's file or name [fast]")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cropmap-start-") as home:
        folder = Path(home)
        one_cell(folder)
        rounds = [
            {"composites on disk": predicted(folder, options.model), "scenes": anew(folder, options.model)}
            for _ in range(options.rounds + 1)
        ][1:]  # the first one compiles
    answered = {}
    for name in rounds[0]:
        answered[name] = statistics.median(one[name].answered for one in rounds)
        whole = statistics.median(one[name].whole for one in rounds)
        print(f"from {name:<18} first pixels {answered[name]:5.2f} s, map and report {whole:5.2f} s")
    print(f"limit of the first pixels from composites on disk {LIMIT} s")
    return int(answered["composites on disk"] > LIMIT)


def one_cell(folder: Path) -> None:
    """Simulated scenes, an area within one cell of them, and its composite.

    Args:
        folder: New or empty folder.
    """
    east, north = CENTRE
    area = Aoi(shapely.box(east + 100, north + 100, east + 1_100, north + 1_100), pyproj.CRS(CRS)).lonlat
    make_composites(folder, 256, ACQUISITIONS, area)


def anew(folder: Path, model: str) -> Spent:
    """As `predicted`, from scenes."""
    composites = folder / "run" / "composites"
    composites.rename(folder / "kept")
    try:
        return predicted(folder, model)
    finally:
        shutil.rmtree(composites, ignore_errors=True)
        (folder / "kept").rename(composites)


def predicted(folder: Path, model: str) -> Spent:
    """Map the cell, and watch the processes.

    Raises:
        SystemExit: The command failed.
    """
    words = [sys.executable, "-m", "cli.main", "predict", "--quiet", "--year", "2021", "--model", model]
    words += ["--aoi", str(folder / "area.geojson"), "--source", str(folder / "catalog.json")]
    run = folder / "run"
    for name in ("predictions", "map"):
        shutil.rmtree(run / name, ignore_errors=True)
    (run / "ledger.jsonl").unlink(missing_ok=True)
    answered = whole = 0.0
    with psutil.Popen([*words, "--out", str(run)], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            whole = max(whole, processor_time(process))
            if not answered and any((run / "predictions").glob("*.tif")):
                answered = whole
            time.sleep(_INTERVAL)
    if process.returncode:
        raise SystemExit(f"cropmap predict ended with {process.returncode}.")
    return Spent(answered, whole)


def processor_time(process: psutil.Process) -> float:
    """Seconds of a process, of those below it, and of those of them that have ended."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


if __name__ == "__main__":
    sys.exit(main())
