"""From a stored composite to the network's input: reading, filling of gaps and scaling, on one core.

    python -m benchmarks.model_input [--size 256] [--rounds 7] [--limit 400000]

The composite is made up: parcels with noise, ten bands, 43 bins, clouds over half of them. It is read by GDAL
alone, and by what is installed (the extra `fast`); both must give the same values. Then its pixels become
what a network takes, batch by batch. Counted is processor time. Exits with 1 where the whole is below the
limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline import store
from gee_pipeline.bands import BANDS, NODATA
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from gee_pipeline.source import Composite, SceneCounts
from inference.models.networks.normalisation import Normalisation
from inference.models.predictor import CPU_BATCH
from inference.models.series import model_input, pixel_series

LIMIT: Final = 400_000.0
"""Pixels per second of processor time, from the file to the network's input."""

RECIPE: Final = Recipe()
SEASON: Final = Season(2021, date(2021, 1, 1))
NORMALISATION: Final = Normalisation((0.2,) * len(BANDS), (0.1,) * len(BANDS))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 where the rate is within the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="pixels along a side of the cell [256]")
    parser.add_argument("--rounds", type=int, default=7, help="repetitions, of which the median counts [7]")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"pixels per second [{LIMIT:,.0f}]")
    options = parser.parse_args(arguments)
    cell = Cell(0, 0, GeoBox.from_bbox((0, 0, options.size, options.size), "EPSG:32633", resolution=1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.tif"
        store.write_composite(path, made_composite(cell), RECIPE, SEASON, {})
        seconds = measure(path, cell, options.rounds)
    rate = report(seconds, options.size**2, options.limit)
    return int(rate < options.limit)


def made_composite(cell: Cell, seed: int = 0) -> Composite:
    """Parcels of 16 px with a season each, noise of 0.003, clouds of 16 px over half of the bins."""
    rng, (height, width) = np.random.default_rng(seed), cell.geobox.shape
    bins, parcels = len(RECIPE.window), (-(-height // 16), -(-width // 16))
    season = rng.integers(200, 4_000, (bins, len(BANDS), *parcels)).repeat(16, 2).repeat(16, 3)
    values = season[:, :, :height, :width] + rng.normal(0, 30, (bins, len(BANDS), height, width))
    cloudy = (rng.random((bins, 1, *parcels)) < 0.5).repeat(16, 2).repeat(16, 3)[:, :, :height, :width]
    cloudy[0] = False
    medians = np.where(cloudy, NODATA, values).astype(np.int16)
    return Composite(medians, cell.geobox, RECIPE.window, RECIPE.bands, SceneCounts())


def measure(path: Path, cell: Cell, rounds: int) -> dict[str, float]:
    """Seconds of processor time by stage, the median of interleaved rounds.

    Raises:
        AssertionError: The two ways of reading give other values.
    """

    def read() -> NDArray[np.int16]:
        return store.read_composite(path, cell, RECIPE, SEASON, RECIPE.window).values

    def read_by_gdal() -> NDArray[np.int16]:
        with patch.object(store, "read_bands", lambda *_: None):
            return read()

    values = read()
    np.testing.assert_array_equal(values, read_by_gdal())
    stages: dict[str, Callable[[], Any]] = {
        "read by GDAL": read_by_gdal,
        "read by what is installed": read,
        "fill gaps and scale": lambda: network_input(values),
    }
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    network_input(values)  # compiles
    for _ in range(rounds):
        for name, stage in stages.items():
            start = time.process_time()
            stage()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}


def network_input(values: NDArray[np.int16]) -> None:
    """What a worker does with a composite before the network sees it, batch by batch."""
    series = pixel_series(values, np.ones(values.shape[2:], np.bool_))
    for start in range(0, len(series), CPU_BATCH):
        model_input(series[start : start + CPU_BATCH], NORMALISATION, RECIPE)


def report(seconds: dict[str, float], pixels: int, limit: float) -> float:
    """Print the stages; returns pixels per second of the way from the file to the network."""
    for name, each in seconds.items():
        print(f"{name}: {pixels / each:,.0f} px/s a core")
    whole = seconds["read by what is installed"] + seconds["fill gaps and scale"]
    rate = pixels / whole
    print(f"from the file to the network's input: {rate:,.0f} px/s a core, limit {limit:,.0f}")
    return rate


if __name__ == "__main__":
    sys.exit(main())
