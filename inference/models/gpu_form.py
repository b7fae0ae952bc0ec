"""A CropNet on a GPU, from stored series to logits, in 16 bits.

Int16 goes up as it is stored, 860 bytes a pixel. Gaps are filled and values scaled on the card, the network
runs in float16 on batches of one size, and only logits come back. The host never waits for a batch: pinned
buffers take turns, and a call waits once, for its last answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gee_pipeline.bands import NODATA
from gee_pipeline.observations import group_slices
from inference.models.checkpoint import Checkpoint
from inference.models.forms.fast_forms import DirectCropNet
from inference.models.networks.cropnet import CropNet
from inference.models.series import scaling

BATCH: Final = 8_192
"""Pixels of a batch: with more no GPU was faster."""

SLOTS: Final = 3
"""Batches on their way: while the card works on one, the host fills the next."""

HALF: Final = torch.float16
"""The 16 bits with more digits: in bfloat16 probabilities change ten times as much."""

COMPILED: Final = "compiled"
"""Name of the form that `torch.compile` fuses, as a run keeps it."""

COMPILED_PIXELS: Final = 20_000_000
"""Pixels from which compiling pays: it takes some 16 s, and saves about 0.5 s a million."""

PROOF: Final = 2_048
"""Made pixels on which a form proves itself before it is used."""

MARGIN: Final = 0.05
"""Logits of two classes that lie closer may change places in 16 bits."""

_log = logging.getLogger(__name__)

Step = Callable[[Tensor], Tensor]
"""Stored series `(pixel, band, bin)` int16 to float32 logits `(pixel, class)`, on one device."""


class StoredSeriesNet(nn.Module):
    """A network that takes series as they are stored, fills their gaps, scales them and gives logits."""

    scale: Tensor
    offset: Tensor

    def __init__(self, network: DirectCropNet, checkpoint: Checkpoint, dtype: torch.dtype = HALF) -> None:
        """Take over a network.

        Args:
            network: Its fast form, in eval mode; its convolutions are cast.
            checkpoint: Whose normalisation and recipe the input has.
            dtype: What the convolutions are computed in.
        """
        super().__init__()
        scale, offset = scaling(checkpoint.normalisation, checkpoint.recipe)
        self.register_buffer("scale", torch.from_numpy(scale)[:, None])
        self.register_buffer("offset", torch.from_numpy(offset)[:, None])
        self.groups = group_slices(checkpoint.recipe.group_sizes)
        self.dtype, self.network = dtype, network
        network.convolutions.to(dtype)

    def forward(self, series: Tensor) -> Tensor:
        """Logits `(pixel, class)` of int16 `(pixel, band, bin)`; NaN where a sensor has no observation."""
        scaled = filled(series, self.groups) * self.scale + self.offset
        return self.network(scaled.to(self.dtype)[:, None])


def filled(series: Tensor, groups: Sequence[slice]) -> Tensor:
    """What `inference.models.series.fill_gaps` makes of series, on any device.

    Args:
        series: Int16 `(pixel, band, bin)`, gaps nodata.
        groups: Rows of the bands of each sensor.
    """
    return torch.cat([_filled(series[:, rows]) for rows in groups], dim=1)


def _filled(series: Tensor) -> Tensor:
    """The bands of one sensor: a bin with nodata in any band is a gap of all."""
    bins = series.shape[2]
    place = torch.arange(bins, device=series.device)
    seen = (series != NODATA).all(dim=1)  # (pixel, bin)
    left = torch.where(seen, place, -1).cummax(dim=1).values
    right = torch.where(seen, place, bins).flip(1).cummin(dim=1).values.flip(1)
    before, after = torch.where(left < 0, right, left), torch.where(right == bins, left, right)
    share = (place - before) / (after - before).clamp(min=1)
    share = torch.where(seen.any(dim=1, keepdim=True), share, torch.nan)[:, None]
    first, last = (_at(series, index.clamp(0, bins - 1)) for index in (before, after))
    return first + (last - first) * share


def _at(series: Tensor, index: Tensor) -> Tensor:
    return series.gather(2, index[:, None].expand(series.shape)).float()


class GpuNetwork:
    """Batches of stored series through a network on one GPU; threads may share it."""

    def __init__(
        self, step: Step, shape: tuple[int, int], classes: int, device: torch.device, batch: int
    ) -> None:
        """Take buffers.

        Args:
            step: The network, warm.
            shape: Bands and bins of a series.
            classes: Number of classes.
            device: Where the step computes.
            batch: Pixels of every batch.
        """
        self._step, self._classes, self._device = step, classes, device
        self._slots = [_Slot((*shape, batch), device) for _ in range(SLOTS)]
        self._turn = Lock()
        self._batches = 0

    def logits(self, series: NDArray[np.int16]) -> NDArray[np.float32]:
        """Logits `(pixel, class)`.

        Args:
            series: `(pixel, band, bin)` as stored, gaps nodata.
        """
        on_gpu = self._device.type == "cuda"
        out = torch.empty((len(series), self._classes), dtype=torch.float32, pin_memory=on_gpu)
        size = self._slots[0].host.shape[2]
        with self._turn, torch.inference_mode(), _streaming(self._device):
            for start in range(0, len(series), size):
                self._submit(series[start : start + size], out[start : start + size])
            done = _recorded(self._device)
        if done is not None:
            done.synchronize()
        return out.numpy()

    def _submit(self, series: NDArray[np.int16], out: Tensor) -> None:
        slot = self._slots[self._batches % SLOTS]
        self._batches += 1
        out.copy_(self._step(slot.upload(series))[: len(series)], non_blocking=True)
        slot.free = _recorded(self._device)


class _Slot:
    """A pinned buffer `(band, bin, pixel)`, as a composite lies in memory, and its place on the device."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self.host = torch.zeros(shape, dtype=torch.int16, pin_memory=device.type == "cuda")
        self.device = torch.zeros(shape, dtype=torch.int16, device=device)
        self.free: torch.cuda.Event | None = None

    def upload(self, series: NDArray[np.int16]) -> Tensor:
        """The series on the device, `(pixel, band, bin)`; those after them keep what was there."""
        if self.free is not None:
            self.free.synchronize()
        self.host.numpy()[:, :, : len(series)] = series.transpose(1, 2, 0)
        self.device.copy_(self.host, non_blocking=True)
        return self.device.permute(2, 0, 1)


