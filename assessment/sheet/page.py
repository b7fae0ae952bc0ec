"""One HTML page a point: curves and chips by date, without network and without anything of the map."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assessment.sheet.imagery import Imagery
from gee_pipeline.bands import BRIGHTEST, NODATA, REFLECTANCE_SCALE

WIDTH: Final = 720
HEIGHT: Final = 180
"""Of a drawing of curves, pixels."""

SHADES: Final = ("#0072b2", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
"""Colours of curves that colour-blind readers can tell apart (Okabe and Ito 2008)."""

_STYLE: Final = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:1rem auto;max-width:760px;padding:0 .5rem}"
    "svg{width:100%;height:auto;background:#fafafa}nav{display:flex;justify-content:space-between}"
    ".chips{display:flex;flex-wrap:wrap;gap:6px}"
    "figure{margin:0;position:relative;text-align:center;font-size:12px}"
    "img{width:132px;height:132px;image-rendering:pixelated;display:block}"
    "figure::after{content:'';position:absolute;left:60px;top:60px;width:10px;height:10px;"
    "border:1px solid #f0f}"
)


@dataclass(frozen=True)
class PagePoint:
    """A point as a page shows it."""

    id: str
    """Its number."""
    lon: float
    """Degrees."""
    lat: float
    """Degrees."""
    before: str
    """Number of the point before it; empty where there is none."""
    after: str
    """Number of the point after it."""


def page(
    point: PagePoint, imagery: Imagery, bands: Sequence[str], dates: Sequence[date], classes: Sequence[str]
) -> str:
    """The page of a point as HTML.

    Args:
        point: The point.
        imagery: What was observed there.
        bands: Names of the bands of its series.
        dates: First day of each bin.
        classes: What an answer may name.
    """
    title = f"Point {point.id}"
    parts = [
        f"<nav>{_link(point.before, 'before')}<b>{escape(title)}</b>{_link(point.after, 'after')}</nav>",
        f"<p>{point.lat:.6f}, {point.lon:.6f} {_maps(point)}</p>",
        f"<p>What is at the marked pixel? {escape(', '.join(classes))}</p>",
        *_curves(imagery, bands, dates),
        _chips(imagery, dates),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _link(number: str, text: str) -> str:
    return f'<a href="{escape(number)}.html">{text}</a>' if number else "<span></span>"


def _maps(point: PagePoint) -> str:
    """Links to the place; nothing is loaded until somebody follows one."""
    lat, lon = f"{point.lat:.6f}", f"{point.lon:.6f}"
    places = {
        "satellite": f"https://www.google.com/maps?q={lat},{lon}&t=k&z=17",
        "OpenStreetMap": f"https://www.openstreetmap.org/?mlat={lat}&mlon={lon}#map=17/{lat}/{lon}",
    }
    return " ".join(f'<a href="{escape(url)}">{name}</a>' for name, url in places.items())


def _curves(imagery: Imagery, bands: Sequence[str], dates: Sequence[date]) -> list[str]:
    series = {name: imagery.series[:, k] for k, name in enumerate(bands)}
    out = []
    if {"B8", "B4"} <= set(series):
        above, below = series["B8"] - series["B4"], series["B8"] + series["B4"]
        ndvi = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
        out += ["<h2>NDVI</h2>", drawing({"NDVI": ndvi}, dates, -0.2, 1.0)]
    known = imagery.series[np.isfinite(imagery.series)]
    if len(known):
        low, high = min(0.0, float(known.min())), max(float(known.max()), 0.1)
        out += ["<h2>Bands</h2>", drawing(series, dates, low, high)]
    return out or ["<p>Nothing was observed here.</p>"]


def drawing(curves: dict[str, NDArray[np.float64]], dates: Sequence[date], low: float, high: float) -> str:
    """Curves over dates as SVG; a gap is not bridged, a single observation is a dot.

    Args:
        curves: Values `(date,)` by name, NaN where there is none.
        dates: When.
        low: Value at the bottom.
        high: Value at the top.
    """
    start = dates[0].toordinal()
    days = np.array([day.toordinal() - start for day in dates], float)
    x = 40 + (WIDTH - 50) * days / max(days[-1], 1)
    parts = [_axis(value, low, high) for value in (low, (low + high) / 2, high)]
    parts += [
        f'<text x="{place:.0f}" y="{HEIGHT - 4}" font-size="11">{day:%d %b}</text>'
        for place, day in list(zip(x.tolist(), dates, strict=True))[:: max(len(dates) // 8, 1)]
    ]
    for number, (name, values) in enumerate(curves.items()):
        shade, again = SHADES[number % len(SHADES)], number >= len(SHADES)
        fill = "none" if again else shade  # colours that come again have rings and dashes
        dashes = ' stroke-dasharray="4 3"' if again else ""
        y = _height(values, low, high)
        seen = np.flatnonzero(np.isfinite(values))
        parts += [
            f'<circle cx="{x[i]:.1f}" cy="{y[i]:.1f}" r="2.5" fill="{fill}" stroke="{shade}"/>' for i in seen
        ]
        for run in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
            points = " ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in run)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{shade}"{dashes}/>')
        parts.append(
            f'<text x="{44 + 52 * number}" y="12" font-size="11" fill="{shade}">{escape(name)}</text>'
        )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _height(values: NDArray[np.float64] | float, low: float, high: float) -> NDArray[np.float64]:
    share = np.clip((np.asarray(values) - low) / (high - low), 0, 1)
    return np.asarray(HEIGHT - 20 - (HEIGHT - 40) * share)


def _axis(value: float, low: float, high: float) -> str:
    y = float(_height(value, low, high))
    return (
        f'<line x1="40" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="4" y="{y + 4:.1f}" font-size="11">{value:.2f}</text>'
    )


def _chips(imagery: Imagery, dates: Sequence[date]) -> str:
    if imagery.chips is None:
        return "<p>The recipe has no red, green and blue.</p>"
    figures = []
    for chip, day in zip(imagery.chips, dates, strict=True):
        if (chip != NODATA).any():
            picture = base64.b64encode(png(_colours(chip))).decode()
            image = f'<img alt="{day:%d %b %Y}" src="data:image/png;base64,{picture}">'
            figures.append(f"<figure>{image}{day:%d %b}</figure>")
    return f'<h2>True colour</h2><div class="chips">{"".join(figures)}</div>'


def _colours(chip: NDArray[np.int16]) -> NDArray[np.uint8]:
    """`(y, x, 3)` of a chip `(3, y, x)`; what was not observed is grey."""
    bright = np.clip(chip / (BRIGHTEST * REFLECTANCE_SCALE), 0, 1) ** 0.8 * 255
    bright = np.where((chip == NODATA).any(axis=0), 128, bright)
    return np.moveaxis(bright.astype(np.uint8), 0, -1)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """An image `(y, x, 3)` as PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()
