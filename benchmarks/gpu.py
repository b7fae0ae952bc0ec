"""Speed of the predictor on a GPU, from int16 in memory to classes in memory, beside the card's own ceilings.

    python -m benchmarks.gpu --pixels 1000000 --samples samples.npz

Needs torch, numba and cropmap's packages, no rasterio and no dask. The ceilings are measured in the same run:
a large product of bfloat16 matrices, a copy on the card, an upload from pinned memory. A row's share of the
product counts the network's nominal multiplications. Without samples the series are random (simulated).
Every form is compared with full precision; exits with 1 where a row misses what is wanted of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.predictor import random_checkpoint
from inference.models.checkpoint import Checkpoint
from inference.models.forms.fast_forms import DirectCropNet
from inference.models.gpu_form import COMPILED, StoredSeriesNet, made_series
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.predictor import Predictor

ROUNDS: Final = 5
"""Times that each row is measured; the median counts."""

SIDE: Final = 8_192
"""Rows and columns of the matrices of the large product."""

STRICT_BATCH: Final = 1_024
"""Pixels of a batch in full precision."""

WANTED_SHARE: Final = {"compact": 0.55, "paper": 0.65}
"""Share of the product's rate that the compiled form must reach, by preset."""

WANTED_SPEED: Final = {"small-16": 5e6}
"""Pixels per second that it must reach, by preset."""

WANTED_AGREEMENT: Final = 0.9995
"""Share of the classes that must be those of full precision."""

PRESETS: Final = ("compact", "paper", "small-32", "small-16")


@dataclass(frozen=True)
class Row:
    """One way to the classes of a preset."""

    preset: str
    """The network."""
    form: str
    """How it runs."""
    speed: float
    """Pixels per second."""
    share: float
    """Of the rate of the large product, by nominal multiplications."""
    agreement: float | None = None
    """Share of the classes that full precision gives too."""

    @property
    def misses(self) -> bool:
        """Whether it is less than what is wanted; only the compiled form is asked for speed."""
        if self.agreement is not None and self.agreement < WANTED_AGREEMENT:
            return True
        if self.form != COMPILED:
            return False
        slow = self.share < WANTED_SHARE.get(self.preset, 0) or self.speed < WANTED_SPEED.get(self.preset, 0)
        return slow


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The predictor on a GPU beside the card's ceilings.")
    parser.add_argument("--pixels", type=int, default=1_000_000, help="pixels of a round (default 1,000,000)")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS, help="networks (all)")
    parser.add_argument("--samples", type=Path, help="npz of real series (key fea) in place of random ones")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("This machine has no CUDA device: nothing to measure.", file=sys.stderr)
        return 2
    device = torch.device("cuda")
    product = ceilings(device)
    rows: list[Row] = []
    for preset in options.presets:
        checkpoint = random_checkpoint(preset)
        series = _series(options.samples, checkpoint, options.pixels)
        rows += measure(preset, checkpoint, series, product, device)
    return 1 if any(row.misses for row in rows) else 0


def ceilings(device: torch.device) -> float:
    """Print what the card can do; multiplications per second of the large product."""
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
    a, b = (torch.randn(SIDE, SIDE, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = SIDE**3 / timed(lambda: a @ b, 20)
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target, host = torch.empty_like(source), torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
    copied = 2 * source.nbytes / timed(lambda: target.copy_(source), 20)
    uploaded = host.nbytes / timed(lambda: source[: host.nbytes].copy_(host, non_blocking=True), 20)
    print(
        f"bfloat16 product {2 * product / 1e12:.0f} TFLOP/s, copy {copied / 1e12:.2f} TB/s, "
        f"pinned upload {uploaded / 1e9:.0f} GB/s"
    )
    return product


def measure(
    preset: str, checkpoint: Checkpoint, series: NDArray[np.int16], product: float, device: torch.device
) -> list[Row]:
    """Print and return the rows of one network."""
    assert isinstance(checkpoint.config, CropNetConfig)
    work = multiplications(checkpoint)
    exact = strict_classes(checkpoint, series[: 50 * STRICT_BATCH], device)
    rows = []
    for form in ("", COMPILED):
        start = time.perf_counter()
        predictor = Predictor(checkpoint, "cuda", form=form)
        ready = time.perf_counter() - start
        predict = lambda: predictor.predict(series)  # noqa: E731, B023
        speed = len(series) / timed(predict, 1)
        agreement = float((predictor.predict(series[: len(exact)]).codes == exact).mean())
        rows.append(Row(preset, form, speed, speed * work / product, agreement))
        print(line(rows[-1]) + f"   ready in {ready:.1f} s")
    return rows


def strict_classes(
    checkpoint: Checkpoint, series: NDArray[np.int16], device: torch.device
) -> NDArray[np.uint8]:
    """Class codes in full precision, without tensor cores."""
    network = checkpoint.build()
    assert isinstance(network, CropNet)
    step = StoredSeriesNet(DirectCropNet(network), checkpoint, torch.float32).to(device)
    codes = np.array([crop.code for crop in checkpoint.classes], np.uint8)
    parts = []
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for start in range(0, len(series), STRICT_BATCH):
            batch = torch.from_numpy(series[start : start + STRICT_BATCH]).to(device)
            parts.append(step(batch).argmax(dim=1).cpu().numpy())
    return codes[np.concatenate(parts)]


def multiplications(checkpoint: Checkpoint) -> int:
    """Nominal multiplications of a pixel: those of the convolutions, padding included."""
    network, count = checkpoint.build(), 0

    def add(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal count
        count += output.numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(add)
    with torch.inference_mode():
        network(torch.zeros(1, 1, len(checkpoint.recipe.bands), len(checkpoint.recipe.window)))
    return count


def timed(work: Callable[[], Any], times: int) -> float:
    """Seconds of one call: the median of some rounds of some calls, after one round to warm up."""
    seconds = []
    for _ in range(ROUNDS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            work()
        torch.cuda.synchronize()
        seconds.append((time.perf_counter() - start) / times)
    return median(seconds[1:])


def line(row: Row) -> str:
    """A row as text."""
    agreement = "" if row.agreement is None else f"   {row.agreement:.4%} as full precision"
    verdict = "   MISSED" if row.misses else ""
    speed = f"{row.speed:12,.0f} px/s   {row.share:6.1%} of the product"
    return f"{row.preset:10s} {row.form or 'as it is':10s} {speed}{agreement}{verdict}"


def _series(path: Path | None, checkpoint: Checkpoint, pixels: int) -> NDArray[np.int16]:
    shape = (len(checkpoint.recipe.bands), len(checkpoint.recipe.window))
    if path is None:
        return made_series(pixels, shape).numpy()
    window = checkpoint.recipe.window
    with np.load(path) as file:
        real = np.where(file["observed"][:, None, :], file["fea"], -9999)[:, :, window.start : window.stop]
    return np.resize(real.astype(np.int16), (pixels, *shape))


if __name__ == "__main__":
    sys.exit(main())
