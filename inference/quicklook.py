"""The map as a picture to print: legend with areas, scale bar, north arrow, and what it was made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyproj
import rasterio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.grid import name_crs
from inference.legend import NOT_CROPLAND, NOT_ENOUGH, OUTSIDE, Legend, LegendEntry
from inference.map_facts import CodeArea, MapFacts, MapSummary
from inference.report import attribution

DPI: Final = 150
"""Dots per inch: 1,200 px across the map, and a file below a megabyte."""

WIDEST, HIGHEST, LOWEST = 8.2, 7.0, 3.2
"""Inches that the map may take."""

PANEL: Final = 3.7
"""Inches of the legend."""

MARGIN: Final = 0.45
"""Inches around everything."""

HEAD: Final = 0.95
"""Inches of the title."""

FOOT: Final = 0.75
"""Inches of the scale bar and the last line."""

LINE: Final = 0.29
"""Inches of one legend entry."""

LONGEST_LEGEND: Final = 18
"""Entries that fit the panel; the smallest classes are summed up beyond it."""

SEARCH: Final = 1024
"""Pixels along a side of the coarse copy in which the mapped area is looked for."""

INK, FAINT, WARNING = "#1f2328", "#6a737d", "#b42318"


@dataclass(frozen=True)
class _Sheet:
    """Sizes of the page in inches, measured from the lower left."""

    map_width: float
    map_height: float
    """Of the map's frame."""
    body: float
    """Height of the part that holds map and legend."""

    @property
    def width(self) -> float:
        return MARGIN + self.map_width + 0.35 + PANEL + MARGIN

    @property
    def height(self) -> float:
        return FOOT + self.body + HEAD

    @property
    def map_bottom(self) -> float:
        return FOOT + self.body - self.map_height

    @property
    def panel_left(self) -> float:
        return MARGIN + self.map_width + 0.35

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the map's frame in pixels of the picture."""
        return round(self.map_height * DPI), round(self.map_width * DPI)


