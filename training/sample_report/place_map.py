"""A map of places that needs no base map: an equal-area projection, its graticule, and a scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyproj
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from inference.drawing.style import FAINT, GRID, INK
from inference.product.quicklook import round_length
from training.sample_report.report import Extent

WIDEST: Final = 90.0
"""Degrees that a map around one centre may span; wider ones are drawn as a world map."""

STEPS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)
"""Degrees between two lines of the graticule."""

LEAST: Final = 2_000.0
"""Metres that the frame shows at least, also of a single place."""

FLATTEST: Final = 1.7
"""Width by height of a frame, at most."""

RIM: Final = 0.06
"""Free space around the places, of the frame's side."""


@dataclass(frozen=True)
class MapFrame:
    """A rectangle of a projection."""

    projection: pyproj.Proj
    """From degrees to metres."""
    centre: float
    """Longitude of its middle meridian, degrees east."""
    left: float
    """Metres."""
    bottom: float
    """Metres."""
    right: float
    """Metres."""
    top: float
    """Metres."""
    world: bool
    """Whether this is a world map, on which no single scale holds."""

    @property
    def aspect(self) -> float:
        """Width by height."""
        return (self.right - self.left) / (self.top - self.bottom)

    @property
    def degrees(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Least and greatest longitude, and latitude, within; longitudes may pass 180."""
        x, y = np.meshgrid(np.linspace(self.left, self.right, 41), np.linspace(self.bottom, self.top, 41))
        lon, lat = self.projection(x, y, inverse=True)
        inside = np.isfinite(lon) & np.isfinite(lat)
        lon = self.centre + (lon[inside] - self.centre + 180) % 360 - 180
        return (float(lon.min()), float(lon.max())), (float(lat[inside].min()), float(lat[inside].max()))


def frame_places(
    lon: NDArray[np.float64], lat: NDArray[np.float64], extent: Extent, aspect: float
) -> tuple[MapFrame, NDArray[np.float64], NDArray[np.float64]]:
    """A frame around places, and the places in its metres.

    Lambert's azimuthal equal-area projection around the middle of the places, or the Equal Earth projection
    (Savric et al. 2018) where they are spread over the world.

    Args:
        lon: Degrees east.
        lat: Degrees north.
        extent: The box around them.
        aspect: Least width by height of the frame; places that lie in a row have a wider one.
    """
    centre = extent.centre
    world = extent.width > WIDEST or extent.north - extent.south > WIDEST
    kind = f"+proj=eqearth +lon_0={centre[0]}" if world else "+proj=laea +lon_0={} +lat_0={}".format(*centre)
    projection = pyproj.Proj(f"{kind} +ellps=WGS84")
    x, y = (np.asarray(values) for values in projection(lon, lat))
    width, height = (max(float(np.ptp(side)) / (1 - 2 * RIM), LEAST) for side in (x, y))
    width, height = max(width, height * aspect), max(height, width / max(aspect, FLATTEST))
    middle_x, middle_y = (float(side.min() + side.max()) / 2 for side in (x, y))
    frame = MapFrame(
        projection,
        centre[0],
        middle_x - width / 2,
        middle_y - height / 2,
        middle_x + width / 2,
        middle_y + height / 2,
        world,
    )
    return frame, x, y


def draw_frame(axes: Axes, frame: MapFrame) -> None:
    """The graticule with its degrees at the left and lower edge, and the scale bar."""
    axes.set_xlim(frame.left, frame.right)
    axes.set_ylim(frame.bottom, frame.top)
    axes.set_aspect("equal")
    (west, east), (south, north) = frame.degrees
    step = graticule_step(min(east - west, 2 * (north - south)))
    lats = np.linspace(max(south - step, -90), min(north + step, 90), 400)
    lons = np.linspace(max(west - step, frame.centre - 180), min(east + step, frame.centre + 180), 400)
    meridians = {
        lon: frame.projection(np.full(400, lon), lats) for lon in _multiples(lons[0], lons[-1], step)
    }
    parallels = {
        lat: frame.projection(lons, np.full(400, lat)) for lat in _multiples(lats[0], lats[-1], step)
    }
    for x, y in [*meridians.values(), *parallels.values()]:
        axes.plot(x, y, color=GRID, linewidth=0.6, zorder=0)
    lower = {
        at: lon for lon, (x, y) in meridians.items() if (at := _crossing(y, x, frame.bottom)) is not None
    }
    left = {at: lat for lat, (x, y) in parallels.items() if (at := _crossing(x, y, frame.left)) is not None}
    axes.set_xticks(*_inside(lower, frame.left, frame.right, "EW", step))
    axes.set_yticks(*_inside(left, frame.bottom, frame.top, "NS", step))
    axes.tick_params(labelsize=8, colors=FAINT, length=2.5, width=0.6)
    if not frame.world:
        _draw_scale_bar(axes, frame)


def graticule_step(span: float) -> float:
    """Degrees between lines, so that about five of them cross a span of degrees."""
    return min(STEPS, key=lambda step: abs(math.log(step * 5 / span)))


def degrees_text(value: float, letters: str, step: float) -> str:
    """A longitude or latitude for a reader, with the decimals that the step needs, such as `91.5° W`."""
    value = (value + 180) % 360 - 180 if letters == "EW" else value
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    letter = "" if abs(value) < step / 1e6 or (letters == "EW" and abs(value) == 180) else letters[value < 0]
    return f"{abs(value):.{decimals}f}°{' ' + letter if letter else ''}"


def _multiples(first: float, last: float, step: float) -> list[float]:
    return [index * step for index in range(math.ceil(first / step), math.floor(last / step) + 1)]


def _crossing(along: NDArray[Any], across: NDArray[Any], edge: float) -> float | None:
    """Where a line meets an edge: the value of `across` at which `along` first passes it."""
    along, across = np.asarray(along), np.asarray(across)
    passes = np.flatnonzero(np.diff(np.sign(along - edge)) != 0)
    if not len(passes):
        return None
    i = int(passes[0])
    part = (edge - along[i]) / (along[i + 1] - along[i])
    return float(across[i] + part * (across[i + 1] - across[i]))


def _inside(
    marks: dict[float, float], first: float, last: float, letters: str, step: float
) -> tuple[list[float], list[str]]:
    kept = {at: value for at, value in marks.items() if first <= at <= last}
    return list(kept), [degrees_text(value, letters, step) for value in kept.values()]


def _draw_scale_bar(axes: Axes, frame: MapFrame) -> None:
    """A bar of a round length, true in the middle of the map, on white in the lower left."""
    width, height = frame.right - frame.left, frame.top - frame.bottom
    length = round_length(0.28 * width)
    x, y = frame.left + 0.035 * width, frame.bottom + 0.03 * height
    unit, divisor = ("km", 1000) if length >= 1000 else ("m", 1)
    back = (x - 0.015 * width, y - 0.012 * height)
    axes.add_patch(
        Rectangle(
            back, length + 0.03 * width, 0.075 * height, facecolor="white", alpha=0.85, zorder=4, linewidth=0
        )
    )
    axes.plot([x, x + length], [y, y], color=INK, linewidth=2.2, solid_capstyle="butt", zorder=5)
    axes.text(
        x + length / 2,
        y + 0.012 * height,
        f"{length / divisor:,g} {unit}",
        fontsize=8,
        color=INK,
        ha="center",
        va="bottom",
        zorder=5,
    )
