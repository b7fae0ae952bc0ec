"""The map as a picture to print: legend with areas, scale bar, north arrow, and what it was made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import rasterio
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.grid import name_crs
from gee_pipeline.map_codes import NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from inference.drawing import style
from inference.drawing.style import (
    A4,
    FAINT,
    INK,
    NOTE,
    SMALL,
    TEXT,
    WARNING,
    framed_axes,
    new_figure,
    save_figure,
)
from inference.product.legend import Legend, LegendEntry
from inference.product.map_facts import COUNTED, CodeArea, MapFacts, MapSummary, hectares_text
from inference.product.report import attribution, model_window
from inference.run.completeness import MUCH_MAPPED

MARGIN: Final = 0.45
"""Inches around everything."""

WIDTH: Final = A4[0] - 2 * MARGIN
"""Inches that map and legend take, between the margins of a sheet in portrait."""

HEAD: Final = 0.95
"""Inches of the title."""

FOOT: Final = 0.62
"""Inches of the last two lines."""

SCALE: Final = 0.55
"""Inches of the scale bar and the north arrow, under the map."""

NOTES: Final = 0.75
"""Inches of what is said under the legend."""

LINE: Final = 0.27
"""Inches of one legend entry."""

COLUMNS: Final = 2
"""Columns of the legend."""

BETWEEN: Final = 0.4
"""Inches between them."""

LONGEST_LEGEND: Final = 18
"""Entries that are listed; the smallest classes are summed up beyond it."""

SEARCH: Final = 1024
"""Pixels along a side of the coarse copy in which the mapped area is looked for."""

RIM: Final = 0.03
"""White around the area, of its longer side."""

FLATTEST: Final = 1.5
"""The map is at most this many times as wide as high, so that a narrow area has some height."""


@dataclass(frozen=True)
class _Sheet:
    """Sizes of the page in inches, measured from the lower left: the map, under it the legend."""

    map_height: float
    """Of the map's frame, which is as wide as the page but for the margins."""
    rows: int
    """Lines of the legend."""

    @classmethod
    def highest(cls, rows: int) -> float:
        """Height that is left for the map on a sheet of A4."""
        return A4[1] - HEAD - SCALE - _legend_height(rows) - NOTES - FOOT

    @property
    def width(self) -> float:
        return A4[0]

    @property
    def height(self) -> float:
        return FOOT + NOTES + _legend_height(self.rows) + SCALE + self.map_height + HEAD

    @property
    def map_bottom(self) -> float:
        return self.height - HEAD - self.map_height

    @property
    def legend_top(self) -> float:
        return self.map_bottom - SCALE

    @property
    def column(self) -> float:
        """Width of a column of the legend."""
        return (WIDTH - (COLUMNS - 1) * BETWEEN) / COLUMNS

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the map's frame in pixels of the picture."""
        return round(self.map_height * style.DPI), round(WIDTH * style.DPI)


def _legend_height(rows: int) -> float:
    """Inches of the legend: a line of heads, and its entries."""
    return LINE * (rows + 1)


def draw_quicklook(path: Path, crop_map: Path, legend: Legend, summary: MapSummary, facts: MapFacts) -> None:
    """Draw a class map as a PNG; it is read from its overviews, so a country takes no longer than a county.

    Args:
        path: Where to write the PNG.
        crop_map: Class map with overviews.
        legend: What its codes mean.
        summary: Areas of its codes.
        facts: Title, season, model and source.
    """
    save_figure(compose_sheet(crop_map, legend, summary, facts), path, facts.title)


def compose_sheet(crop_map: Path, legend: Legend, summary: MapSummary, facts: MapFacts) -> Figure:
    """The printed sheet, no larger than A4: the map, under it scale bar, north arrow and legend."""
    entries = _listed(legend, summary)
    rows = math.ceil(len(entries) / COLUMNS)
    with rasterio.open(crop_map) as raster:
        frame = _frame(raster, WIDTH / _Sheet.highest(rows))
        sheet = _Sheet(WIDTH * frame.height / frame.width, rows)
        codes = _read(raster, frame, sheet.pixels)
        place = PictureExtent.of(raster, frame)
    figure = new_figure(sheet.width, sheet.height)
    page = _page(figure, sheet)
    _draw_map(figure, sheet, _paint(codes, legend))
    _draw_title(page, sheet, summary, facts)
    _draw_scale_bar(page, sheet, place)
    _draw_north(page, sheet, place)
    _draw_legend(page, sheet, entries, summary)
    _draw_notes(page, summary, facts)
    _draw_footer(page, place, facts)
    return figure


