"""Which form of a network is fastest on this machine: measured once, and kept.

Winograd's form multiplies a third as often, as matrix products; the direct form leaves the convolution to
oneDNN. Which one wins is a matter of the matrix library, the processor and the network: on Zen 3 Winograd's
is 1.7 times as fast for 128 channels and half as fast for 16; on Zen 5 the direct one wins for 128 too. Their
logits differ by rounding, so one choice holds for all runs on a machine, and a run keeps its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from llvmlite import binding  # type: ignore[import-untyped]
from torch import Tensor, nn

from gee_pipeline.errors import CropmapError
from gee_pipeline.files import parse_json, write_bytes
from inference.models.forms.fast_forms import FORMS, has_forms
from inference.models.networks.cropnet import CropNet, CropNetConfig

ROUNDS: Final = 3
"""Times that each form is measured, in turns; its best one counts."""

PIXELS: Final = 64
"""Pixels of a round: 0.1 s for a network of 128 channels on one core."""

_log = logging.getLogger(__name__)


def fastest_form(config: CropNetConfig, bins: int) -> str:
    """The name of the form of a network that is fastest on this machine's CPU.

    Returns:
        A key of `FORMS`, or an empty text for a network that has no other form than its own.

    Args:
        config: Shape of the network.
        bins: Columns of its input.
    """
    if not has_forms(config):
        return ""
    key = _key(config, bins)
    known = _kept()
    if known.get(key) not in FORMS:
        _keep(known | {key: (chosen := _measure(config, bins))})
        return chosen
    return str(known[key])


def choices_file() -> Path:
    """Where the choices of this machine's user are kept."""
    import platformdirs  # here: a machine that only has a GPU's packages can do without

    return platformdirs.user_cache_path("cropmap", appauthor=False) / "fast_forms.json"


@cache
def _measure(config: CropNetConfig, bins: int) -> str:
    """The form of the shortest round, on random weights and pixels: neither decides the speed."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(), _one_thread():
        torch.manual_seed(0)
        x = torch.randn(PIXELS, 1, config.bands, bins)
        forms = {name: form(CropNet(config).eval()) for name, form in FORMS.items()}
        for form in forms.values():
            form(x)  # the first pass makes plans and touches memory
        rounds = [{name: _seconds(form, x) for name, form in forms.items()} for _ in range(ROUNDS)]
    return min(FORMS, key=lambda name: min(one[name] for one in rounds))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch keeps to one thread, as it does where maps are made; other programs hardly disturb that."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(form: nn.Module, x: Tensor) -> float:
    """Processor time, which waiting for other programs does not count in."""
    start = time.thread_time()
    form(x)
    return time.thread_time() - start


def _key(config: CropNetConfig, bins: int) -> str:
    """What decides the speed: processor, torch and shape."""
    shape = (config.channels, config.strides, config.bands, bins)
    machine = (binding.get_host_cpu_name(), torch.backends.cpu.get_cpu_capability(), torch.__version__)
    text = json.dumps([*machine, *shape])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept() -> dict[str, Any]:
    """The choices made before; a file that cannot be used is as none."""
    path = choices_file()
    try:
        found = parse_json(path.read_text("utf-8"), path)
    except (OSError, ValueError, CropmapError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(choices: dict[str, Any]) -> None:
    """Write the choices; where that fails they are measured again by the next process."""
    path = choices_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(choices).encode())
    except (OSError, CropmapError) as error:
        _log.info("The choice of a network's form is not kept: %s", error)
