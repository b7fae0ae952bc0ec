"""A made-up farmed landscape: fields between margins, one crop a field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import affinity

from examples.noise import smooth_noise
from examples.phenology import CLASSES, MARGIN, Phenology

_TILT = 7.0
"""Degrees by which the field pattern is turned from north."""

_TEXTURE = 0.3
"""Spread of a curve's scores within a field, relative to the spread between fields."""


@dataclass(frozen=True)
class Landscape:
    """Fields, what grows on them and how each differs from its kind's mean curve."""

    field: NDArray[np.int32]
    """`(y, x)`: number of the field, 0 on roads and margins."""
    kind: NDArray[np.int64]
    """`(field,)`: index of the kind of land; entry 0 is the margin's."""
    codes: NDArray[np.uint8]
    """`(field,)`: class code; 0 for the margin."""
    scores: NDArray[np.float32]
    """`(y, x, factor)`: position of each pixel along the factors of its kind."""

    @property
    def truth(self) -> NDArray[np.uint8]:
        """Class codes `(y, x)`, 0 where there is no field."""
        return self.codes[self.field]


def make_landscape(rng: np.random.Generator, size: int, phenology: Phenology) -> Landscape:
    """A square landscape with the real shares of the classes, by area.

    Args:
        rng: Source of chance.
        size: Pixels along a side.
        phenology: Kinds of land and their shares.
    """
    field = draw_fields(rng, size)
    areas = np.bincount(field.ravel())
    codes = share_out(rng, areas, list(phenology.class_shares().values()))
    kind = np.array([phenology.kinds.index(_draw_kind(rng, code, phenology)) for code in codes])
    scores = np.clip(rng.standard_normal((len(areas), phenology.rank), np.float32), -2, 2)
    texture = [smooth_noise(rng, field.shape, (24.0, 10.0, 4.0)) for _ in range(phenology.rank)]
    return Landscape(field, kind, codes, scores[field] + _TEXTURE * np.stack(texture, axis=-1))


def draw_fields(rng: np.random.Generator, size: int) -> NDArray[np.int32]:
    """Numbers `(y, x)` of tilted rectangular fields, 0 on the margins between them."""
    longest = min(max(size / 12, 16.0), 44.0)
    leaves = _split(rng, (-0.25 * size, -0.25 * size, 1.25 * size, 1.25 * size), longest)
    middle = (size / 2, size / 2)
    shapes = [
        affinity.rotate(shapely.box(*leaf).buffer(-rng.uniform(0.4, 1.2), join_style="mitre"), _TILT, middle)
        for leaf in leaves
    ]
    burned = rasterize(
        ((shape, number) for number, shape in enumerate(shapes, 1)), (size, size), dtype="int32"
    )
    return np.unique(burned, return_inverse=True)[1].reshape(size, size).astype(np.int32)


def share_out(rng: np.random.Generator, areas: NDArray[np.int64], shares: list[float]) -> NDArray[np.uint8]:
    """Class codes of fields in random order, each the class that lacks most of its share of the area.

    Args:
        rng: Source of chance.
        areas: Pixels of each field; entry 0 is the margin and gets code 0.
        shares: Share of each class, code 1 first.
    """
    missing = np.array(shares) * areas[1:].sum()
    codes = np.zeros(len(areas), np.uint8)
    for number in rng.permutation(np.arange(1, len(areas))):
        choice = int(missing.argmax())
        missing[choice] -= areas[number]
        codes[number] = choice + 1
    return codes


def _split(
    rng: np.random.Generator, box: tuple[float, float, float, float], longest: float
) -> Iterator[tuple[float, float, float, float]]:
    left, low, right, high = box
    width, height = right - left, high - low
    if max(width, height) <= longest * rng.uniform(0.8, 1.25):
        yield box
        return
    part = rng.uniform(0.35, 0.65)
    if width > height:
        cut = left + part * width
        halves = ((left, low, cut, high), (cut, low, right, high))
    else:
        cut = low + part * height
        halves = ((left, low, right, cut), (left, cut, right, high))
    for half in halves:
        yield from _split(rng, half, longest)


def _draw_kind(rng: np.random.Generator, code: int, phenology: Phenology) -> str:
    if code == 0:
        return MARGIN
    shares = phenology.kind_shares(list(CLASSES)[code - 1])
    return str(rng.choice(list(shares), p=list(shares.values())))