@dataclass(frozen=True)
class PictureExtent:
    """Where the picture lies on the ground."""

    crs: pyproj.CRS
    """CRS of the map, in metres."""
    x: float
    """Centre, metres."""
    y: float
    """Centre, metres."""
    width: float
    """From the left to the right edge in the CRS, metres."""

    @classmethod
    def of(cls, raster: DatasetReader, frame: Window) -> PictureExtent:
        """The place of some pixels of a raster."""
        west, south, east, north = raster.window_bounds(frame)
        crs = pyproj.CRS.from_user_input(raster.crs.to_wkt())
        return cls(crs, (west + east) / 2, (south + north) / 2, east - west)

    @property
    def lonlat(self) -> tuple[float, float]:
        """Centre in degrees."""
        lon, lat = self._projection(self.x, self.y, inverse=True)
        return lon, lat

    @property
    def ground_width(self) -> float:
        """Metres of ground from the left to the right edge, at the centre's height."""
        edges = [self.x - self.width / 2, self.x + self.width / 2]
        lon, lat = self._projection(edges, [self.y, self.y], inverse=True)
        geod = self.crs.get_geod() or pyproj.Geod(ellps="WGS84")
        return float(geod.inv(lon[0], lat[0], lon[1], lat[1])[2])

    @property
    def north(self) -> tuple[float, float]:
        """Unit vector to true north on the picture, x to the right and y up."""
        lon, lat = self.lonlat
        x, y = self._projection(lon, lat + 0.001)
        length = math.hypot(x - self.x, y - self.y)
        return (x - self.x) / length, (y - self.y) / length

    @property
    def _projection(self) -> pyproj.Proj:
        return pyproj.Proj(self.crs)


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


def _frame(raster: DatasetReader, slimmest: float) -> Window:
    """The pixels that the picture shows: those of the area, and a rim; it may reach beyond the raster.

    Args:
        raster: The class map.
        slimmest: Least width by height.
    """
    (top, height), (left, width) = area_extent(raster)
    rim = 2 * RIM * max(height, width)
    rows, cols = height + rim, width + rim
    rows, cols = max(rows, cols / FLATTEST), max(cols, rows * slimmest)
    return Window(left - (cols - width) / 2, top - (rows - height) / 2, cols, rows)


def area_extent(raster: DatasetReader) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the area lies in a class map: its first row and how many, its first column and how many.

    It is looked for in a coarse copy, so the last few pixels at its edges are rounded.
    """
    shape = (raster.height, raster.width)
    step = max(1.0, max(shape) / SEARCH)
    coarse = raster.read(
        1, out_shape=tuple(math.ceil(side / step) for side in shape), resampling=Resampling.mode
    )
    return _extent(coarse.any(1), raster.height), _extent(coarse.any(0), raster.width)


def _extent(found: NDArray[np.bool_], length: int) -> tuple[float, float]:
    """First position and extent of what was found on a coarse copy of a raster's side."""
    step = length / len(found)
    places = np.flatnonzero(found)
    if len(places) == 0:
        return 0, length
    return places[0] * step, (places[-1] + 1 - places[0]) * step


