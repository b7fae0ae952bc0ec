"""Speed of the training input compared with a per-sample loop in Python, alone and in front of a network.

    python -m benchmarks.training [--batch 256] [--network compact] [--seconds 60] [--device cpu]

Both make the model's input from the same series with gaps, by the same augmentation with draws of their own;
the loop does for each sample what a first version would: fill, move and stretch by `numpy.interp`, warp by
scipy's `CubicSpline`. First the inputs alone and then the network's work run in interleaved rounds, so that a
busy machine slows them alike. On a CPU the time is processor time on one thread, on a GPU it is wall time
until the GPU is done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor, nn

from gee_pipeline.bands import NODATA
from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import PRESETS, CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.series import scaling
from training.fit.augment import Augmentation
from training.fit.batches import BatchMaker
from training.fit.options import TrainingOptions
from training.fit.resample import Moves

CLASSES = 7
RECIPE = Recipe()
NORMALISATION = Normalisation((0.2,) * len(RECIPE.bands), (0.1,) * len(RECIPE.bands))

MEASURED = ("paper", "code")
"""Presets of the augmentation."""
INPUTS, STEPS = ("plain", "batch", "loop"), ("forward", "train batch", "train loop", "train mixed")
"""Work that takes turns."""

REQUIRED_INPUT = 5.0
"""How many times as fast as the loop the input alone has to be, on a CPU."""
MOST_OF_FORWARD = 1.0
"""The augmentation may cost this share of the network's forward pass."""


@dataclass(frozen=True)
class Change:
    """What happens to one sample."""

    start: int
    """Days by which the window's start moves."""
    end: int
    """Days by which its end moves."""
    knots: NDArray[np.float64] | None
    """Values of the curve at its knots; None where it is not warped."""