def draw_quicklook(path: Path, crop_map: Path, legend: Legend, summary: MapSummary, facts: MapFacts) -> None:
    """Draw a class map as a PNG; it is read from its overviews, so a country takes no longer than a county.

    Args:
        path: Where the PNG shall stand.
        crop_map: Class map with overviews.
        legend: What its codes mean.
        summary: Areas of its codes.
        facts: Title, season, model and source.
    """
    entries = _listed(legend, summary)
    with rasterio.open(crop_map) as raster:
        window = _mapped_window(raster)
        sheet = _sheet(window, rows=len(entries) + 4)
        codes = _read(raster, window, sheet.pixels)
        place = _Place.of(raster, window)
    figure = Figure(figsize=(sheet.width, sheet.height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    page = _page(figure, sheet)
    _draw_map(figure, sheet, _paint(codes, legend))
    _draw_title(page, sheet, summary, facts)
    _draw_legend(page, sheet, entries, summary)
    _draw_scale_bar(page, sheet, place)
    _draw_north(page, sheet, place)
    _draw_footer(page, sheet, place, facts)
    figure.savefig(path, dpi=DPI, metadata={"Title": facts.title, "Software": f"cropmap {facts.version}"})


@dataclass(frozen=True)
class _Place:
    """Where the picture lies on the ground."""

    crs: pyproj.CRS
    x: float
    y: float
    """Centre in the CRS, metres."""
    width: float
    """Width in the CRS, metres."""

    @classmethod
    def of(cls, raster: DatasetReader, window: Window) -> _Place:
        west, south, east, north = raster.window_bounds(window)
        crs = pyproj.CRS.from_user_input(raster.crs.to_wkt())
        return cls(crs, (west + east) / 2, (south + north) / 2, east - west)

    @property
    def lonlat(self) -> tuple[float, float]:
        """Centre in degrees."""
        to_lonlat = pyproj.Transformer.from_crs(self.crs, self.crs.geodetic_crs, always_xy=True)
        lon, lat = to_lonlat.transform(self.x, self.y)
        return lon, lat

    def ground_width(self) -> float:
        """Metres of ground from the left to the right edge, at the centre's height."""
        to_lonlat = pyproj.Transformer.from_crs(self.crs, self.crs.geodetic_crs, always_xy=True)
        lon, lat = to_lonlat.transform([self.x - self.width / 2, self.x + self.width / 2], [self.y, self.y])
        geod = self.crs.get_geod() or pyproj.Geod(ellps="WGS84")
        return float(geod.inv(lon[0], lat[0], lon[1], lat[1])[2])

    def north(self) -> tuple[float, float]:
        """Unit vector to true north on the picture, x to the right and y up."""
        lon, lat = self.lonlat
        from_lonlat = pyproj.Transformer.from_crs(self.crs.geodetic_crs, self.crs, always_xy=True)
        x, y = from_lonlat.transform(lon, lat + 0.01)
        length = math.hypot(x - self.x, y - self.y)
        return (x - self.x) / length, (y - self.y) / length


def _listed(legend: Legend, summary: MapSummary) -> list[tuple[LegendEntry | None, CodeArea]]:
    """What the legend shows: every class that fits, the special codes where they occur."""
    areas = {area.code: area for area in summary.areas}
    shown = [e for e in legend.entries if e.code < NOT_CROPLAND or areas[e.code].pixels]
    if len(shown) > LONGEST_LEGEND:
        shown = [entry for entry in shown if areas[entry.code].pixels]
    by_size = sorted(shown, key=lambda entry: -areas[entry.code].pixels)
    kept, rest = {e.code for e in by_size[:LONGEST_LEGEND]}, by_size[LONGEST_LEGEND:]
    listed: list[tuple[LegendEntry | None, CodeArea]] = [(e, areas[e.code]) for e in shown if e.code in kept]
    if rest:
        pixels = sum(areas[entry.code].pixels for entry in rest)
        hectares = sum(areas[entry.code].hectares for entry in rest)
        listed.append((None, CodeArea(OUTSIDE, f"{len(rest)} smaller classes", pixels, hectares, None, None)))
    return listed


def _mapped_window(raster: DatasetReader) -> Window:
    """The part of a raster that holds the area, with a rim of 3 %."""
    step = max(raster.height, raster.width) / SEARCH
    shape = (raster.height, raster.width)
    if step > 1:
        shape = (math.ceil(raster.height / step), math.ceil(raster.width / step))
    coarse = raster.read(1, out_shape=shape, resampling=Resampling.mode)
    rows, cols = np.flatnonzero(coarse.any(1)), np.flatnonzero(coarse.any(0))
    if len(rows) == 0:
        return Window(0, 0, raster.width, raster.height)
    fy, fx = raster.height / shape[0], raster.width / shape[1]
    rim = 0.03 * max((rows[-1] - rows[0] + 1) * fy, (cols[-1] - cols[0] + 1) * fx)
    top, bottom = max(rows[0] * fy - rim, 0), min((rows[-1] + 1) * fy + rim, raster.height)
    left, right = max(cols[0] * fx - rim, 0), min((cols[-1] + 1) * fx + rim, raster.width)
    return Window(int(left), int(top), math.ceil(right) - int(left), math.ceil(bottom) - int(top))


def _sheet(window: Window, rows: int) -> _Sheet:
    """The page for a map of some shape and a legend of some lines."""
    scale = min(WIDEST / window.width, HIGHEST / window.height)
    width, height = window.width * scale, window.height * scale
    return _Sheet(width, height, body=max(height, LOWEST, rows * LINE + 0.9))


def _read(raster: DatasetReader, window: Window, shape: tuple[int, int]) -> NDArray[np.uint8]:
    coarser = window.height > shape[0]
    return raster.read(
        1, window=window, out_shape=shape, resampling=Resampling.mode if coarser else Resampling.nearest
    )


def _paint(codes: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """Colours `(y, x, 3)` of the codes; white outside, hatched where observations are too few."""
    table = np.full((256, 3), 255, np.uint8)
    for entry in legend.entries:
        table[entry.code] = entry.rgb
    painted = table[codes]
    diagonal = np.add.outer(np.arange(codes.shape[0]), np.arange(codes.shape[1]))
    painted[(codes == NOT_ENOUGH) & (diagonal % 9 < 2)] = 255
    return painted


def _page(figure: Figure, sheet: _Sheet) -> Axes:
    """Axes over the whole page whose units are inches."""
    page = figure.add_axes((0, 0, 1, 1))
    page.set_xlim(0, sheet.width)
    page.set_ylim(0, sheet.height)
    page.set_axis_off()
    return page


def _draw_map(figure: Figure, sheet: _Sheet, painted: NDArray[np.uint8]) -> None:
    box = (
        MARGIN / sheet.width,
        sheet.map_bottom / sheet.height,
        sheet.map_width / sheet.width,
        sheet.map_height / sheet.height,
    )
    axes = figure.add_axes(box)
    axes.imshow(painted, interpolation="nearest", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.6)


def _draw_title(page: Axes, sheet: _Sheet, summary: MapSummary, facts: MapFacts) -> None:
    top = sheet.height - 0.45
    page.text(MARGIN, top, _cut(facts.title, 70), fontsize=17, fontweight="bold", color=INK, va="center")
    last = facts.season.end - timedelta(days=1)
    season = f"Season {_day(facts.season.start)} to {_day(last)}   ·   {_hectares(summary.hectares)} ha"
    page.text(MARGIN, top - 0.3, season, fontsize=10.5, color=FAINT, va="center")
    if facts.simulated:
        page.text(
            sheet.width - MARGIN,
            top,
            "SIMULATED SCENES",
            fontsize=10.5,
            fontweight="bold",
            color="white",
            ha="right",
            va="center",
            bbox={"facecolor": WARNING, "edgecolor": "none", "boxstyle": "round,pad=0.45"},
        )


def _draw_legend(
    page: Axes, sheet: _Sheet, entries: list[tuple[LegendEntry | None, CodeArea]], summary: MapSummary
) -> None:
    left, right = sheet.panel_left, sheet.panel_left + PANEL
    y = sheet.height - HEAD - 0.1
    page.text(right - 0.72, y, "hectares", fontsize=8.5, color=FAINT, ha="right", va="center")
    page.text(right, y, "share", fontsize=8.5, color=FAINT, ha="right", va="center")
    y -= LINE
    for entry, area in entries:
        _draw_swatch(page, left, y, entry)
        share = 100 * area.hectares / summary.hectares if summary.hectares else 0.0
        page.text(left + 0.42, y, _cut(area.name, 23), fontsize=10, color=INK, va="center")
        page.text(right - 0.72, y, _hectares(area.hectares), fontsize=10, color=INK, ha="right", va="center")
        page.text(right, y, f"{share:.1f} %", fontsize=10, color=INK, ha="right", va="center")
        y -= LINE
    page.plot([left, right], [y + 0.12, y + 0.12], color=FAINT, linewidth=0.6)
    page.text(left, y - 0.1, _confidence(summary), fontsize=8.5, color=FAINT, va="center")


def _draw_swatch(page: Axes, left: float, y: float, entry: LegendEntry | None) -> None:
    hatched = entry is not None and entry.code == NOT_ENOUGH
    swatch = Rectangle(
        (left, y - 0.085),
        0.3,
        0.17,
        facecolor=entry.color if entry else "white",
        edgecolor="white" if hatched else FAINT,
        linewidth=0.5,
        hatch="/////" if hatched else None,
    )
    page.add_patch(swatch)


def _draw_scale_bar(page: Axes, sheet: _Sheet, place: _Place) -> None:
    """A bar of a round length of ground, which a projected metre is not everywhere."""
    inch = place.ground_width() / sheet.map_width
    length = round_length(min(2.6, 0.45 * sheet.map_width) * inch)
    half, y = length / inch / 2, _bar_height(sheet)
    for index, color in enumerate((INK, "white")):
        part = Rectangle(
            (MARGIN + index * half, y), half, 0.07, facecolor=color, edgecolor=INK, linewidth=0.7
        )
        page.add_patch(part)
    unit, divisor = ("km", 1000) if length >= 1000 else ("m", 1)
    for fraction in (0, 0.5, 1):
        label = f"{length * fraction / divisor:g}" + (f" {unit}" if fraction == 1 else "")
        x = MARGIN + 2 * half * fraction
        page.text(x, y + 0.1, label, fontsize=8, color=INK, ha="left" if fraction == 0 else "center")


def round_length(metres: float) -> float:
    """The longest of 1, 2 or 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(metres))
    return max(step * power for step in (1, 2, 5) if step * power <= metres * (1 + 1e-9))


def _bar_height(sheet: _Sheet) -> float:
    return FOOT - 0.33


def _draw_north(page: Axes, sheet: _Sheet, place: _Place) -> None:
    """An arrow to true north, which the grid's columns only point to along one meridian."""
    east, north = place.north()
    turn = np.array([[north, east], [-east, north]])
    arrow = np.array([[0, 0.27], [0.1, -0.2], [0, -0.11], [-0.1, -0.2]]) @ turn.T
    centre = np.array([sheet.panel_left + PANEL - 0.2, FOOT + 0.32])
    page.add_patch(Polygon(arrow + centre, closed=True, facecolor=INK, edgecolor="none"))
    x, y = np.array([0, 0.39]) @ turn.T + centre
    page.text(x, y, "N", fontsize=10, fontweight="bold", color=INK, ha="center", va="center")


def _draw_footer(page: Axes, sheet: _Sheet, place: _Place, facts: MapFacts) -> None:
    lon, lat = place.lonlat
    where = f"{abs(lat):.3f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.3f}° {'E' if lon >= 0 else 'W'}"
    parts = [
        f"{name_crs(place.crs)}, {PIXEL_SIZE} m pixels, centre {where}",
        f"model {facts.model}",
        f"cropmap {facts.version}",
        attribution(facts) or "scenes are simulated: no real crops",
    ]
    page.text(MARGIN, 0.17, "   ·   ".join(parts), fontsize=7.5, color=FAINT, va="center")


def _confidence(summary: MapSummary) -> str:
    known = [(a.pixels, a.mean_confidence) for a in summary.areas if a.mean_confidence is not None]
    pixels = sum(count for count, _ in known)
    if not pixels:
        return "No pixel was classified."
    return f"Mean confidence {sum(count * mean for count, mean in known) / pixels:.0f} of 100"


def _hectares(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
