"""Whether 16 bits pay in a training on this machine: measured, for few processors say it."""

from __future__ import annotations

import time
from typing import Final

import torch
from torch import Tensor, nn

from training.fit.options import Precision

ROUNDS: Final = 3
"""Times that each precision is measured, in turns; its best one counts."""

BATCH: Final = 32
"""Samples of a step: 20 ms in full precision."""


def precision_warning(precision: Precision, device: torch.device) -> str | None:
    """What to say to a user who asks for 16 bits where they cost time.

    Args:
        precision: What was asked for; only `mixed` is doubted, for `auto` takes 16 bits on CUDA alone.
        device: Where the training will run.
    """
    if precision != "mixed" or device.type == "cuda":
        return None
    times = mixed_over_float32()
    if times <= 1:
        return None
    return (
        f"A step in 16 bits takes {times:.1f} times as long as in 32 on this processor. Leave out "
        "--precision mixed."
    )


def mixed_over_float32() -> float:
    """Time of a training step in bfloat16, of one in float32, on this machine's CPU."""
    with torch.random.fork_rng(devices=[]):
        x = torch.randn(BATCH, 32, 5, 22).contiguous(memory_format=torch.channels_last)
        layers = nn.Sequential(*(nn.Conv2d(32, 32, 3, padding=1) for _ in range(4)))
    for mixed in (False, True):
        _seconds(layers, x, mixed)  # the first pass makes plans and touches memory
    rounds = [[_seconds(layers, x, mixed) for mixed in (False, True)] for _ in range(ROUNDS)]
    full, half = (min(column) for column in zip(*rounds, strict=True))
    return half / full


def _seconds(layers: nn.Module, x: Tensor, mixed: bool) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        loss = layers(x).float().square().mean()
    torch.autograd.backward(loss)
    return time.perf_counter() - start
