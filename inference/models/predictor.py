"""Class codes and confidence of pixel series: device, batches and precision."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.forms.fast_forms import FORMS, activation_bytes, has_forms, prepare
from inference.models.forms.form_choice import fastest_form
from inference.models.gpu_form import BATCH, COMPILED, COMPILED_PIXELS, GpuNetwork, gpu_network
from inference.models.networks.cropnet import CropNetConfig
from inference.models.networks.specification import pixel_bytes
from inference.models.pixel_model import MEMORY_BUDGET
from inference.models.pixel_prediction import ClassParts, Prediction, ScoredPrediction
from inference.models.series import model_input

CPU_BATCH: Final = 128
"""Most pixels of a batch on a CPU; the maps of a larger one leave the cache (0.8 of the speed at 256)."""

PROBABILITY_UNIT: Final = 2**30
"""Parts of a probability of 1: a power of two loses no digit of a 32-bit number above 2^-7."""


class Predictor:
    """A checkpoint ready to label series on one device; threads may share it."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        *,
        memory_budget: int = MEMORY_BUDGET,
        form: str = "",
        threads: int | None = None,
    ) -> None:
        """Prepare the network.

        Args:
            checkpoint: The model.
            device: `auto`, `cpu`, `cuda` or `cuda:1`.
            memory_budget: Bytes that the activations of all batches under way may take.
            form: Form of the network, as `form_for` names it; empty, or one of another kind of device, takes
                what `form_for` chooses.
            threads: On a CPU, threads that work on batches side by side, whoever asks for them; torch then
                keeps each operation of this process on one thread. None divides each operation among the
                cores instead, as torch does, where all wait for the slowest: 20 times slower beside other
                programs.
        """
        self.checkpoint = checkpoint
        self.device = resolve_device(device)
        self._threads = _one_thread_each(threads) if threads and self.device.type == "cpu" else None
        network = checkpoint.build()
        self.batch_size = _batch_size(checkpoint, network, self.device, memory_budget // (threads or 1))
        if form not in forms_of(self.device):
            form = form_for(checkpoint, self.device)
        self._gpu = self._gpu_network(form == COMPILED)
        self._network = prepare(network, self.device, form)
        self._codes = np.array([c.code for c in checkpoint.classes], np.uint8)
        self._turn: AbstractContextManager[Any] = Lock() if self.device.type == "cuda" else nullcontext()

    @property
    def classes(self) -> tuple[CropClass, ...]:
        """What its codes mean."""
        return self.checkpoint.classes

    @property
    def recipe(self) -> Recipe:
        """How the series are made."""
        return self.checkpoint.recipe

    def logits(self, series: NDArray[np.int16]) -> NDArray[np.float32]:
        """Logits `(pixel, class)` in float32.

        Args:
            series: `(pixel, band, bin)`, reflectance x 10,000, gaps nodata; each series has at least one
                observation.

        Raises:
            MismatchError: The series have other bands or bins than the model's recipe.
        """
        self._require_shape(series)
        out = self._gpu.logits(series) if self._gpu else self._in_batches(series)
        assert np.isfinite(out).all(), "A series without any observation reached the model."
        return out

    def _in_batches(self, series: NDArray[np.int16]) -> NDArray[np.float32]:
        out = np.empty((len(series), len(self._codes)), np.float32)

        def fill(part: slice) -> None:
            out[part] = self._forward(series[part]).cpu().numpy()

        each = self._threads.map if self._threads else map
        deque(each(fill, self._batches(len(series))), maxlen=0)
        return out

    def predict(self, series: NDArray[np.int16]) -> Prediction:
        """The likeliest class of each series and its probability.

        Args:
            series: As for `logits`.
        """
        logits = torch.from_numpy(self.logits(series))
        return self._prediction(logits, self._softmax(logits))

    def scored(self, series: NDArray[np.int16]) -> ScoredPrediction:
        """What `predict` says, and the probability of each class in units of 2^-30.

        Args:
            series: As for `logits`.
        """
        logits = torch.from_numpy(self.logits(series))
        probability = self._softmax(logits)
        parts = (probability * PROBABILITY_UNIT).round().to(torch.int32).numpy()
        return ScoredPrediction(
            self._prediction(logits, probability),
            ClassParts(parts, PROBABILITY_UNIT),
            self.checkpoint.applicability,
            self.checkpoint.prediction_sets,
        )

    def probabilities(self, series: NDArray[np.int16]) -> NDArray[np.float32]:
        """`(pixel, class)`: softmax of the logits after the temperature.

        Args:
            series: As for `logits`.
        """
        out: NDArray[np.float32] = self._softmax(torch.from_numpy(self.logits(series))).numpy()
        return out

    def _prediction(self, logits: Tensor, probability: Tensor) -> Prediction:
        # Of the logits: probabilities near 1 are equal, so a temperature would choose.
        index = logits.argmax(dim=1)
        confidence = (100 * probability.amax(dim=1)).round().to(torch.uint8)
        return Prediction(self._codes[index.numpy()], confidence.numpy())

    def _softmax(self, logits: Tensor) -> Tensor:
        return (logits / self.checkpoint.temperature).softmax(dim=1)

    def _forward(self, series: NDArray[np.int16]) -> Tensor:
        x = torch.from_numpy(model_input(series, self.checkpoint.normalisation, self.recipe))
        with self._turn, torch.inference_mode():
            return self._network(x.to(self.device))

    def _gpu_network(self, compiled: bool) -> GpuNetwork | None:
        """The network in 16 bits where this is a GPU and it proves itself; else all is as on a CPU."""
        if self.device.type != "cuda" or not has_forms(self.checkpoint.config):
            return None
        batch = min(2 * self.batch_size, BATCH)  # of numbers of half the size
        return gpu_network(self.checkpoint, self.device, batch, compiled=compiled)

    def _require_shape(self, series: NDArray[np.int16]) -> None:
        recipe = self.checkpoint.recipe
        bands, bins = len(recipe.bands), len(recipe.window)
        if series.shape[1:] != (bands, bins):
            raise MismatchError(
                f"The model takes series of {bands} bands and {bins} bins, got {series.shape[1:]}. "
                "Make the series with the model's own recipe."
            )

    def _batches(self, pixels: int) -> Iterator[slice]:
        return (slice(start, start + self.batch_size) for start in range(0, pixels, self.batch_size))


def _one_thread_each(threads: int) -> ThreadPoolExecutor:
    torch.set_num_threads(1)
    return ThreadPoolExecutor(threads, "predict", torch.set_num_threads, (1,))


def forms_of(device: torch.device) -> tuple[str, ...]:
    """The forms that there are on a kind of device."""
    return tuple(FORMS) if device.type == "cpu" else (COMPILED,)


def form_for(checkpoint: Checkpoint, device: torch.device, pixels: int = 0) -> str:
    """The fastest form of a model on a device; empty where there is no choice.

    Args:
        checkpoint: The model.
        device: Where it will run.
        pixels: How many it will label, about: compiling pays for many.
    """
    if not isinstance(checkpoint.config, CropNetConfig):
        return ""
    if device.type == "cuda":
        return COMPILED if pixels >= COMPILED_PIXELS else ""
    return fastest_form(checkpoint.config, len(checkpoint.recipe.window))


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a name; `auto` is CUDA where there is one, else the CPU.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:1`.

    Raises:
        InputError: The name is unknown or this machine has no such device.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if available else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or not (index == "" or index.isdecimal()):
        raise InputError(f"A device is auto, cpu, cuda or cuda:N, got {name!r}.")
    if kind == "cuda" and int(index or 0) >= available:
        raise InputError(
            f"Device {name} was asked for, but torch {torch.__version__} sees {available} CUDA devices here. "
            "Use --device auto or cpu, or install a CUDA build of torch."
        )
    return torch.device(name)


def _batch_size(checkpoint: Checkpoint, network: nn.Module, device: torch.device, memory_budget: int) -> int:
    """Pixels of a batch: what the budget holds, on a CPU no more than its cache likes."""
    config, bins = checkpoint.config, len(checkpoint.recipe.window)
    if isinstance(config, CropNetConfig):
        each = activation_bytes(config, bins)
    else:
        each = pixel_bytes(network, config.bands, config.bins)
    fits = memory_budget // each
    if fits < 1:
        raise InputError(
            f"One pixel takes {each / 2**20:.2f} MiB in the network, the memory budget is "
            f"{memory_budget / 2**20:.2f} MiB. Raise it."
        )
    return min(fits, CPU_BATCH) if device.type == "cpu" else fits
