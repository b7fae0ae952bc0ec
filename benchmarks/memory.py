"""Peak memory of `cropmap predict` on a large area against a small one: it must not grow with the area.

    python -m benchmarks.memory --large 2048 --small 512

Runs the command itself, twice, on simulated scenes, with as many processes and threads for both, and samples
the resident memory of the command and all its worker processes. Added up are the peaks of the processes,
each at its own time: whether the few cells of the small area meet at their highest is chance. The network is
untrained and narrow, so that four million pixels take minutes; it makes the test harder, since what a network
takes is the same for both areas. Exits with 1 where the ratio is above the limit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation

LIMIT = 1.1
"""Greatest ratio of the two peaks."""

INTERVAL = 0.05
"""Seconds between two samples."""


@dataclass(frozen=True)
class Measured:
    """One run of the command."""

    size: int
    """Pixels along a side of the area."""
    peak: int
    """Bytes of resident memory of all its processes, each at its highest."""
    seconds: float
    """Wall time."""


def main(arguments: list[str] | None = None) -> int:
    """Measure both areas, print the ratio; 0 where it is within the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large", type=int, default=2048, help="pixels along a side [2048]")
    parser.add_argument("--small", type=int, default=512, help="pixels along a side [512]")
    parser.add_argument("--acquisitions", type=int, default=12, help="scenes over the season [12]")
    parser.add_argument("--workers", type=int, default=2, help="worker processes; 0 is one process [2]")
    parser.add_argument("--layers", default="", help="layers of the map in addition to the three [none]")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cropmap-memory-") as home:
        model = narrow_model(Path(home) / "narrow.safetensors")
        small, large = (
            measure(
                Path(home) / str(size), size, options.acquisitions, options.workers, model, options.layers
            )
            for size in (options.small, options.large)
        )
    ratio = large.peak / small.peak
    for run in (small, large):
        print(f"{run.size:>6} x {run.size:<6} {run.peak / 2**20:8,.0f} MiB  {run.seconds:7.1f} s")
    print(f"ratio of the peaks {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


def narrow_model(path: Path) -> Path:
    """A checkpoint with few weights that takes every pixel with a single observation."""
    torch.manual_seed(1)
    config = CropNetConfig("narrow", (4,), (2,), (0.0,), 10, 5)
    names = ("corn", "soybeans", "rice", "cotton", "other")
    checkpoint = Checkpoint(
        config=config,
        classes=tuple(CropClass(code, name, "#808080") for code, name in enumerate(names, start=1)),
        recipe=Recipe(min_clear_bins=1),
        normalisation=Normalisation((0.2,) * 10, (0.1,) * 10),
        weights=CropNet(config).state_dict(),
        provenance={"data": "nothing: its weights are random."},
    )
    save_checkpoint(path, checkpoint)
    return path


def measure(
    folder: Path, size: int, acquisitions: int, workers: int, model: Path, layers: str = ""
) -> Measured:
    """Run `cropmap predict` on simulated scenes and watch its memory."""
    generate = [sys.executable, "-m", "examples.simulated_scenes", str(folder), "--size", str(size)]
    subprocess.run([*generate, "--acquisitions", str(acquisitions)], check=True, stdout=subprocess.DEVNULL)
    command = [sys.executable, "-m", "cli.main", "predict", "--quiet", "--year", "2021"]
    command += ["--aoi", str(folder / "area.geojson"), "--source", str(folder / "catalog.json")]
    command += ["--model", str(model), "--out", str(folder / "run"), "--workers", str(workers)]
    command += ["--layers", layers] if layers else []
    start, peaks = time.monotonic(), dict[int, int]()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            for number, now in resident(watched).items():
                peaks[number] = max(peaks.get(number, 0), now)
            time.sleep(INTERVAL)
    if process.returncode:
        raise SystemExit(f"cropmap predict ended with {process.returncode} on {size} x {size} pixels.")
    return Measured(size, sum(peaks.values()), time.monotonic() - start)


def resident(process: psutil.Process) -> dict[int, int]:
    """Bytes of resident memory of a process and all below it, by number; without those that just ended."""
    found = {}
    with suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            found[one.pid] = one.memory_info().rss
    return found


if __name__ == "__main__":
    sys.exit(main())