def _read(raster: DatasetReader, frame: Window, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The codes of a frame at the size of the picture; 0 beyond the raster."""
    part = frame.intersection(Window(0, 0, raster.width, raster.height))
    fy, fx = shape[0] / frame.height, shape[1] / frame.width
    rows = slice(round((part.row_off - frame.row_off) * fy), None)
    cols = slice(round((part.col_off - frame.col_off) * fx), None)
    codes = np.zeros(shape, np.uint8)
    target = codes[rows, cols][: max(round(part.height * fy), 1), : max(round(part.width * fx), 1)]
    coarser = Resampling.mode if fy < 1 else Resampling.nearest
    target[:] = raster.read(1, window=part, out_shape=target.shape, resampling=coarser)
    return codes


def _paint(codes: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """Colours `(y, x, 3)` of the codes; white outside, hatched where observations are too few."""
    table = np.full((256, 3), 255, np.uint8)
    for entry in legend.entries:
        table[entry.code] = entry.rgb
    painted = table[codes]
    step = max(1, round(style.DPI / 75))  # dots of a white line, a seventy-fifth of an inch
    diagonal = np.add.outer(*(np.arange(side, dtype=np.uint16) for side in codes.shape))
    painted[(codes == NOT_ENOUGH) & (diagonal % (9 * step // 2) < step)] = 255
    return painted


def _page(figure: Figure, sheet: _Sheet) -> Axes:
    """Axes over the whole page whose units are inches."""
    page = figure.add_axes((0, 0, 1, 1))
    page.set_xlim(0, sheet.width)
    page.set_ylim(0, sheet.height)
    page.set_axis_off()
    return page


def _text(page: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text as it stands: a dollar sign in a name is not a formula."""
    page.text(x, y, text, parse_math=False, **{"color": INK, "va": "center", **style})


def _draw_map(figure: Figure, sheet: _Sheet, painted: NDArray[np.uint8]) -> None:
    left, bottom = MARGIN / sheet.width, sheet.map_bottom / sheet.height
    axes = figure.add_axes((left, bottom, WIDTH / sheet.width, sheet.map_height / sheet.height))
    axes.patch.set_visible(False)
    dots = style.DPI * np.array([MARGIN, sheet.map_bottom])
    figure.figimage(painted, *np.round(dots).tolist(), zorder=-1)  # dot by dot, at no other size
    axes.set_xticks([])
    axes.set_yticks([])
    framed_axes(axes)


def _draw_title(page: Axes, sheet: _Sheet, summary: MapSummary, facts: MapFacts) -> None:
    top = sheet.height - 0.45
    _text(
        page, MARGIN, top, _cut(facts.title, int((sheet.width - 3) / 0.155)), fontsize=17, fontweight="bold"
    )
    window = model_window(facts)
    days = f"Observed {_day(window.start)} to {_day(window.last)}"
    season = f"{days}   ·   {hectares_text(summary.hectares)} ha"
    _text(page, MARGIN, top - 0.3, season, fontsize=10.5, color=FAINT)
    if facts.simulated:
        _text(
            page,
            sheet.width - MARGIN - 0.07,
            top,
            "SIMULATED SCENES",
            fontsize=10.5,
            fontweight="bold",
            color="white",
            ha="right",
            bbox={"facecolor": WARNING, "edgecolor": "none", "boxstyle": "round,pad=0.45"},
        )


def _draw_legend(
    page: Axes, sheet: _Sheet, entries: list[tuple[LegendEntry | None, CodeArea]], summary: MapSummary
) -> None:
    """Colour, name, hectares and share of each class, column by column."""
    for first in range(0, len(entries), max(sheet.rows, 1)):
        left = MARGIN + first // sheet.rows * (sheet.column + BETWEEN)
        right, y = left + sheet.column, sheet.legend_top - LINE / 2
        _text(page, right - 0.72, y, "hectares", fontsize=SMALL, color=FAINT, ha="right")
        _text(page, right, y, "share", fontsize=SMALL, color=FAINT, ha="right")
        for entry, area in entries[first : first + sheet.rows]:
            y -= LINE
            _draw_swatch(page, left, y, entry)
            share = 100 * area.hectares / summary.hectares if summary.hectares else 0.0
            _text(page, left + 0.4, y, _cut(area.name, 24), fontsize=TEXT)
            _text(page, right - 0.72, y, hectares_text(area.hectares), fontsize=TEXT, ha="right")
            _text(page, right, y, f"{share:.1f} %", fontsize=TEXT, ha="right")


def _draw_notes(page: Axes, summary: MapSummary, facts: MapFacts) -> None:
    """Confidence, what the areas are, and whether much is missing, above the last lines."""
    y = FOOT + NOTES - 0.15
    page.plot([MARGIN, MARGIN + WIDTH], [y, y], color=FAINT, linewidth=0.6)
    _text(page, MARGIN, y - 0.17, f"{_confidence(summary, facts)}. {COUNTED}", fontsize=SMALL, color=FAINT)
    mapped = facts.completeness.get("coverage", {}).get("mapped", 1)
    if mapped < MUCH_MAPPED:
        missing = f"Only {mapped:.1%} of the area to map has a class."
        _text(page, MARGIN, y - 0.38, missing, color=WARNING, fontsize=TEXT)


def _draw_swatch(page: Axes, left: float, y: float, entry: LegendEntry | None) -> None:
    hatched = entry is not None and entry.code == NOT_ENOUGH
    swatch = Rectangle(
        (left, y - 0.075),
        0.3,
        0.17,
        facecolor=entry.color if entry else "white",
        edgecolor="white" if hatched else FAINT,
        linewidth=0.5,
        hatch="/////" if hatched else None,
    )
    page.add_patch(swatch)


def _draw_scale_bar(page: Axes, sheet: _Sheet, place: PictureExtent) -> None:
    """A bar of a round length of ground, which a projected metre is not everywhere."""
    inch = place.ground_width / WIDTH
    length = round_length(2.4 * inch)
    half, left, y = length / inch / 2, MARGIN, sheet.map_bottom - 0.2
    for start, color in ((left, INK), (left + half, "white")):
        part = Rectangle((start, y), half, 0.08, facecolor=color, edgecolor=INK, linewidth=0.7)
        page.add_patch(part)
    unit, divisor = ("km", 1000) if length >= 1000 else ("m", 1)
    for fraction, suffix in ((0, ""), (0.5, ""), (1, f" {unit}")):
        label = f"{length * fraction / divisor:g}{suffix}"
        side = "left" if fraction == 0 else "center"
        _text(page, left + 2 * half * fraction, y - 0.12, label, fontsize=SMALL, ha=side)


def round_length(metres: float) -> float:
    """The longest of 1, 2 or 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(metres))
    return max(step * power for step in (1, 2, 5) if step * power <= metres * (1 + 1e-9))


def _draw_north(page: Axes, sheet: _Sheet, place: PictureExtent) -> None:
    """An arrow to true north, which the grid's columns only point to along one meridian."""
    east, north = place.north
    turn = np.array([[north, east], [-east, north]])
    arrow = np.array([[0, 0.2], [0.08, -0.16], [0, -0.09], [-0.08, -0.16]]) @ turn.T
    centre = np.array([MARGIN + WIDTH - 0.2, sheet.map_bottom - 0.29])
    page.add_patch(Polygon(arrow + centre, closed=True, facecolor=INK, edgecolor="none"))
    x, y = centre - (0.22, 0)
    _text(page, x, y, "N", fontsize=10, fontweight="bold", ha="center")


def _draw_footer(page: Axes, place: PictureExtent, facts: MapFacts) -> None:
    """Where it is and what made it; below, the source."""
    lon, lat = place.lonlat
    where = f"{abs(lat):.3f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.3f}° {'E' if lon >= 0 else 'W'}"
    parts = [
        f"{name_crs(place.crs)}, {PIXEL_SIZE} m pixels, centre {where}",
        f"model {facts.model}",
        f"cropmap {facts.version}",
    ]
    lines = ("   ·   ".join(parts), f"Source: {attribution(facts) or 'simulated scenes, no real crops'}")
    for index, line in enumerate(lines):
        y = 0.46 - 0.19 * index
        _text(page, MARGIN, y, _cut(line, int(WIDTH / 0.056)), fontsize=NOTE, color=FAINT)


def _confidence(summary: MapSummary, facts: MapFacts) -> str:
    known = [(a.pixels, a.mean_confidence) for a in summary.areas if a.mean_confidence is not None]
    pixels = sum(count for count, _ in known)
    if not pixels:
        classified = any(a.pixels for a in summary.areas if a.code < NOT_CROPLAND)
        return f"Confidence: {facts.confidence}" if classified else "No pixel was classified."
    how = f": {facts.confidence}" if facts.confidence else ""
    return f"Mean confidence {sum(count * mean for count, mean in known) / pixels:.0f} of 100{how}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
