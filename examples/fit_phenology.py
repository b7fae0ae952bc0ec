"""Fit the curves of the simulated crops to real pixels: means and principal factors, never pixels.

    python -m examples.fit_phenology median_S2_ARK_month1-12_day5.npz

The input is a file in CropGlobe's packaging (`fea`, `lbl`) that also says which bins are `observed` and the
CDL code of each pixel (`cdl`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.phenology import STATISTICS, Phenology, save_phenology

KINDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "corn": ("corn", (1,)),
    "soybeans": ("soybeans", (5,)),
    "rice": ("rice", (3,)),
    "cotton": ("cotton", (2,)),
    "fallow": ("other", (61,)),
    "wheat then soybeans": ("other", (26,)),
    "sorghum": ("other", (4,)),
    "peanuts": ("other", (10,)),
    "developed": ("other", (121, 122, 123, 124)),
}
"""Class and CDL codes of each kind. Codes with fewer than `FEWEST` pixels are left out: statistics of a
handful of pixels would come close to showing the pixels."""

FEWEST = 30
"""Pixels that a kind needs."""

RANK = 6
"""Factors of a kind with many pixels; fewer where there are less than ten pixels for each."""


@dataclass(frozen=True)
class Fit:
    """The statistics of one kind."""

    mean: NDArray[np.float64]
    """`(band, knot)`."""
    factors: NDArray[np.float64]
    """`(RANK, band, knot)`."""
    noise: NDArray[np.float64]
    """`(band,)`."""


def fit_phenology(fea: NDArray[np.int16], observed: NDArray[np.bool_], cdl: NDArray[np.uint8]) -> Phenology:
    """Statistics of every kind.

    Args:
        fea: `(pixel, band, bin)`, reflectance x 10,000, 73 bins of which every second can be observed.
        observed: `(pixel, bin)`; only these bins are used, the rest is interpolated.
        cdl: `(pixel,)` codes of the Cropland Data Layer.

    Raises:
        ValueError: A kind has too few pixels.
    """
    curves = knot_curves(fea, observed)
    members = {kind: np.isin(cdl, codes) for kind, (_, codes) in KINDS.items()}
    fits = [fit_kind(kind, curves[keep]) for kind, keep in members.items()]
    return Phenology(
        kinds=tuple(KINDS),
        classes=tuple(name for name, _ in KINDS.values()),
        counts=tuple(int(keep.sum()) for keep in members.values()),
        mean=np.stack([fit.mean for fit in fits]).astype(np.float32),
        factors=np.stack([fit.factors for fit in fits]).astype(np.float32),
        noise=np.stack([fit.noise for fit in fits]).astype(np.float32),
    )


def knot_curves(fea: NDArray[np.int16], observed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Gap-free curves `(pixel, band, knot)` at every second bin, linear between the observed ones."""
    bins = np.arange(fea.shape[-1])
    knots = bins[::2]
    curves = np.empty((*fea.shape[:2], len(knots)))
    for pixel, seen in enumerate(observed):
        for band in range(fea.shape[1]):
            curves[pixel, band] = np.interp(knots, bins[seen], fea[pixel, band, seen])
    return curves


def fit_kind(kind: str, curves: NDArray[np.float64]) -> Fit:
    """Mean, principal factors and scatter of the curves `(pixel, band, knot)` of one kind.

    Bands are scaled by their spread first, so that the near infrared does not take all factors.
    """
    if len(curves) < FEWEST:
        raise ValueError(f"The kind {kind} needs at least {FEWEST} pixels, got {len(curves)}.")
    low, high = np.percentile(curves, [1, 99], axis=0)  # left-over clouds would widen every factor
    clipped = np.clip(curves, low, high)
    mean = clipped.mean(axis=0)
    spread = (clipped - mean).std(axis=(0, 2))[None, :, None]
    flat = ((clipped - mean) / spread).reshape(len(curves), -1)
    _, sizes, axes = np.linalg.svd(flat, full_matrices=False)
    rank = min(RANK, len(curves) // 10)
    scaled = axes[:rank] * (sizes[:rank, None] / np.sqrt(len(curves)))
    rest = (flat - flat @ axes[:rank].T @ axes[:rank]).reshape(clipped.shape) * spread
    factors = np.zeros((RANK, *mean.shape))
    factors[:rank] = scaled.reshape(rank, *mean.shape) * spread
    return Fit(mean, factors, 1.4826 * np.median(np.abs(rest), axis=(0, 2)))


def main() -> None:
    """Fit and write the statistics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pixels", type=Path, help="labelled pixels in CropGlobe's packaging (.npz)")
    parser.add_argument("--out", type=Path, default=STATISTICS, help="file to write")
    chosen = parser.parse_args()
    with np.load(chosen.pixels) as pixels:
        phenology = fit_phenology(pixels["fea"], pixels["observed"], pixels["cdl"])
    source = (
        f"{sum(phenology.counts)} Sentinel-2 pixels of 2021 in eastern Arkansas, ten-day medians, "
        "labels from the USDA Cropland Data Layer. Contains modified Copernicus Sentinel data 2021."
    )
    save_phenology(chosen.out, phenology, source)
    print(f"{chosen.out}: {len(phenology.kinds)} kinds from {sum(phenology.counts)} pixels")


if __name__ == "__main__":
    main()
