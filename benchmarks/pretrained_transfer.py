"""Encoders that others trained, beside CropNet, on the real pixels (needs the real data and the weights).

    python -m benchmarks.pretrained_transfer --out DIRECTORY [--data DIRECTORY] [--weights DIRECTORY]
        [--epochs 10] [--seeds 3] [--cap 1500] [--preset small-32] [--models cropnet,presto]
        [--augmentations none,paper] [--directions arw-are,cal-ark] [--speed]

The directions of benchmarks/real_transfer.py. All models of a direction are trained on the same samples of
its source, drawn at random down to a cap, in the same folds, and tested on all samples of its target. The
weights are found by their checksum, whatever the files are called. Prints the table of
docs/foundation_models.md: seed by seed through all directions, so that an early stop leaves them comparable.
What is finished is kept: the same command continues. With --speed nothing is trained: parameters, and samples
and pixels a second on one thread.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from benchmarks.real_map import DATA
from benchmarks.real_transfer import ALL, Direction, by_method, names, protocol_of, spread, write_regions
from cli.commands.models.benchmark import describe
from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from inference.models.networks.normalisation import Normalisation
from training.models.features import features_of
from training.models.forest import Forest
from training.models.registry import MODELS
from training.pretrained.start import encoder_for, started, weights_of
from training.transfer.protocol import FILE, Protocol
from training.transfer.runner import Standing, run_benchmark

MODELS_HERE: Final = (
    "cropnet",
    "presto",
    "galileo-nano",
    "presto-frozen",
    "rf",
    "rf-on-presto",
    "rf-on-galileo-nano",
)

USED: Final = ("presto", "galileo-nano")
"""The weights that are compared, of those that lie in the folder."""

CLASSES: Final = 5
"""Of the models whose speed is measured."""

REPEATS: Final = 3
"""Times that a speed is measured; the best counts, since the machine may do other work."""


def main() -> None:
    """Train what is missing and print the tables."""
    parser = argparse.ArgumentParser(description="Encoders that others trained, on real pixels.")
    parser.add_argument("--data", type=Path, default=DATA / "usa-2021")
    parser.add_argument("--weights", type=Path, default=DATA.parent / "weights")
    parser.add_argument("--out", type=Path, required=True, help="folder for the benchmarks")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cap", type=int, default=1500, help="most samples of a source")
    parser.add_argument("--preset", default="small-32", help="size of the CropNets")
    parser.add_argument("--models", type=names, default=MODELS_HERE, help="names, with commas")
    parser.add_argument("--augmentations", type=names, default=("none", "paper"), help="names, with commas")
    parser.add_argument("--directions", type=names, default=tuple(ALL))
    parser.add_argument("--speed", action="store_true", help="measure speeds only")
    options = parser.parse_args()
    options.adaptations, options.precision = ("none",), "float32"
    files = weights_in(options.weights)
    if options.speed:
        print("\n".join(speeds(options.models, files, options.preset)))
        return
    whole = write_regions(options.data, options.out / "data")
    protocols = {
        name: protocol(ALL[name], capped(whole, ALL[name], options), files, options)
        for name in options.directions
    }
    for seeds in range(1, options.seeds + 1):
        for name, one in protocols.items():
            run_benchmark(replace(one, seeds=seeds), options.out / name, listen=listen).require_complete()
    for name in protocols:
        print("\n".join([f"\n**{ALL[name].title}**\n", *table(options.out / name / "results.csv")]))


def weights_in(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that are published weights of those compared."""
    found = {}
    for path in sorted(folder.glob("*.pt")):
        try:
            found[weights_of(path).name] = path
        except InputError:
            continue
    if missing := [name for name in USED if name not in found]:
        sys.exit(f"{folder} lacks the weights {', '.join(missing)}: fetch them with 'cropmap data weights'.")
    return tuple(found[name] for name in USED)