@dataclass
class Contender:
    """One piece of work and its time in each round."""

    name: str
    work: Callable[[], object]
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Print the tables; exit with 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="Training input against a per-sample loop in Python.")
    parser.add_argument("--batch", type=int, default=256, help="samples of a batch (default 256)")
    parser.add_argument("--network", choices=PRESETS, default="compact", help="CropNet preset (compact)")
    parser.add_argument("--seconds", type=float, default=60, help="time of a preset (default 60)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    met = [measure(preset, options.network, options.batch, options.seconds, device) for preset in MEASURED]
    sys.exit(0 if all(met) else 1)


def measure(preset: str, network: str, batch: int, seconds: float, device: torch.device) -> bool:
    """Print the table of a preset; whether its limits are met."""
    contenders = make_contenders(preset, network, batch, device)
    for names in (INPUTS, STEPS):
        run_rounds([contenders[name] for name in names], seconds / 2, device)
    times = {name: median(one.seconds) for name, one in contenders.items()}
    rounds = len(contenders["forward"].seconds)
    print(f"\n{preset}: batch {batch}, CropNet {network}, {device}, {rounds} rounds")
    for name, one in contenders.items():
        print(f"  {one.name:42s} {times[name] * 1e3:9.2f} ms {batch / times[name]:10.0f} samples/s")
    ratios = {
        "input alone, loop / batch": ratio(contenders, "loop", "batch"),
        "training, loop / batch": ratio(contenders, "train loop", "train batch"),
        "augmentation alone / forward pass": (times["batch"] - times["plain"]) / times["forward"],
        "input / training step": times["batch"] / times["train batch"],
        "training, float32 / mixed": ratio(contenders, "train batch", "train mixed"),
    }
    for name, value in ratios.items():
        print(f"  {name:42s} {value:9.4f}")
    fast = device.type != "cpu" or ratios["input alone, loop / batch"] >= REQUIRED_INPUT
    return fast and ratios["augmentation alone / forward pass"] < MOST_OF_FORWARD


def make_contenders(preset: str, network: str, batch: int, device: torch.device) -> dict[str, Contender]:
    """All work of a preset, by a short name."""
    augmentation = Augmentation.of(preset, TrainingOptions(), RECIPE)  # type: ignore[arg-type]
    assert augmentation.moves is not None
    moves = augmentation.moves
    series, rng = random_series(batch), np.random.default_rng(1)
    maker = BatchMaker(RECIPE, NORMALISATION, device, augmentation)
    labels = torch.from_numpy(rng.integers(0, CLASSES, batch)).to(device)
    step, forward = make_step(network, labels, None)
    mixed, _ = make_step(network, labels, torch.float16 if device.type == "cuda" else torch.bfloat16)
    inputs = maker.inputs(series)

    def loop() -> Tensor:
        return torch.from_numpy(inputs_by_loop(series, moves, rng)).to(device)

    def by_batch() -> Tensor:
        return maker.training_inputs(series, rng)

    return {
        "plain": Contender("input without augmentation", lambda: maker.inputs(series)),
        "batch": Contender("input, augmented on the batch", by_batch),
        "loop": Contender("input, augmented by a loop", loop),
        "forward": Contender("forward pass", lambda: forward(inputs)),
        "train batch": Contender("training step, augmented on the batch", lambda: step(by_batch())),
        "train loop": Contender("training step, augmented by a loop", lambda: step(loop())),
        "train mixed": Contender("the same on the batch, in 16 bits (mixed)", lambda: mixed(by_batch())),
    }


def make_step(
    preset: str, labels: Tensor, half: torch.dtype | None
) -> tuple[Callable[[Tensor], object], Callable[[Tensor], object]]:
    """A training step (forward, backward, Adam; in 16 bits where asked) and the forward pass of a network."""
    torch.manual_seed(0)
    network = CropNet(CropNetConfig.of(preset, CLASSES)).to(labels.device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    loss_of = nn.CrossEntropyLoss()

    def step(inputs: Tensor) -> None:
        with torch.autocast(labels.device.type, half, enabled=half is not None):
            logits = network(inputs)
        loss = loss_of(logits.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step, network


def run_rounds(contenders: list[Contender], seconds: float, device: torch.device) -> None:
    """One round to warm up, then at least three, A B C A B C, until the time is over."""
    for one in contenders:
        one.work()
    end = time.monotonic() + seconds
    while len(contenders[0].seconds) < 3 or time.monotonic() < end:
        for one in contenders:
            start = clock(device)
            one.work()
            one.seconds.append(clock(device) - start)


def clock(device: torch.device) -> float:
    """Seconds of processor time, or wall time once a GPU has done all it was given."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def ratio(contenders: dict[str, Contender], slow: str, fast: str) -> float:
    """Median of the rounds' ratios."""
    return median(a / b for a, b in zip(contenders[slow].seconds, contenders[fast].seconds, strict=True))


def inputs_by_loop(series: NDArray[np.int16], moves: Moves, rng: np.random.Generator) -> NDArray[np.float32]:
    """`(sample, 1, band, bin)`: the augmented input, sample by sample."""
    scale, offset = (a[:, None] for a in scaling(NORMALISATION, RECIPE))
    changed = [change_one(one, draw_one(moves, rng)) for one in series]
    return np.stack([one * scale + offset for one in changed])[:, None].astype(np.float32)


def draw_one(moves: Moves, rng: np.random.Generator) -> Change:
    """What chance gives one sample."""
    start = end = 0
    if rng.random() < moves.shift_share:
        start = end = int(rng.integers(moves.shift_days[0], moves.shift_days[1] + 1))
    if rng.random() < moves.scale_share:
        first, last = rng.integers(moves.scale_days[0], moves.scale_days[1] + 1, 2).tolist()
        before = 0 if moves.scale_overwrites_shift else start
        start, end = before + first, before + last
    warped = rng.random() < moves.warp_share
    return Change(start, end, rng.normal(1, moves.warp_sigma, moves.warp_knots) if warped else None)


def change_one(series: NDArray[np.int16], change: Change, recipe: Recipe = RECIPE) -> NDArray[np.float64]:
    """The window `(band, bin)` of one series `(band, bin)` with gaps, reflectance x 10,000.

    The window's bins are those of the moved span of days; they are filled from the observations in it.
    """
    window, days = recipe.window, recipe.mean_bin_days
    first_day, end_day = window.start * days + change.start, window.stop * days + change.end
    edges = np.linspace(first_day, end_day, len(window) + 1)
    middles = (edges[:-1] + edges[1:]) / 2  # day of each bin's middle
    positions = (middles / days - 0.5).clip(0, recipe.bins_in_season - 1).round(6)
    observed = np.flatnonzero((series != NODATA).all(axis=0))
    inside = observed[(observed >= np.floor(positions[0])) & (observed <= np.ceil(positions[-1]))]
    known = inside if len(inside) else observed
    filled = np.stack([np.interp(positions, known, band[known]) for band in series])
    if change.knots is None:
        return filled
    knots_at = np.linspace(0, len(window) - 1, len(change.knots))
    return filled * CubicSpline(knots_at, change.knots)(np.arange(len(window)))


def random_series(samples: int) -> NDArray[np.int16]:
    """Random reflectance of whole seasons; four bins in ten are gaps."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5_000, (samples, len(RECIPE.bands), RECIPE.bins_in_season)).astype(np.int16)
    gaps = rng.random((samples, 1, values.shape[2])) < 0.4
    return np.where(gaps, np.int16(NODATA), values)


if __name__ == "__main__":
    main()
