"""How training sees a patch: as it is, or cropped, stretched and flipped, image and labels alike."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

CROPPED: Final = (0.6, 1.0)
"""Share of a patch that a crop keeps, least and most, as in the paper."""

STRETCHED: Final = (3 / 4, 4 / 3)
"""Width of a crop by its height, least and most: the usual ones of a random resized crop."""


def changed(
    image: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A part of a patch, stretched to its size, and turned over in half of the draws each way.

    Args:
        image: `(channel, y, x)`.
        labels: `(y, x)`; they are never mixed, the nearest counts.
        rng: Draws the part.
    """
    top, left, height, width = crop_of(labels.shape, rng)
    image = image[:, top : top + height, left : left + width]
    labels = _nearest(labels[top : top + height, left : left + width], labels.shape)
    image = _stretched(image, labels.shape)
    for axis in (-2, -1):
        if rng.random() < 0.5:
            image, labels = np.flip(image, axis), np.flip(labels, axis)
    return np.ascontiguousarray(image), np.ascontiguousarray(labels)


def crop_of(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a drawn part, in pixels; the whole where no draw fits.

    Args:
        shape: Height and width of the patch.
        rng: Draws it.
    """
    height, width = shape
    for _ in range(10):
        area = height * width * rng.uniform(*CROPPED)
        ratio = math.exp(rng.uniform(math.log(STRETCHED[0]), math.log(STRETCHED[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
    return 0, 0, height, width


def _stretched(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    tensor = torch.from_numpy(np.ascontiguousarray(image))[None]
    size = [int(side) for side in shape]
    stretched = functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)
    return np.asarray(stretched[0].numpy())


def _nearest(labels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Labels stretched to a size: each pixel takes that of the pixel below its centre."""
    rows, columns = (
        ((np.arange(size) + 0.5) * there / size).astype(np.int64)
        for size, there in zip(shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]
