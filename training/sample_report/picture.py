"""Samples as a picture to print: where they lie, how green their classes are, and what was observed."""

from __future__ import annotations

import importlib.metadata
import textwrap
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.season import DAYS, mean_days
from inference.drawing.style import (
    EDGE,
    FAINT,
    GRID,
    INK,
    NOTE,
    SHADE,
    SHARES,
    SMALL,
    TEXT,
    framed_axes,
    new_figure,
    save_figure,
)
from inference.models.series import has_ndvi
from training.sample_report.ndvi import Curve, ndvi_curves
from training.sample_report.place_map import draw_frame, frame_places
from training.sample_report.report import Extent, SampleReport
from training.samples.crops import NAMES, color_of
from training.samples.samples import Samples

FORMATS: Final = (".png", ".pdf", ".svg")
"""What a picture may be."""

WIDTH, HEIGHT = 11.65, 8.2
"""Inches of the page: a sheet of A4 in landscape."""

MARGIN: Final = 0.5
"""Inches around everything."""

MAP_WIDTH, MAP_TOP, MAP_LEAST = 4.4, 6.95, 2.2
"""Inches: width of the map, its upper edge above the page's foot, and the least height."""

LEGEND_WIDTH: Final = 3.4
"""Inches of a legend of one column."""

BAR: Final = 2.0
"""Inches of the scale of the observations."""

MOST_BANDS: Final = 8
"""Classes whose middle halves are drawn; more of them would cover one another."""

LINE: Final = 0.25
"""Inches of one legend entry."""

LONGEST_LEGEND: Final = 20
"""Entries that fit the page; the rest is summed up."""

OTHER_COLORS: Final = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#b07aa1", "#9c755f", "#edc948", "#ff9da7",
)  # fmt: skip
"""Colours of classes that have none of their own, turn by turn."""

LONGEST_BRIDGE: Final = 30
"""Days without an observation that a curve is drawn across."""


def draw_samples(path: Path, samples: Samples, report: SampleReport) -> None:
    """Draw samples as a picture.

    Args:
        path: Where it shall stand, .png, .pdf or .svg.
        samples: At least one.
        report: Their numbers.

    Raises:
        InputError: The picture has another suffix.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"A picture ends in {', '.join(FORMATS)}; got --picture {path}.")
    figure = compose_picture(samples, report)
    save_figure(figure, path, _title(report))


def compose_picture(samples: Samples, report: SampleReport) -> Figure:
    """The page: map and legend on the left, NDVI and observations on the right."""
    figure = new_figure(WIDTH, HEIGHT)
    colors = class_colors(samples)
    page = _page(figure)
    _draw_title(page, report)
    below = MAP_TOP - 0.1
    if report.extent:
        below = _draw_map(figure, samples, report.extent, colors) - 0.55
    _draw_legend(page, report, colors, below)
    _draw_season(figure, samples, report, colors)
    _draw_footer(page, report)
    return figure


def class_colors(samples: Samples) -> dict[str, str]:
    """Class name -> `#rrggbb`: those of the legend, others turn by turn."""
    own = {name: color_of(name) for name in samples.class_names if name in NAMES}
    own |= dict(zip(samples.class_names, samples.colors or (), strict=False))
    free = [color for color in OTHER_COLORS if color not in own.values()] or list(OTHER_COLORS)
    rest = [name for name in samples.class_names if name not in own]
    return own | {name: free[index % len(free)] for index, name in enumerate(rest)}


def _page(figure: Figure) -> Axes:
    """Axes over the whole page whose units are inches."""
    page = figure.add_axes((0, 0, 1, 1), label="page")
    page.set_xlim(0, WIDTH)
    page.set_ylim(0, HEIGHT)
    page.set_axis_off()
    return page


def _panel(figure: Figure, label: str, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches."""
    axes = figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT), label=label)
    framed_axes(axes)
    return axes