def capped(whole: Path, direction: Direction, options: argparse.Namespace) -> Path:
    """A folder with a part of a direction's source, and its whole targets."""
    folder: Path = options.out / "data" / f"{direction.name}-{options.cap}"
    folder.mkdir(exist_ok=True)
    for code in direction.targets:
        shutil.copy(whole / FILE.format(code), folder)
    with np.load(whole / FILE.format(direction.source)) as file:
        arrays = dict(file)
    samples = len(arrays["lon"])
    rows = np.sort(np.random.default_rng(0).permutation(samples)[: options.cap])
    np.savez_compressed(
        folder / FILE.format(direction.source), **{name: array[rows] for name, array in arrays.items()}
    )
    return folder


def protocol(
    direction: Direction, regions: Path, files: tuple[Path, ...], options: argparse.Namespace
) -> Protocol:
    """What is trained in a direction."""
    encoders = {MODELS[name].encoder for name in options.models}
    read = tuple(path for path in files if weights_of(path).encoder in encoders)
    return replace(protocol_of(direction, regions, options), pretrained=read, batch_size=options.batch_size)


def listen(standing: Standing) -> None:
    """One line for each training that ended."""
    if standing.record or standing.error:
        print(describe(standing), file=sys.stderr, flush=True)


def table(results: Path) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield "| model | augmentation | seeds | OA (%) | macro-F1 (%) | held-out macro-F1 in the source (%) |"
    yield "|---|---|--:|--:|--:|--:|"
    for (model, augmentation, _), rows in by_method(results).items():
        means = [spread(rows, name) for name in ("accuracy", "macro_f1", "held_out_macro_f1")]
        yield f"| {model} | {augmentation} | {len(rows)} | {' | '.join(means)} |"


def speeds(models: tuple[str, ...], files: tuple[Path, ...], preset: str) -> Iterator[str]:
    """The lines of a table of sizes and speeds in Markdown, on one thread."""
    torch.set_num_threads(1)
    yield "| model | trained parameters | all parameters | training, samples/s | prediction, px/s |"
    yield "|---|--:|--:|--:|--:|"
    for name in models:
        forest = MODELS[name].kind == "forest"
        yield _forest_speed(name, files) if forest else _network_speed(name, files, preset)


def _network_speed(name: str, files: tuple[Path, ...], preset: str) -> str:
    recipe = Recipe()
    built = MODELS[name].build(
        CLASSES, 10, 43, preset=preset, normalisation=Normalisation((0.2,) * 10, (0.1,) * 10)
    )
    assert isinstance(built, nn.Module)
    network = started(built, encoder_for(name, files))
    optimiser = torch.optim.Adam(network.parameters())
    batch, many = (torch.randn(size, 1, len(recipe.bands), len(recipe.window)) for size in (64, 256))

    def train() -> int:
        network.train()
        optimiser.zero_grad()
        network(batch).logsumexp(dim=1).sum().backward()
        optimiser.step()
        return len(batch)

    def predict() -> int:
        network.eval()
        with torch.inference_mode():
            network(many)
        return len(many)

    sizes = [p.numel() for p in network.parameters()]
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return f"| {name} | {trained:,} | {sum(sizes):,} | {rate(train):,.0f} | {rate(predict):,.0f} |"


def _forest_speed(name: str, files: tuple[Path, ...]) -> str:
    """Of 500 trees on 1,200 made series, embedded first where it is on embeddings."""
    rng = np.random.default_rng(0)
    series = rng.uniform(300, 4000, (1200, 10, 43)).astype(np.float32)
    labels = rng.integers(CLASSES, size=len(series))
    spec, pretrained = MODELS[name], encoder_for(name, files)
    forest = Forest(CLASSES, jobs=1)

    def features() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return features_of(spec, series, Recipe(), pretrained=pretrained)

    def train() -> int:
        forest.fit(features(), labels)
        return len(series)

    def predict() -> int:
        forest.predict(features())
        return len(series)

    return f"| {name} | | | {rate(train):,.0f} | {rate(predict):,.0f} |"


def rate(work: Callable[[], int]) -> float:
    """Things a second, by the best of some repeats after one to warm up."""
    work()
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        done = work()
        found.append(done / (time.perf_counter() - start))
    return max(found)


if __name__ == "__main__":
    main()
