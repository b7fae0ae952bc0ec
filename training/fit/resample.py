"""Whole-year series moved, stretched and warped in one operation on the batch, where the batch lies."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

from gee_pipeline.errors import InputError


@dataclass(frozen=True)
class Moves:
    """How far series may move, stretch and warp, and how often (Tong et al. 2025, section 3.2).

    The window of days `[start, end)` of a sample is moved as a whole (time shift), or at both ends by
    different days (time scale); its bins are then as many as before, so longer or shorter. One smooth curve
    multiplies all its bands (magnitude warping).
    """

    shift_days: tuple[int, int]
    """Least and greatest whole days by which the window moves; both occur."""
    shift_share: float
    """Share of the samples that shift."""
    scale_days: tuple[int, int]
    """Least and greatest whole days by which start and end move, each on its own."""
    scale_share: float
    """Share of the samples whose start and end move."""
    warp_sigma: float
    """Standard deviation of the knots of the curve, about 1."""
    warp_share: float
    """Share of the samples that are warped."""
    warp_knots: int = 5
    """Knots of the curve, evenly spaced over the window's bins."""
    scale_overwrites_shift: bool = False
    """A sample that does both only scales; otherwise its ends move by the sum."""
    whole_bins: bool = False
    """The year is cut at whole bins and the cut stretched; otherwise bins are taken where their days are."""
    copies: int = 0
    """Changed copies of each sample that an epoch holds in addition to itself; 0 changes the samples."""

    def __post_init__(self) -> None:
        for name in ("shift_days", "scale_days"):
            least, most = getattr(self, name)
            if not -365 <= least <= most <= 365:
                raise InputError(
                    f"{_words(name)} go from -365 at least to 365 at most, got {least} to {most}."
                )
        for name in ("shift_share", "scale_share", "warp_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"A {_words(name).lower()} lies within 0 to 1, got {getattr(self, name)}.")
        if not 0 <= self.warp_sigma < 1 or not 2 <= self.warp_knots <= 20 or not 0 <= self.copies <= 100:
            raise InputError(
                "A warp has a sigma of at least 0 and below 1 and 2 to 20 knots, and an epoch up to 100 "
                f"copies; got {self.warp_sigma:g}, {self.warp_knots} and {self.copies}."
            )


PAPER: Final = Moves((-10, 10), 0.5, (-30, 10), 0.5, 0.2, 0.5)
"""Tong et al. 2025, sections 3.2 and 4.1: ranges, sigma and knots, each transform with probability 0.5."""

CODE_DAYS: Final = Moves((-50, 50), 1.0, (-50, 50), 0.5, 0.1, 0.25, scale_overwrites_shift=True, copies=2)
"""The ranges and shares of the code that the authors published, which differ from their text."""

CODE: Final = replace(CODE_DAYS, whole_bins=True)
"""The same with the operation of that code: a cut at whole bins."""


@dataclass(frozen=True)
class Draws:
    """What chance gave each sample of a batch."""

    start: Tensor
    """Float32 `(sample,)`, days by which the window's start moves."""
    end: Tensor
    """Float32 `(sample,)`, days by which its end moves."""
    knots: Tensor
    """Float32 `(sample, knot)`, values of the curve at its knots."""
    warped: Tensor
    """Bool `(sample,)`, whether the curve multiplies the sample."""

    def without_warp(self) -> Draws:
        """The same moves, and no curve: a factor means nothing for decibels and other logarithms."""
        return replace(self, warped=torch.zeros_like(self.warped))

    def to(self, device: torch.device) -> Draws:
        """The same draws on another device."""
        return Draws(*(send(getattr(self, field.name), device) for field in fields(self)))


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; work that a GPU still has continues meanwhile."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # from other memory the copy would wait for all work before it
    return tensor.to(device, non_blocking=True)


def draw(
    moves: Moves, samples: int, generator: torch.Generator, *, original: NDArray[np.bool_] | None = None
) -> Draws:
    """What happens to each sample of a batch; a sample takes part in each transform on its own.

    Args:
        moves: Ranges and shares.
        samples: Size of the batch.
        generator: On the CPU, so that every device sees the same draws.
        original: `(sample,)`, True for samples that stay as they are.
    """

    def days(limits: tuple[int, int], count: int) -> Tensor:
        return torch.randint(limits[0], limits[1] + 1, (count, samples), generator=generator).float()

    changing = torch.ones(samples, dtype=torch.bool) if original is None else torch.from_numpy(~original)
    shares = torch.tensor([[moves.shift_share], [moves.scale_share], [moves.warp_share]])
    chosen = (torch.rand((3, samples), generator=generator) < shares) & changing
    shifted, scaled, warped = chosen
    shift = days(moves.shift_days, 1)[0] * shifted
    if moves.scale_overwrites_shift:
        shift = shift * ~scaled
    start, end = shift + days(moves.scale_days, 2) * scaled
    knots = 1 + moves.warp_sigma * torch.randn((samples, moves.warp_knots), generator=generator)
    return Draws(start, end, knots, warped)


def resample(
    filled: Tensor,
    observed: Tensor,
    draws: Draws,
    *,
    window: range,
    bin_days: float,
    days: tuple[int, int] | None = None,
) -> Tensor:
    """The window of each sample after its draws, `(sample, band, bin of the window)`.

    A bin of the moved window takes the value at its middle, linearly between the middles of the season's
    bins. As in mapping, nothing from outside the window is known: before its first and after its last
    observed bin the nearest observation holds, also where the season ends. So a sample whose draws are 0 is
    bit for bit what filling the window alone gives.

    Args:
        filled: Float32 `(sample, band, bin)` of the whole season, without gaps.
        observed: Bool `(sample, bin)`, on the same device, False where `filled` was filled.
        draws: On the same device.
        window: Bins of the model window.
        bin_days: Length of a bin in days; of months the mean.
        days: First day of the window, counted from 0, and the day after its last, where the year is cut at
            whole bins; None takes bins where their days are.
    """
    bins = filled.shape[2]
    if days is None:
        positions = _positions(draws, window, bin_days).clamp(0, bins - 1)
    else:
        positions = _in_cut(draws, days, bin_days, bins, len(window))
    first, last = _seen(observed, positions)
    taken = _interpolate(filled, positions.clamp(first, last))
    curve = torch.where(draws.warped[:, None], _curve(draws.knots, len(window)), 1.0)  # (sample, bin)
    return taken * curve[:, None]


def _positions(draws: Draws, window: range, bin_days: float) -> Tensor:
    """`(sample, bin of the window)`, in bins of the season, the window itself for 0 days; may lie outside."""
    middles = torch.arange(len(window), device=draws.start.device)
    share = (middles + 0.5) / len(window)  # of the way from start to end
    days = draws.start[:, None] + (draws.end - draws.start)[:, None] * share
    return window.start + middles + days / bin_days


def _in_cut(draws: Draws, days: tuple[int, int], bin_days: float, bins: int, length: int) -> Tensor:
    """`(sample, bin of the window)`, in bins of the season, as the published code of Tong et al. has them.

    The first bin of the cut is that of its first day, the last one that of its last; what passes the season
    is cut off. The bins that are left, however many, become as many as the window has: linearly, each at the
    middle of its share of the cut, and never with a value from outside the cut.
    """
    first = ((days[0] + draws.start) / bin_days).floor().clamp(0, bins - 1)
    stop = ((days[1] + draws.end) / bin_days).ceil().clamp(max=bins)
    stop = torch.maximum(stop, first + 1)
    middles = torch.arange(length, device=draws.start.device) + 0.5
    within = middles * ((stop - first) / length)[:, None] - 0.5
    return first[:, None] + within.clamp(min=0).minimum((stop - first - 1)[:, None])


def _seen(observed: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """First and last observed bin in the window of each sample, `(sample, 1)`; all bins where none is."""
    bins = observed.shape[1]
    index = torch.arange(bins, device=observed.device)
    seen = observed & (index >= positions[:, :1].floor()) & (index <= positions[:, -1:].ceil())
    seen = seen | ~seen.any(dim=1, keepdim=True)
    first = torch.where(seen, index, bins).amin(dim=1, keepdim=True)
    last = torch.where(seen, index, -1).amax(dim=1, keepdim=True)
    return first, last


def _interpolate(filled: Tensor, positions: Tensor) -> Tensor:
    """Values at positions `(sample, bin)` within the season, linear between its bins."""
    before = positions.floor()
    share = (positions - before)[:, None]  # (sample, 1, bin)
    left = before.long()
    right = (left + 1).clamp(max=filled.shape[2] - 1)
    low, high = (filled.gather(2, at[:, None].expand(-1, filled.shape[1], -1)) for at in (left, right))
    return low + (high - low) * share


def _curve(knots: Tensor, bins: int) -> Tensor:
    """The cubic spline through evenly spaced knots at each bin, `(sample, bin)`."""
    spline = send(torch.from_numpy(spline_matrix(knots.shape[1], bins)), knots.device)
    # no matmul: autocast and TF32 would round its factors to three digits
    return (knots[:, :, None] * spline).sum(dim=1)


@functools.cache
def spline_matrix(knots: int, bins: int) -> NDArray[np.float32]:
    """`(knot, bin)`: a spline is linear in its knots, so one matrix gives it at all bins.

    Its ends are not-a-knot, as scipy's `CubicSpline` has them.
    """
    at = np.linspace(0, bins - 1, knots)
    matrix: NDArray[np.float32] = CubicSpline(at, np.eye(knots), axis=1)(np.arange(bins)).astype(np.float32)
    return matrix


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
