"""Small made samples: crops that differ in when they are green."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.samples.samples import Samples

USA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "usa-2021"
ARKANSAS = USA / "median_S2_ARK_month1-12_day5.npz"


@pytest.fixture(scope="session")
def arkansas() -> Path:
    """The real pixels, where they lie next to the checkout."""
    if not ARKANSAS.is_file():
        pytest.skip(
            f"The real samples {ARKANSAS.name} are not next to this checkout (../shared/data/usa-2021)."
        )
    return ARKANSAS


@pytest.fixture(scope="session")
def california() -> Path:
    """Real pixels of many more crops, where they lie next to the checkout."""
    path = USA / "median_S2_CAL_month1-12_day5.npz"
    if not path.is_file():
        pytest.skip(f"The real samples {path.name} are not next to this checkout (../shared/data/usa-2021).")
    return path


@pytest.fixture(scope="session")
def made_samples() -> Callable[..., Samples]:
    """Samples in four by four blocks of half a degree, classes turn by turn."""
    return make_samples


def make_samples(count: int = 64, classes: int = 3, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    places = rng.permutation(count) % 16
    return Samples(
        series=series_of(labels, rng),
        labels=labels,
        class_names=("corn", "soybeans", "rice", "cotton", "other")[:classes],
        lon=-91.0 + 0.5 * (places % 4) + rng.uniform(0.02, 0.48, count),
        lat=35.0 + 0.5 * (places // 4) + rng.uniform(0.02, 0.48, count),
        source="Made samples.",
    )


def series_of(labels: Any, rng: np.random.Generator) -> Any:
    """A hump in the near infrared in spring, summer or autumn; every third bin is a gap."""
    bins = np.arange(73)
    peak = 30 + 10 * labels[:, None]
    hump = 3000 * np.exp(-(((bins - peak) / 5) ** 2))  # (sample, bin)
    series = np.full((len(labels), 10, 73), 800.0)
    series[:, 3:8] += hump[:, None, :]
    series += rng.normal(0, 60, series.shape)
    series[:, :, 2::3] = -9999
    return series.round().astype(np.int16)
