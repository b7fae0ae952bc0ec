"""Composites on disk to classes: cropmap beside what one writes with other libraries, on one core.

    python -m benchmarks.peers [--model fast] [--size 256] [--rounds 3] [--limit 1.2]

All read the same made-up composite, fill its gaps and let the same network say the class of each pixel. The
others fill gaps with numpy and call the network as it is, 256 pixels at a time: in one piece read by
rioxarray, block by block by `map_blocks` of dask, and patch by patch by the grid sampler of torchgeo, where
it is installed, with the patches put together by hand. Counted is processor time. Exits with 1 where cropmap
is not the limit times as fast as each of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dask
import dask.array
import numpy as np
import rioxarray
import torch
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from benchmarks.model_input import RECIPE, SEASON, made_composite
from gee_pipeline import store
from gee_pipeline.bands import NODATA
from gee_pipeline.grid import Cell
from inference.models.checkpoint import load_checkpoint
from inference.models.predictor import Predictor
from inference.models.series import pixel_series
from inference.models.shipped import model_path

BATCH: Final = 256
"""Pixels that the others give the network at a time."""

PATCH: Final = 128
"""Pixels along a side of a block of dask and a patch of torchgeo."""

SAME: Final = 0.9999
"""Share of pixels that must get the same class: the others round differently."""

LIMIT: Final = 1.2
"""How many times as fast as each of the others cropmap has to be."""

OURS: Final = "cropmap"


@dataclass(frozen=True)
class Task:
    """What all of them do."""

    path: Path
    """The composite's file."""
    cell: Cell
    """Its pixels."""
    predictor: Predictor
    """The network as cropmap runs it."""
    network: torch.nn.Module
    """The network as it is."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 where cropmap is fast enough."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="fast", help="a model's file or name [fast]")
    parser.add_argument("--size", type=int, default=256, help="pixels along a side of the composite [256]")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions, of which the median counts [3]")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"times as fast as each [{LIMIT}]")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        task = make_task(Path(folder) / "cell.tif", options.size, options.model)
        seconds = measure(task, options.rounds)
    ours = seconds.pop(OURS)
    print(f"{OURS}, {options.model}: {options.size**2 / ours:,.0f} px/s a core")
    for name, each in seconds.items():
        print(f"{name}: {options.size**2 / each:,.0f} px/s a core, cropmap is {each / ours:.1f} x as fast")
    return int(any(each < options.limit * ours for each in seconds.values()))


def make_task(path: Path, size: int, model: str) -> Task:
    """A composite on disk and the network that maps it."""
    cell = Cell(0, 0, GeoBox.from_bbox((0, 0, size, size), "EPSG:32633", resolution=1))
    store.write_composite(path, made_composite(cell), RECIPE, SEASON, {})
    checkpoint = load_checkpoint(model_path(model))
    return Task(path, cell, Predictor(checkpoint, "cpu"), checkpoint.build())


def measure(task: Task, rounds: int) -> dict[str, float]:
    """Seconds of processor time by name, the median of interleaved rounds.

    Raises:
        AssertionError: One of them gives other classes.
    """
    ways: dict[str, Callable[[Task], NDArray[np.intp]]] = {
        OURS: by_cropmap,
        "rioxarray, numpy and plain torch": by_arrays,
        "dask map_blocks and plain torch": by_blocks,
    }
    if has_torchgeo():
        ways["torchgeo's grid sampler and plain torch"] = by_patches
    expected = by_cropmap(task)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            found = way(task)
            seconds[name].append(time.process_time() - start)
            assert (found == expected).mean() >= SAME, f"{name} gives other classes"
    return {name: statistics.median(each) for name, each in seconds.items()}


def by_cropmap(task: Task) -> NDArray[np.intp]:
    """What a worker does with a cell."""
    values = store.read_composite(task.path, task.cell, RECIPE, SEASON, RECIPE.window).values
    series = pixel_series(values, np.ones(task.cell.geobox.shape, np.bool_))
    indexes: NDArray[np.intp] = task.predictor.logits(series).argmax(axis=1)
    return indexes.reshape(task.cell.geobox.shape)


def by_arrays(task: Task) -> NDArray[np.intp]:
    """The whole raster at once."""
    with rioxarray.open_rasterio(task.path) as raster:
        return classes(raster.values, task)


def by_blocks(task: Task) -> NDArray[np.intp]:
    """Block by block, as dask hands them out."""
    with rioxarray.open_rasterio(task.path, chunks={"y": PATCH, "x": PATCH}) as raster:
        mapped = dask.array.map_blocks(classes, raster.data, task, drop_axis=0, dtype=np.intp)
        found: NDArray[np.intp] = mapped.compute(scheduler="synchronous")
    return found


def by_patches(task: Task) -> NDArray[np.intp]:
    """Patch by patch, as torchgeo's sampler asks for them, put where they belong."""
    from torchgeo.datasets import RasterDataset
    from torchgeo.samplers import GridGeoSampler

    dataset = RasterDataset(task.path)
    left, top = task.cell.geobox.boundingbox.left, task.cell.geobox.boundingbox.top
    found = np.empty(task.cell.geobox.shape, np.intp)
    side = min(PATCH, *found.shape)
    for query in GridGeoSampler(dataset, size=side, stride=side):
        x, y = round(query[0].start - left), round(top - query[1].stop)
        values = dataset[query]["image"].numpy()
        found[y : y + side, x : x + side] = classes(values.astype(np.int16), task)
    return found


def has_torchgeo() -> bool:
    """Whether torchgeo can be imported."""
    try:
        import torchgeo.samplers  # noqa: F401
    except (ImportError, RuntimeError):  # of a torchvision that was compiled for another torch
        return False
    return True


def classes(values: NDArray[np.int16], task: Task) -> NDArray[np.intp]:
    """Classes `(y, x)` of a raster `(bin and band, y, x)`, as one writes it without cropmap."""
    bands, (height, width) = len(RECIPE.bands), values.shape[1:]
    pixels = values.reshape(-1, bands, height * width).transpose(2, 1, 0)  # (pixel, band, bin)
    normalisation = task.predictor.checkpoint.normalisation
    mean, std = (np.array(each, np.float32)[:, None] for each in (normalisation.mean, normalisation.std))
    found = []
    with torch.inference_mode():
        for start in range(0, len(pixels), BATCH):
            x = (filled(pixels[start : start + BATCH]) / 10_000 - mean) / std
            found.append(task.network(torch.from_numpy(x.astype(np.float32))[:, None]).argmax(1).numpy())
    return np.concatenate(found).reshape(height, width)


def filled(series: NDArray[np.int16]) -> NDArray[np.float32]:
    """Gaps between observations on a line, those at the ends with the nearest, by indexes of numpy."""
    bins = np.arange(series.shape[2])
    seen = (series != NODATA).all(axis=1)
    left = np.maximum.accumulate(np.where(seen, bins, -1), axis=1)
    right = np.minimum.accumulate(np.where(seen, bins, len(bins))[:, ::-1], axis=1)[:, ::-1]
    left, right = np.where(left < 0, right, left), np.where(right == len(bins), left, right)
    share = ((bins - left) / np.maximum(right - left, 1)).astype(np.float32)[:, None]
    before, after = (
        np.take_along_axis(series, side[:, None], 2).astype(np.float32) for side in (left, right)
    )
    out: NDArray[Any] = before + (after - before) * share
    return out


if __name__ == "__main__":
    sys.exit(main())
