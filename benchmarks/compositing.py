"""Speed of the compositing engine compared with numpy, bottleneck, xarray and a plain copy, on one core.

    python -m benchmarks.compositing [--size 256] [--scenes 72] [--rounds 3]

All work on the same made-up stack in the same run, one after the other and again, so that a busy machine
slows them alike; the time is CPU time of this process. The others get their input as floats with NaN where
it is cloudy, made beforehand; the engine reads int16 and a mask, as it does in a run.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import bottleneck
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gee_pipeline.bands import BANDS, NODATA
from gee_pipeline.composite import median_composite

WINDOW = range(24, 67)
EDGES = np.array([(5 * index, 5 * index + 5) for index in WINDOW])
"""The model window: 43 bins, 215 days."""

REQUIRED = {"numpy nanmedian per bin": 40.0, "xarray groupby median, bottleneck": 6.0}
"""How many times as fast the engine has to be."""

ENGINE = "median_composite"
COPY = "copy of the input"


@dataclass(frozen=True)
class Stack:
    """Scenes of one cell, in both forms."""

    values: NDArray[np.int16]
    """`(obs, band, y, x)`."""
    clear: NDArray[np.bool_]
    """`(obs, y, x)`."""
    days: NDArray[np.int64]
    """`(obs,)`, each day once: the others know nothing of duplicates."""
    floats: NDArray[np.float32]
    """`(obs, band, y, x)`, NaN where not clear."""

    @property
    def pixel_observations(self) -> int:
        """Pixels times scenes."""
        return self.clear.size

    def members(self, index: int) -> NDArray[np.float32]:
        """The observations of a bin."""
        return self.floats[self.days // 5 == index]


def make_stack(size: int, scenes: int, seed: int = 0) -> Stack:
    """Scenes on different days of the model window, half of each under clouds of about 160 m.

    Args:
        size: Pixels along a side.
        scenes: At most 215.
        seed: Seed of all chance.
    """
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(np.arange(WINDOW[0] * 5, (WINDOW[-1] + 1) * 5), scenes, replace=False))
    values = rng.integers(-200, 9_000, (scenes, len(BANDS), size, size)).astype(np.int16)
    coarse = rng.random((scenes, -(-size // 16), -(-size // 16))) < 0.5
    clear = coarse.repeat(16, 1).repeat(16, 2)[:, :size, :size].copy()
    floats = np.where(clear[:, None], values, np.nan).astype(np.float32)
    return Stack(values, clear, days.astype(np.int64), floats)


def engine(stack: Stack, out: NDArray[np.int16]) -> NDArray[np.int16]:
    """What a run does."""
    return median_composite(stack.values, stack.clear, stack.days, EDGES, out=out)[0]


def per_bin(stack: Stack, median: Callable[..., NDArray[np.float32]]) -> NDArray[np.float32]:
    """A nanmedian of each bin that has scenes."""
    out = np.full((len(WINDOW), *stack.values.shape[1:]), np.nan, np.float32)
    for place, index in enumerate(WINDOW):
        if len(members := stack.members(index)):
            out[place] = median(members, axis=0)
    return out


def xarray_groupby(stack: Stack) -> NDArray[np.float32]:
    """The same, as one line of xarray."""
    cube = xr.DataArray(
        stack.floats, dims=("time", "band", "y", "x"), coords={"bin": ("time", stack.days // 5)}
    )
    with xr.set_options(use_bottleneck=True, use_flox=False):
        return cube.groupby("bin").median("time", skipna=True).reindex(bin=list(WINDOW)).values


def rounded(medians: NDArray[np.float32]) -> NDArray[np.int16]:
    """Medians as they are stored: halves up, gaps as nodata."""
    return np.where(np.isnan(medians), NODATA, np.floor(medians + 0.5)).astype(np.int16)


def measure(stack: Stack, rounds: int) -> dict[str, float]:
    """CPU nanoseconds per pixel observation (ten bands), the median of interleaved rounds.

    Raises:
        AssertionError: A method's values differ from the engine's.
    """
    out, copy = np.empty((len(WINDOW), *stack.values.shape[1:]), np.int16), np.empty_like(stack.values)
    methods: dict[str, Callable[[], NDArray[np.generic]]] = {
        "numpy nanmedian per bin": lambda: per_bin(stack, np.nanmedian),
        "bottleneck nanmedian per bin": lambda: per_bin(stack, bottleneck.nanmedian),
        "xarray groupby median, bottleneck": lambda: xarray_groupby(stack),
        ENGINE: lambda: engine(stack, out),
        COPY: lambda: _copied(copy, stack.values),
    }
    expected = engine(stack, out).copy()  # also compiles
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            start = time.process_time()
            result = method()
            seconds[name].append(time.process_time() - start)
            if name != COPY:
                found = result if name == ENGINE else rounded(result)  # type: ignore[arg-type]
                assert np.array_equal(found, expected), f"{name} differs from the engine"
    return {name: 1e9 * float(np.median(s)) / stack.pixel_observations for name, s in seconds.items()}


def _copied(target: NDArray[np.int16], source: NDArray[np.int16]) -> NDArray[np.int16]:
    np.copyto(target, source)
    return target


def report(nanoseconds: dict[str, float]) -> str:
    """A table with the ratio of each method to the engine."""
    own = nanoseconds[ENGINE]
    lines = [f"{'method':36}{'ns/(px obs)':>13}{'M px obs/s':>13}{'time / engine':>15}{'required':>10}"]
    for name, time_taken in nanoseconds.items():
        wanted = f">= {REQUIRED[name]:.0f}" if name in REQUIRED else ""
        lines.append(
            f"{name:36}{time_taken:13.2f}{1e3 / time_taken:13.2f}{time_taken / own:15.2f}{wanted:>10}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and fail where a requirement is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="pixels along a side [256]")
    parser.add_argument("--scenes", type=int, default=72, help="scenes within the 215 days [72]")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds [3]")
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        nanoseconds = measure(make_stack(options.size, options.scenes), options.rounds)
    print(
        f"{options.size} x {options.size} px, ten bands, {options.scenes} scenes, 43 bins; one core, CPU time"
    )
    print(report(nanoseconds))
    print("All methods agree to the last digit.")
    missed = [name for name, least in REQUIRED.items() if nanoseconds[name] < least * nanoseconds[ENGINE]]
    if missed:
        raise SystemExit(f"The engine is not fast enough compared with: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
