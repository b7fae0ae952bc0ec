"""Rasters of a map as pictures within a page: of a country no larger than of a county."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling
from rasterio.windows import Window

from assessment.sample.map_file import opened_raster
from gee_pipeline.map_codes import NONE, OUTSIDE
from inference.product.qgis_style import SCALE
from inference.product.quicklook import area_extent

LONGEST: Final = 1_600
"""Most pixels along a side of a picture."""

RIM: Final = 0.02
"""White around the area, of each side."""


@dataclass(frozen=True)
class Picture:
    """A layer of the map to look at."""

    name: str
    """Name of the layer's file."""
    title: str
    """What it shows."""
    uri: str
    """The picture, as a `data:` address of a PNG."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    scale: tuple[str, ...] = ()
    """Colours from the lowest to the highest value; empty for classes."""
    limits: tuple[int, int] = (0, 0)
    """The lowest and the highest value."""


def frame_of(path: Path) -> Window:
    """The pixels of a class map that a page shows: whole ones, those of the area and a narrow rim.

    Args:
        path: `crop_map.tif`.
    """
    with opened_raster(path) as file:
        sides = [_with_rim(*extent, side) for extent, side in zip(area_extent(file), file.shape, strict=True)]
    (top, rows), (left, cols) = sides
    return Window(left, top, cols, rows)


def _with_rim(first: float, length: float, whole: int) -> tuple[int, int]:
    start = max(0, math.floor(first - RIM * length))
    return start, min(whole, math.ceil(first + length + RIM * length)) - start


def class_picture(path: Path, title: str, frame: Window, colors: Mapping[int, str]) -> Picture:
    """The class map; every coarse pixel is the most frequent class of its place.

    Args:
        path: `crop_map.tif`.
        title: What it shows.
        frame: The pixels to show.
        colors: `#rrggbb` by code.
    """
    codes = _read(path, frame, Resampling.mode)
    palette = np.zeros((256, 4), np.uint8)
    for code, color in colors.items():
        palette[code] = (*bytes.fromhex(color[1:]), 255)
    palette[OUTSIDE] = 0
    return _picture(path, title, codes, palette)


def value_picture(path: Path, title: str, frame: Window, limits: tuple[int, int] | None = None) -> Picture:
    """A layer of numbers, from dark to light.

    Args:
        path: The raster; 255 is no value.
        title: What it shows.
        frame: The pixels to show.
        limits: Values at the ends of the scale; None takes the 2nd and the 98th percentile.
    """
    values = _read(path, frame, Resampling.average)
    known = values[values != NONE]
    low, high = limits or _spread(known)
    steps = matplotlib.colormaps[SCALE].resampled(256)
    shares = np.clip((np.arange(256) - low) / max(high - low, 1), 0, 1)
    palette = (255 * steps(shares)).astype(np.uint8)
    palette[NONE] = 0
    scale = tuple(matplotlib.colors.to_hex(steps(share)) for share in np.linspace(0, 1, 9))
    return _picture(path, title, values, palette, scale, (low, high))


def _spread(known: NDArray[np.uint8]) -> tuple[int, int]:
    if not known.size:
        return 0, 1
    low, high = np.percentile(known, (2, 98)).astype(int).tolist()
    return low, max(high, low + 1)


def _read(path: Path, frame: Window, resampling: Resampling) -> NDArray[np.uint8]:
    """A part of the first band, from overviews where it is large."""
    part = min(1.0, LONGEST / max(frame.height, frame.width))
    shape = tuple(max(1, round(side * part)) for side in (frame.height, frame.width))
    with opened_raster(path) as file:
        values: NDArray[np.uint8] = file.read(1, window=frame, out_shape=shape, resampling=resampling)
    return values


def _picture(
    path: Path,
    title: str,
    values: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    scale: tuple[str, ...] = (),
    limits: tuple[int, int] = (0, 0),
) -> Picture:
    image = Image.fromarray(values)
    image.putpalette(palette[:, :3].tobytes())
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True, transparency=palette[:, 3].tobytes())
    uri = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    height, width = values.shape
    return Picture(path.stem, title, uri, width, height, scale, limits)