def _streaming(device: torch.device) -> AbstractContextManager[Any]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _recorded(device: torch.device) -> torch.cuda.Event | None:
    """An event after all that was submitted; None on a CPU, which has done it already."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return event


def gpu_network(
    checkpoint: Checkpoint, device: torch.device, batch: int, *, compiled: bool = False
) -> GpuNetwork | None:
    """A CropNet in 16 bits on a GPU, proven against full precision; None where it cannot be trusted there.

    Args:
        checkpoint: The model, a CropNet on the matrix.
        device: A GPU.
        batch: Pixels of a batch.
        compiled: Whether `torch.compile` fuses it, where that works.
    """
    shape = (len(checkpoint.recipe.bands), len(checkpoint.recipe.window))
    exact, half = (
        StoredSeriesNet(DirectCropNet(cast(CropNet, checkpoint.build())), checkpoint, dtype).to(device)
        for dtype in (torch.float32, HALF)
    )
    steps: list[Step] = [torch.compile(half, dynamic=False), half] if compiled else [half]
    made = made_series(batch, shape).to(device)
    for step in steps:
        if is_proven(step, exact, made):
            return GpuNetwork(step, shape, len(checkpoint.classes), device, batch)
    return None


def is_proven(step: Step, exact: Step, series: Tensor) -> bool:
    """Whether a step runs here and gives the classes of another in full precision; it is warm then.

    Args:
        step: What is to be used.
        exact: What it must agree with.
        series: One batch of stored series, on the device; `PROOF` of them are compared.
    """
    try:
        with torch.inference_mode():
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                wanted = exact(series[:PROOF])
            found = step(series)[:PROOF]  # with the settings that it will work with: a compiler looks at them
            best, second = wanted.topk(2, dim=1).values.unbind(dim=1)
            clear = best - second > MARGIN
            same = (wanted.argmax(dim=1) == found.argmax(dim=1))[clear]
            agrees = bool(same.all() and found.isfinite().all())
    except Exception as error:  # a compiler or a driver that does not do it: there is another way
        _log.warning("A faster form of the network does not run on this GPU: %s", str(error).split("\n")[0])
        return False
    if not agrees:
        _log.warning("A faster form of the network gives other classes on this GPU, so it is not used.")
    return agrees


def made_series(pixels: int, shape: tuple[int, int], seed: int = 0) -> Tensor:
    """Random reflectance `(pixel, band, bin)` as stored, four bins in ten gaps, at least one observed."""
    random = np.random.default_rng(seed)
    series = random.integers(0, 5_000, (pixels, *shape)).astype(np.int16)
    gaps = random.random((pixels, 1, shape[1])) < 0.4
    gaps[:, :, 0] = False
    return torch.from_numpy(np.where(gaps, np.int16(NODATA), series))
