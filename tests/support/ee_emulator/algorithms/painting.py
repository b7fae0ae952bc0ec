# ruff: noqa: N803 (arguments are named by Google)
"""Shapes of features painted on the bands of an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import shapely

from tests.support.ee_emulator.algorithms.registry import algorithm
from tests.support.ee_emulator.algorithms.shapes import projected
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import Reader, centres, shape_of
from tests.support.ee_emulator.values import Band, Collection, EmulatorError, Feature, Image, Pixels


@algorithm("Image.paint")
def _paint(request: Any, image: Image, featureCollection: Collection, color: Any, width: Any) -> Image:
    if width is not None:
        raise EmulatorError("The emulator fills shapes, it draws no outlines.")
    features = [(feature, _color(feature, color)) for feature in featureCollection.elements]
    return replace(image, bands=tuple(_painted(band, features) for band in image.bands))


def _color(feature: Any, color: Any) -> float:
    value = feature.properties.get(color) if isinstance(color, str) else color
    if not isinstance(feature, Feature) or isinstance(value, bool) or not isinstance(value, int | float):
        raise EmulatorError(f"Image.paint: the color must be a number or a numeric property, got {value!r}.")
    return value


def _painted(band: Band, features: list[tuple[Any, float]]) -> Band:
    """A pixel gets the colour of the last feature that holds its centre."""

    def compute(reader: Reader, grid: Grid) -> Pixels:
        below = reader.read(band, grid)
        values, mask = np.array(below.values), np.array(below.mask)
        x, y = np.broadcast_arrays(*centres(grid))
        for feature, value in features:
            if feature.geometry is None:
                continue
            inside = shapely.contains_xy(projected(feature.geometry, grid.crs), x, y)
            values[inside], mask[inside] = value, True
        return Pixels(values.reshape(shape_of(grid)), mask.reshape(shape_of(grid)))

    return replace(band, compute=compute)
