"""Procedural clouds with shadows, the score and the scene classes that a real product would give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from examples.noise import smooth_noise
from gee_pipeline.bands import BANDS

_CLOUD: Final = np.array([5600, 5400, 5400, 5900, 5500, 5600, 5800, 5900, 4300, 3300], np.float32)
"""Reflectance x 10,000 of an opaque cloud, in the order of the bands: darker where ice and water absorb."""

_LENGTHS: Final = (96.0, 48.0, 24.0, 12.0, 6.0)
"""Pixels between the nodes of the layers of a cloud field."""

THIN: Final = 0.11
"""Opacity from which the score falls below 0.75 and the scene classes name a cloud."""


@dataclass(frozen=True)
class Sky:
    """The clouds of one acquisition over the whole place."""

    opacity: NDArray[np.float32]
    """`(y, x)`, 0 clear to 1 opaque."""
    shade: NDArray[np.float32]
    """`(y, x)`, 0 sunlit to 1 full shadow."""

    @property
    def cover(self) -> float:
        """Share of pixels that are not clear."""
        return float((self.opacity > THIN).mean())


def draw_cover(rng: np.random.Generator) -> float:
    """Cloud cover of a day: two of five clear, one of four overcast, the others anything between."""
    chance = rng.random()
    if chance < 0.40:
        return rng.uniform(0.0, 0.03)
    return 1.0 if chance < 0.65 else rng.uniform(0.05, 0.95)


def make_sky(rng: np.random.Generator, shape: tuple[int, int], cover: float) -> Sky:
    """Clouds that cover about a share of the place; their shadows fall to the north-west.

    Args:
        rng: Source of chance.
        shape: Rows and columns.
        cover: 0 to 1.
    """
    height = int(rng.integers(12, 40))  # shadow's distance in pixels, by the height of the clouds
    surface = smooth_noise(rng, (shape[0] + height, shape[1] + height), _LENGTHS)
    base = np.quantile(surface, 1 - cover) - (0.8 if cover == 1 else 0.0)
    ramp = np.clip((surface - base) / 0.5, 0, 1) if cover > 0 else np.zeros_like(surface)
    opacity = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    own = opacity[:-height, :-height]
    aside = opacity[height:, height - height // 2 : opacity.shape[1] - height // 2]
    return Sky(own, np.clip(aside - own, 0, 1))


def veil(reflectance: NDArray[np.float32], sky: Sky) -> NDArray[np.float32]:
    """Ground `(band, y, x)` as seen through a sky, reflectance x 10,000."""
    lit = reflectance * (1 - 0.6 * sky.shade)
    return lit + (_CLOUD[:, None, None] - lit) * sky.opacity


def score(rng: np.random.Generator, sky: Sky) -> NDArray[np.float32]:
    """A score `(y, x)` like Cloud Score+ `cs`: near 1 where clear, lower at edges and in shadow."""
    scatter = 0.015 * rng.standard_normal(sky.opacity.shape, np.float32)
    return np.clip(0.95 - 1.8 * sky.opacity - 0.6 * sky.shade + scatter, 0, 1)


def scene_classes(reflectance: NDArray[np.float32], sky: Sky) -> NDArray[np.uint8]:
    """Sen2Cor classes `(y, x)` of a sky over ground `(band, y, x)`."""
    red, nir = reflectance[BANDS.index("B4")], reflectance[BANDS.index("B8")]
    classes = np.where((nir - red) / (nir + red) > 0.35, 4, 5)  # vegetation, bare soil
    classes = np.where(sky.shade > 0.3, 3, classes)  # cloud shadow
    for opacity, code in ((THIN, 10), (0.35, 8), (0.65, 9)):  # thin cirrus, medium and high probability
        classes = np.where(sky.opacity > opacity, code, classes)
    return classes.astype(np.uint8)
