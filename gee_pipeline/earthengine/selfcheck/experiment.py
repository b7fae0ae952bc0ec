"""How questions of `cropmap ee selfcheck` are put, and the images that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import ee
from affine import Affine
from odc.geo.geobox import GeoBox

PLACE: Final = GeoBox((1, 2), Affine(10, 0, 690_000, 0, -10, 3_870_000), "EPSG:32615")
"""Two pixels in Arkansas, side by side."""

AROUND: Final = GeoBox((7, 7), Affine(10, 0, 690_000, 0, -10, 3_870_000), "EPSG:32615")
"""Seven times seven pixels."""


@dataclass(frozen=True)
class Experiment:
    """A question, how it is put and the answer that is assumed."""

    id: str
    """Assumption in docs/earth_engine_semantics.md."""
    question: str
    """What is asked, in words."""
    build: Callable[[], Any]
    """Makes the expression; needs an initialised client."""
    expected: Any
    """The answer, worked out by hand, as JSON values."""
    read: str = "value"
    """How it is asked and what of the answer counts: a name in `comparison.READERS`."""
    place: GeoBox = PLACE
    """Pixels that are asked for, where the answer is pixels."""


def bands(*values: float) -> ee.Image:
    """Bands a, b, c, ... of one value each, everywhere."""
    return ee.Image.constant(list(values)).rename([chr(ord("a") + i) for i in range(len(values))])


def masked(*values: float) -> ee.Image:
    """Bands of one value each, masked everywhere."""
    return bands(*values).updateMask(0)


def shown(image: ee.Image) -> ee.Image:
    """Masked pixels become -1, which bands of bytes would not hold."""
    return image.toDouble().unmask(-1, False)


def everywhere(**values: float) -> dict[str, Any]:
    """The same value of a band at both pixels of `PLACE`."""
    return {name: [[value, value]] for name, value in values.items()}
