"""Made patches: two data sets of small images whose classes can be told apart, with labels and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from training.foundation.patches import BANDS

SIDE = 64
"""Pixels along a side; the paper has 256."""

LEFT, TOP = 500_000.0, 5_400_000.0
"""Corner of the first patch, UTM 33 north; the others follow to the east, one after the other."""

CLASSES = {"CDL": (1, 2, 4, 5), "SACT": (4, 5)}
"""Classes of each made data set."""


def corner(number: int) -> tuple[float, float]:
    return LEFT + 10.0 * SIDE * number, TOP


def write_raster(
    path: Path, values: NDArray, left: float, top: float, *, crs: str = "EPSG:32633", **more
) -> None:
    """Write `(band, y, x)` or `(y, x)` values of 10 m pixels."""
    bands = values if values.ndim == 3 else values[None]
    names, tags = more.pop("names", ()), more.pop("tags", {})
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "count": len(bands),
        "height": bands.shape[1],
        "width": bands.shape[2],
        "dtype": bands.dtype.name,
        "crs": crs,
        "transform": from_origin(left, top, 10, 10),
        **more,
    }
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)
        for number, name in enumerate(names, 1):
            file.set_band_description(number, name)
        file.update_tags(**tags)


def labels_of(rng: np.random.Generator, classes: tuple[int, ...], side: int = SIDE) -> NDArray[np.uint8]:
    """Fields of 16 pixels; the last row of them is not labelled."""
    fields = rng.choice(classes, size=(side // 16, side // 16)).astype(np.uint8)
    labels = np.kron(fields, np.ones((16, 16), np.uint8))
    labels[-16:] = 0
    return labels


def image_of(rng: np.random.Generator, labels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Thirteen bands, each class at a level of its own with noise."""
    spectrum = 400 + 500 * ((labels[None] * np.arange(3, 3 + len(BANDS))[:, None, None]) % 7)
    return (spectrum + rng.normal(0, 60, spectrum.shape)).clip(1).astype(np.uint16)


def write_dataset(
    folder: Path, name: str, *, first: int = 0, training: int = 10, test: int = 4, side: int = SIDE
) -> Path:
    """A data set in `folder/name`: images, labels 0 to 5, lists; its patches lie from place `first` on."""
    rng = np.random.default_rng([len(name), first])
    names = []
    for number in range(training + test):
        labels = labels_of(rng, CLASSES[name], side)
        file = f"2023_{first + number:03d}.tif"
        write_raster(folder / name / "images" / file, image_of(rng, labels), *corner(first + number))
        write_raster(folder / name / "labels" / file, labels, *corner(first + number))
        names.append(file)
    write_list(folder / name / f"train_{training}.csv", names[:training])
    write_list(folder / name / "test.csv", names[training:])
    return folder / name


def write_datasets(folder: Path) -> Path:
    """Two made data sets of ten training and four test images each."""
    write_dataset(folder, "CDL")
    write_dataset(folder, "SACT", first=100)
    return folder


def write_list(path: Path, names: list[str]) -> None:
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
