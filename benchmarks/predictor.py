"""Speed of the predictor against the plain loop, and how far their logits lie apart.

    python benchmarks/predictor.py --pixels 512 --seconds 20

Both work on the same weights and the same pixels, on one thread, in interleaved rounds; the figures are
pixels per second of processor time and the median of the rounds' ratios, so other work on the machine
disturbs them little. The plain loop is `network(x)` in eval mode at batch 256; it begins at the same int16
series and so pays for the same model input.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gee_pipeline.bands import NODATA
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.forms.fast_forms import DirectCropNet, WinogradCropNet, prepare
from inference.models.networks.cropnet import PRESETS, CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.predictor import Predictor
from inference.models.series import model_input

PLAIN_BATCH = 256
WANTED = {"compact": 1.35, "paper": 1.1}
"""Ratio that the predictor must reach on a CPU."""

Logits = Callable[[NDArray[np.int16]], NDArray[np.float32]]


@dataclass
class Contender:
    """One way to the logits and the processor time of each round."""

    name: str
    logits: Logits
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Print a table a preset."""
    parser = argparse.ArgumentParser(description="Predictor against the plain loop, on one thread.")
    parser.add_argument("--pixels", type=int, default=512, help="pixels of a round (default 512)")
    parser.add_argument("--seconds", type=float, default=30, help="wall time of a preset (default 30)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for preset in PRESETS:
        measure(preset, options.pixels, options.seconds)


def measure(preset: str, pixels: int, seconds: float) -> None:
    """Print pixels per second, ratios and the largest difference of the logits for a preset."""
    checkpoint, series = random_checkpoint(preset), random_series(pixels)
    predictor = Predictor(checkpoint, "cpu")
    plain = loop(checkpoint.build(), checkpoint, PLAIN_BATCH)
    contenders = [Contender("plain loop", plain), Contender("predictor", predictor.logits)]
    for form in (DirectCropNet, WinogradCropNet):  # whichever of the two the predictor chose here
        fast = torch.inference_mode()(form(checkpoint.build()))
        contenders.append(Contender(form.__name__, loop(fast, checkpoint, predictor.batch_size)))
    reference = contenders[0].logits(series)
    differences = [np.abs(one.logits(series) - reference).max() for one in contenders]
    run_rounds(contenders, series, seconds)
    chosen = type(prepare(checkpoint.build(), torch.device("cpu"))).__name__
    print(f"\n{preset}: {pixels} pixels, {len(contenders[0].seconds)} rounds, the predictor took {chosen}")
    for one, difference in zip(contenders, differences, strict=True):
        ratio = median(a / b for a, b in zip(contenders[0].seconds, one.seconds, strict=True))
        speed = pixels / median(one.seconds)
        print(f"  {one.name:16s} {speed:7.0f} px/s   {ratio:5.2f} x   max |dlogit| {difference:.1e}")
    print(f"  wanted of the predictor: at least {WANTED[preset]} x, logits equal to 1e-4")


def run_rounds(contenders: list[Contender], series: NDArray[np.int16], seconds: float) -> None:
    """At least three rounds, A B C A B C, until the time is over."""
    end = time.monotonic() + seconds
    while len(contenders[0].seconds) < 3 or time.monotonic() < end:
        for one in contenders:
            start = time.process_time()
            one.logits(series)
            one.seconds.append(time.process_time() - start)


def loop(network: Callable[[Tensor], Tensor], checkpoint: Checkpoint, batch: int) -> Logits:
    """A network called batch by batch."""

    def logits(series: NDArray[np.int16]) -> NDArray[np.float32]:
        parts = np.array_split(series, range(batch, len(series), batch))
        inputs = (
            torch.from_numpy(model_input(part, checkpoint.normalisation, checkpoint.recipe)) for part in parts
        )
        return np.concatenate([network(x).detach().numpy() for x in inputs])

    return logits


def random_checkpoint(preset: str, classes: int = 7) -> Checkpoint:
    """Random weights, with batch normalisations that are far from doing nothing."""
    torch.manual_seed(0)
    config, recipe = CropNetConfig.of(preset, classes), Recipe()
    network = CropNet(config)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_(0, 0.5)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.3)
    names = tuple(CropClass(code, f"class {code}", "#808080") for code in range(1, classes + 1))
    normalisation = Normalisation((0.2,) * len(recipe.bands), (0.1,) * len(recipe.bands))
    return Checkpoint(config, names, recipe, normalisation, network.state_dict())


def random_series(pixels: int) -> NDArray[np.int16]:
    """Random reflectance; four bins in ten are gaps, the first never is."""
    recipe, random = Recipe(), np.random.default_rng(0)
    shape = (pixels, len(recipe.bands), len(recipe.window))
    series = random.integers(0, 5_000, shape).astype(np.int16)
    gaps = random.random((pixels, 1, shape[2])) < 0.4
    gaps[:, :, 0] = False
    return np.where(gaps, np.int16(NODATA), series)


if __name__ == "__main__":
    main()