def _text(page: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text as it stands: a dollar sign in a name is not a formula."""
    page.text(x, y, text, parse_math=False, **{"color": INK, "va": "center", **style})


def _title(report: SampleReport) -> str:
    classes = sum(count > 0 for count in report.classes.values())
    one = "" if report.samples == 1 else "s"
    return f"{report.samples:,} sample{one} of {classes} class{'' if classes == 1 else 'es'}"


def _draw_title(page: Axes, report: SampleReport) -> None:
    _text(page, MARGIN, HEIGHT - 0.5, _title(report), fontsize=17, fontweight="bold")
    parts = []
    if report.season_start:
        last = report.season_start + timedelta(days=DAYS - 1)
        parts.append(f"Season {_day(report.season_start)} to {_day(last)}")
    if report.countries:
        parts.append(", ".join(report.countries))
    parts.append(
        f"left out: {report.duplicates_dropped:,} duplicates, {report.sparse_dropped:,} with fewer than "
        f"{report.min_clear_bins} observed bins"
        + (f", {report.left_out:,} of other classes" if report.left_out else "")
    )
    _text(page, MARGIN, HEIGHT - 0.82, _cut("   ·   ".join(parts), 125), fontsize=10.5, color=FAINT)


def _draw_map(figure: Figure, samples: Samples, extent: Extent, colors: Mapping[str, str]) -> float:
    """Draw the places; returns the lower edge of the map in inches."""
    assert samples.lon is not None
    assert samples.lat is not None
    most = MAP_TOP - 1.15 - LINE * _legend_rows(len(samples.class_names))
    frame, x, y = frame_places(samples.lon, samples.lat, extent, MAP_WIDTH / max(most, MAP_LEAST))
    height = MAP_WIDTH / frame.aspect
    axes = _panel(figure, "map", MARGIN + 0.5, MAP_TOP - height, MAP_WIDTH, height)
    draw_frame(axes, frame)
    # Mixed, so that no class covers another because of its code.
    order = np.random.default_rng(0).permutation(len(samples))
    tints = np.array([colors[name] for name in samples.class_names])[samples.labels]
    size = float(np.clip(16_000 / len(samples), 1.5, 26))
    axes.scatter(
        x[order], y[order], s=size, c=tints[order], linewidths=0.25 if size > 5 else 0, edgecolors=INK,
        rasterized=True, zorder=2,
    )  # fmt: skip
    return MAP_TOP - height


def _legend_rows(classes: int) -> int:
    shown = min(classes, LONGEST_LEGEND)
    return shown if shown <= 4 else (shown + 1) // 2


def _draw_legend(page: Axes, report: SampleReport, colors: Mapping[str, str], top: float) -> None:
    """Colour, name, number and share of each class, in one column or two."""
    entries = list(report.classes.items())
    rest = entries[LONGEST_LEGEND - 1 :] if len(entries) > LONGEST_LEGEND else []
    shown: list[tuple[str, int, str]] = [
        (name, count, colors[name]) for name, count in entries[: len(entries) - len(rest)]
    ]
    if rest:
        shown.append((f"{len(rest)} others", sum(count for _, count in rest), "white"))
    rows = _legend_rows(len(shown)) if report.extent else len(shown)
    width = (MAP_WIDTH + 0.8) / 2 if rows < len(shown) else LEGEND_WIDTH
    for index, (name, count, color) in enumerate(shown):
        left, y = MARGIN + width * (index // rows), top - LINE * (index % rows)
        right = left + width - 0.25
        swatch = Rectangle((left, y - 0.07), 0.26, 0.15, facecolor=color, edgecolor=FAINT, linewidth=0.5)
        page.add_patch(swatch)
        _text(page, left + 0.36, y, _cut(name, 14 if width < LEGEND_WIDTH else 20), fontsize=TEXT)
        _text(page, right - 0.58, y, f"{count:,}", fontsize=TEXT, ha="right")
        _text(page, right, y, _share(count / report.samples), fontsize=TEXT, color=FAINT, ha="right")


def _share(share: float) -> str:
    return "< 0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def _draw_season(figure: Figure, samples: Samples, report: SampleReport, colors: Mapping[str, str]) -> None:
    """NDVI above, observations below, on one axis of time."""
    left = MARGIN + (0.5 + MAP_WIDTH if report.extent else LEGEND_WIDTH) + 1.2
    width = WIDTH - left - MARGIN - 0.15
    curves = ndvi_curves(samples) if has_ndvi(samples.recipe) else {}
    names = [name for name, count in samples.counts.items() if count]
    low = observed_height(len(names))
    foot = 1.2
    observed = _panel(figure, "observed", left, foot, width, low)
    bottom = foot + low + 0.85
    above = _panel(figure, "ndvi", left, bottom, width, MAP_TOP - bottom)
    for axes in (above, observed):
        _mark_months(axes, report)
    _draw_curves(above, curves, report, colors)
    _draw_observed(observed, samples, names)
    _draw_scale(figure, observed, left + width - BAR, foot - 0.42)
    observed.set_xlabel(_years(report), fontsize=8.5, color=FAINT, labelpad=2, loc="left")


def observed_height(classes: int) -> float:
    """Inches of the panel of observations, which has a row for each class."""
    return float(np.clip(0.24 * classes, 0.5, 2.6))


def _draw_curves(
    axes: Axes, curves: Mapping[str, Curve], report: SampleReport, colors: Mapping[str, str]
) -> None:
    bins, length = len(report.observed_by_bin), mean_days(report.bin_days)
    days = (np.arange(bins, dtype=np.float64) + 0.5) * length
    outline = [patheffects.Stroke(linewidth=2.9, foreground=EDGE), patheffects.Normal()]
    bands = len(curves) <= MOST_BANDS
    for name, curve in curves.items():
        day, (lower, median, upper) = _bridged(days, curve, longest=max(LONGEST_BRIDGE, 1.5 * length))
        if bands:
            axes.fill_between(day, lower, upper, color=colors[name], alpha=0.17, linewidth=0)
        axes.plot(day, median, color=colors[name], linewidth=1.9, path_effects=outline, label=name, zorder=3)
    first, last = report.window
    axes.axvspan(0, first * length, color=SHADE, zorder=-1)
    axes.axvspan((last + 1) * length, bins * length, color=SHADE, zorder=-1)
    axes.set_ylabel("NDVI", fontsize=9, color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    what = "median and middle half" if bands else "median"
    title = f"NDVI: {what} of each class" if curves else "No NDVI: B4 and B8 are not among the bands"
    _head(axes, title, "white: the model's window")


def _bridged(
    days: NDArray[np.float64], curve: Curve, *, longest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Days and quartiles `(3, day)` of the known bins; a NaN between two that are too far apart to join."""
    known = np.flatnonzero(~np.isnan(curve.median))
    values = np.stack([curve.lower, curve.median, curve.upper])[:, known]
    day = days[known]
    wide = np.flatnonzero(np.diff(day) > longest) + 1
    return np.insert(day, wide, np.nan), np.insert(values, wide, np.nan, axis=1)


def _draw_observed(axes: Axes, samples: Samples, names: list[str]) -> None:
    """One row per class, one column per bin: the share of its samples that was observed."""
    labels = [samples.class_names.index(name) for name in names]
    shares = np.stack([samples.observed[samples.labels == label].mean(axis=0) for label in labels])
    edges = np.arange(shares.shape[1] + 1) * samples.recipe.mean_bin_days
    axes.pcolormesh(edges, np.arange(len(names) + 1), 100 * shares, cmap=SHARES, vmin=0, vmax=100)
    axes.set_ylim(len(names), 0)
    size = min(8.5, 0.75 * 72 * observed_height(len(names)) / len(names))  # points, of a row of that height
    short = [_cut(name, 15) for name in names]
    axes.set_yticks(np.arange(len(names)) + 0.5, short, parse_math=False, fontsize=size)
    axes.tick_params(axis="y", length=0)
    _head(axes, "Observed samples of each class, bin by bin", "")


def _draw_scale(figure: Figure, observed: Axes, left: float, bottom: float) -> None:
    """What the colours of the observations mean."""
    axes = _panel(figure, "scale", left, bottom, BAR, 0.11)
    bar = figure.colorbar(observed.collections[0], cax=axes, orientation="horizontal")
    bar.set_ticks([0, 25, 50, 75, 100], labels=["0", "25", "50", "75", "100 %"])
    bar.outline.set(linewidth=0.6, edgecolor=FAINT)
    axes.tick_params(labelsize=8, length=2, width=0.6, colors=FAINT, labelcolor=INK)


def _head(axes: Axes, title: str, note: str) -> None:
    axes.set_title(title, fontsize=TEXT, color=INK, loc="left", pad=6)
    axes.set_title(note, fontsize=SMALL, color=FAINT, loc="right", pad=6)


def _mark_months(axes: Axes, report: SampleReport) -> None:
    """Ticks where months begin and their names between; twelfths of the season where its start is unknown."""
    starts, names = month_marks(report.season_start)
    ends = [*starts[1:], DAYS]
    axes.set_xlim(0, DAYS)
    axes.set_xticks(starts, [""] * len(starts))
    middles = [(start + end) / 2 for start, end in zip(starts, ends, strict=True)]
    axes.set_xticks(middles, names, minor=True, fontsize=8.5)
    axes.tick_params(axis="x", which="minor", length=0, pad=3, labelcolor=INK)


def month_marks(start: date | None) -> tuple[list[float], list[str]]:
    """Days since the season's start on which months begin, and what they are called.

    Args:
        start: First day of the season; None gives twelve equal parts, numbered.
    """
    if start is None:
        return [index * DAYS / 12 for index in range(12)], [str(index + 1) for index in range(12)]
    days = [start + timedelta(days=offset) for offset in range(DAYS)]
    begins = [offset for offset, day in enumerate(days) if day.day == 1 or offset == 0]
    ends = [*begins[1:], DAYS]
    # Half a month at either end has no room for its name.
    names = [
        f"{days[first]:%b}" if last - first >= 15 else "" for first, last in zip(begins, ends, strict=True)
    ]
    return [float(offset) for offset in begins], names


def _years(report: SampleReport) -> str:
    if report.season_start is None:
        return "month of the season (start unknown)"
    last = report.season_start + timedelta(days=DAYS - 1)
    if last.year == report.season_start.year:
        return str(last.year)
    return f"{report.season_start.year} to {last.year}"


def _draw_footer(page: Axes, report: SampleReport) -> None:
    version = importlib.metadata.version("cropmap")
    lines = textwrap.wrap(f"cropmap {version}   ·   Source: {report.source}", 180)
    text = "\n".join([*lines[:1], *([_cut(" ".join(lines[1:]), 180)] if lines[1:] else [])])
    _text(page, MARGIN, 0.28, text, fontsize=NOTE, color=FAINT, linespacing=1.4)


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
