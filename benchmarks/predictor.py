"""Speed of the predictor against the plain loop, and how far their logits lie apart.

    python benchmarks/predictor.py --pixels 512 --seconds 20

All work on the same weights and the same pixels, on one thread, in interleaved rounds; the figures are
pixels per second of processor time and the median of the rounds' ratios, so other work on the machine
disturbs them little. onnxruntime and OpenVINO join where they are installed, in full precision. The plain
loop is `network(x)` in eval mode at batch 256; all begin at the same int16 series and so pay for the same
model input. The ceiling is a product of float32 matrices. Exits with 1 where the predictor misses what is
wanted of it.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.forms.fast_forms import DirectCropNet, WinogradCropNet
from inference.models.gpu_form import made_series
from inference.models.networks.cropnet import SMALL, CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.predictor import Predictor, form_for
from inference.models.series import model_input

PLAIN_BATCH = 256
ENGINE_BATCH = 64
MEASURED = ("compact", "paper", "small-32", "small-16")
WANTED = {"compact": 2.5, "paper": 2.0}
"""Ratio that the predictor must reach on a CPU, where one is wanted."""

Logits = Callable[[NDArray[np.int16]], NDArray[np.float32]]


@dataclass
class Contender:
    """One way to the logits and the processor time of each round."""

    name: str
    logits: Logits
    seconds: list[float] = field(default_factory=list)


def main() -> int:
    """Print a table a preset; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="Predictor against the plain loop, on one thread.")
    parser.add_argument("--pixels", type=int, default=512, help="pixels of a round (default 512)")
    parser.add_argument("--seconds", type=float, default=30, help="wall time of a preset (default 30)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"float32 product: {matrix_speed() / 1e9:.0f} GFLOP/s on one thread")
    return max(not measure(preset, options.pixels, options.seconds) for preset in MEASURED)


def matrix_speed(side: int = 1_024, times: int = 5) -> float:
    """Floating-point operations a second of processor time of a square product: the machine's ceiling."""
    a, seconds = torch.randn(side, side), []
    for _ in range(times):
        start = time.process_time()
        a @ a
        seconds.append(time.process_time() - start)
    return 2 * side**3 / median(seconds)


def measure(preset: str, pixels: int, seconds: float) -> bool:
    """Print pixels per second, ratios and the largest difference of the logits; whether all is as wanted.

    Args:
        preset: The network.
        pixels: Pixels of a round of the large networks; the small ones get ten times as many.
        seconds: Wall time.
    """
    pixels = 10 * pixels if preset in SMALL else pixels
    checkpoint, recipe = random_checkpoint(preset), Recipe()
    series = made_series(pixels, (len(recipe.bands), len(recipe.window))).numpy()
    predictor = Predictor(checkpoint, "cpu")
    plain = loop(checkpoint.build(), checkpoint, PLAIN_BATCH)
    contenders = [Contender("plain loop", plain), Contender("predictor", predictor.logits)]
    for form in (DirectCropNet, WinogradCropNet):  # whichever of the two the predictor chose here
        fast = torch.inference_mode()(form(checkpoint.build()))
        contenders.append(Contender(form.__name__, loop(fast, checkpoint, predictor.batch_size)))
    contenders += other_engines(checkpoint)
    reference = contenders[0].logits(series)
    differences = [np.abs(one.logits(series) - reference).max() for one in contenders]
    run_rounds(contenders, series, seconds)
    chosen = form_for(checkpoint, predictor.device)
    print(f"\n{preset}: {pixels} pixels, {len(contenders[0].seconds)} rounds, the predictor took {chosen}")
    ratios = [ratio_of(contenders[0], one) for one in contenders]
    for one, ratio, difference in zip(contenders, ratios, differences, strict=True):
        speed = pixels / median(one.seconds)
        print(f"  {one.name:16s} {speed:7.0f} px/s   {ratio:5.2f} x   max |dlogit| {difference:.1e}")
    wanted = max([WANTED.get(preset, 1.0), *ratios[4:]])
    print(f"  wanted of the predictor: at least {wanted:.2f} x, logits equal to 1e-4")
    return ratios[1] >= wanted and max(differences) < 1e-4


def ratio_of(first: Contender, other: Contender) -> float:
    """How many times as fast as the first one another is: the median of the rounds' ratios."""
    return median(a / b for a, b in zip(first.seconds, other.seconds, strict=True))


def other_engines(checkpoint: Checkpoint) -> list[Contender]:
    """onnxruntime and OpenVINO in full precision, those of them that are installed."""
    engines = {"onnxruntime": onnx_engine, "openvino": openvino_engine}
    there = {name: make for name, make in engines.items() if importlib.util.find_spec(name)}
    network = checkpoint.build()
    return [Contender(name, loop(make(network), checkpoint, ENGINE_BATCH)) for name, make in there.items()]


def onnx_engine(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A network in onnxruntime, one thread."""
    import onnxruntime

    x, file = torch.zeros(ENGINE_BATCH, 1, 10, 43), io.BytesIO()
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
    torch.onnx.export(network, (x,), file, dynamo=False, **names)  # type: ignore[arg-type]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def openvino_engine(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A network in OpenVINO, one thread, float32."""
    import openvino

    model = openvino.convert_model(network, example_input=torch.zeros(ENGINE_BATCH, 1, 10, 43))
    config = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", config)
    return lambda x: torch.from_numpy(compiled(x.numpy())[0].copy())


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


if __name__ == "__main__":
    sys.exit(main())
