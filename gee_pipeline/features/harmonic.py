"""Harmonic features: the season of a pixel as coefficients of three waves (Tong et al. 2025, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gee_pipeline.bands import BANDS, REFLECTANCE_SCALE
from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import DAYS

VARIABLES: Final = ("B8A", "B11", "B12", "B8", "GCVI")
"""What the waves are fitted to: four bands and the green chlorophyll vegetation index, B8 / B3 - 1."""

ORDER: Final = 3
"""Number of waves: one, two and three a season."""

COEFFICIENTS: Final = ("constant", *(f"{wave}{k}" for k in range(1, ORDER + 1) for wave in ("cos", "sin")))
"""What is fitted to each variable: seven numbers."""

FEATURES: Final = tuple(f"{variable}_{name}" for variable in VARIABLES for name in COEFFICIENTS)
"""The 35 features in order."""

DARKEST_GREEN: Final = 0.01
"""Reflectance; a darker B3 counts as this one. Cropland is hardly ever so dark (the least of 5,000 pixels of
Arkansas is 0.0104), but an atmospheric correction that ends at 0 would make the index infinite."""

HALF_UP: Final = 0.500001
"""Coefficients x 10,000 become whole numbers by adding this and rounding down. The index of a series that
never changes can end on a half, which another machine computes a billionth larger or smaller."""

SMALLEST: Final = 1e-10
"""Directions of the normal equations below this share of the largest count as undetermined; this is 1e-5 of
the singular values of the regression itself, far above the rounding of 64 bits."""

_CHUNK: Final = 8192
"""Series in one step: 14 MiB of 64-bit variables."""


def harmonic_features(
    series: NDArray[np.number[Any]],
    days: ArrayLike,
    *,
    observed: NDArray[np.bool_] | None = None,
    bands: Sequence[str] = BANDS,
    period: float = DAYS,
) -> NDArray[np.float32]:
    """`harmonic_coefficients` in 32 bits."""
    return harmonic_coefficients(series, days, observed=observed, bands=bands, period=period).astype(
        np.float32
    )


def harmonic_coefficients(
    series: NDArray[np.number[Any]],
    days: ArrayLike,
    *,
    observed: NDArray[np.bool_] | None = None,
    bands: Sequence[str] = BANDS,
    period: float = DAYS,
) -> NDArray[np.float64]:
    """The 35 coefficients `FEATURES` of each series, `(sample, 35)`; of reflectances, and of the index.

    Each variable is fitted by least squares with a constant and three pairs of cosine and sine. The paper
    says neither to what nor with which period; both choices are ours. By default the fit is to the filled
    series, as all other models see them: one matrix serves all samples, and no wave swings far out in a long
    gap (on real series the largest coefficient is 20; 137 where only observed bins count, to no benefit).
    The first wave takes the season's 365 days, although the window is shorter. That costs a forest as much
    accuracy against medians (15 points in Arkansas) as the paper reports within the USA (table 4: 94.15 and
    79.32 %); with the length of the window as `period` the waves are nearly orthogonal, and it costs 2.

    Args:
        series: `(sample, band, bin)`, reflectance x 10,000, gaps filled.
        days: `(bin,)`, days since the start of the season, middle of each bin.
        observed: `(sample, bin)`, True where the fit counts a bin; None counts all. Where they are too few to
            determine the coefficients, those of the smallest sum of squares are taken.
        bands: Band of each row of a series.
        period: Days of the first wave.

    Raises:
        InputError: A band is missing, or days or observed have another shape than the series.
    """
    days = np.asarray(days, np.float64)
    _require_shapes(series, days, observed)
    rows = band_rows(bands)
    design, fit = waves(days, period), fit_matrix(days, period)
    out = np.empty((len(series), len(FEATURES)))
    for start in range(0, len(series), _CHUNK):
        part = slice(start, start + _CHUNK)
        variables = _variables(series[part], rows)  # (sample, variable, bin)
        fitted = variables @ fit.T if observed is None else _fit_observed(variables, observed[part], design)
        out[part] = fitted.reshape(len(variables), -1)
    return out


def waves(days: NDArray[np.float64], period: float = DAYS) -> NDArray[np.float64]:
    """The columns of the regression, `(bin, 7)`, in the order of `COEFFICIENTS`."""
    angles = 2 * np.pi / period * np.outer(days, np.arange(1, ORDER + 1))
    pairs = np.stack([np.cos(angles), np.sin(angles)], axis=2).reshape(len(days), -1)
    return np.column_stack([np.ones(len(days)), pairs])


def fit_matrix(days: NDArray[np.float64], period: float = DAYS) -> NDArray[np.float64]:
    """What makes coefficients of the values of all bins, `(7, bin)`: the pseudo-inverse of `waves`."""
    return np.asarray(np.linalg.pinv(waves(days, period)), np.float64)


def bin_days(recipe: Recipe) -> NDArray[np.float64]:
    """`(bin,)`: days from the start of the season to the middle of each bin of the window."""
    return (np.array(recipe.window) + 0.5) * recipe.mean_bin_days


def band_rows(bands: Sequence[str]) -> list[int]:
    """Rows of B8A, B11, B12, B8 and B3 in a series.

    Raises:
        InputError: One of them is missing.
    """
    wanted = (*VARIABLES[:-1], "B3")
    if missing := [band for band in wanted if band not in bands]:
        raise InputError(
            f"Harmonic features need the bands {', '.join(wanted)}; {', '.join(missing)} is not among "
            f"{', '.join(bands)}. Use a model on medians: a forest with --features median, a network such as "
            "--model cropnet-1d, or --model rf in a benchmark."
        )
    return [list(bands).index(band) for band in wanted]


def _variables(series: NDArray[np.number[Any]], rows: list[int]) -> NDArray[np.float64]:
    """`(sample, variable, bin)`, the bands as reflectance."""
    variables = series[:, rows].astype(np.float64) / REFLECTANCE_SCALE
    green = variables[:, -1]
    variables[:, -1] = variables[:, -2] / np.maximum(green, DARKEST_GREEN) - 1
    return variables


def _fit_observed(
    variables: NDArray[np.float64], observed: NDArray[np.bool_], design: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`(sample, variable, coefficient)` by the normal equations of each sample, all solved at once."""
    columns = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    normal = (observed @ products).reshape(-1, columns, columns)
    sums = np.where(observed[:, None], variables, 0) @ design
    return sums @ np.linalg.pinv(normal, rcond=SMALLEST, hermitian=True)  # symmetric, so either side


def _require_shapes(
    series: NDArray[np.number[Any]], days: NDArray[np.float64], observed: NDArray[np.bool_] | None
) -> None:
    samples, _, bins = series.shape
    if days.shape != (bins,) or (observed is not None and observed.shape != (samples, bins)):
        raise InputError(
            f"Series of {bins} bins take as many days, and a mask of ({samples}, {bins}); got {days.shape} "
            f"and {None if observed is None else observed.shape}."
        )
