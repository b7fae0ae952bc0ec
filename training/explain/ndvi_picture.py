"""NDVI of each class through the season, the target over the source."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from inference.drawing.style import FAINT, FIRST, GRID, INK, SECOND, SHADE
from training.explain.page import MARGIN, Page, foot_text, mark_months, rows_of, season_note
from training.explain.report import Explanation
from training.sample_report.ndvi import Curve

WIDTH, HEIGHT = 4.1, 2.0
"""Inches of a panel."""

GAP_X, GAP_Y = 0.45, 0.65
"""Inches between panels."""

STYLES: Final = {"source": (FIRST, "-"), "target": (SECOND, "--")}
"""Colours that also differ for colour-blind readers, and dashes that differ in grey."""


def compose_ndvi(explanation: Explanation) -> Page:
    """The page: one panel per class, both regions on one axis."""
    columns = min(3, len(explanation.classes)) if len(explanation.classes) != 4 else 2
    rows = rows_of(len(explanation.classes), columns)
    width = 2 * MARGIN + 0.4 + max(columns, 2) * (WIDTH + GAP_X) - GAP_X  # the texts need two columns
    page = Page.of(width, 1.65 + rows * (HEIGHT + GAP_Y))
    top = page.head("Greenness of each class through the season", _lines(explanation)) + 0.45
    for index, label in enumerate(explanation.classes):
        left = MARGIN + 0.4 + (index % columns) * (WIDTH + GAP_X)
        axes = page.panel(f"ndvi {label}", left, top + (index // columns) * (HEIGHT + GAP_Y), WIDTH, HEIGHT)
        _draw_panel(axes, explanation, label, first=index % columns == 0)
    page.foot(foot_text(explanation))
    return page


def _lines(explanation: Explanation) -> str:
    starts = [region.season_start for region in explanation.regions]
    months = {(start.month, start.day) if start else None for start in starts}
    when = (
        season_note(starts[0])
        if len(months) == 1
        else "The seasons start on different days; months are those of the source. "
    )
    lines = " and ".join(
        f"{region.domain} ({'blue' if region.domain == 'source' else 'orange, dashed'})"
        for region in explanation.regions
    )
    return f"NDVI: median and middle half of all samples, {lines}. White: the model's window. {when}"


def _draw_panel(axes: Axes, explanation: Explanation, label: int, *, first: bool) -> None:
    recipe = explanation.checkpoint.recipe
    crop = explanation.checkpoint.classes[label]
    counts = []
    for region in explanation.regions:
        curve = explanation.curves[region.domain].get(crop.name)
        counts.append(f"{region.samples.counts[crop.name]:,}")
        if curve:
            _draw_curve(axes, curve, recipe.mean_bin_days, *STYLES[region.domain])
    days = recipe.bins_in_season * recipe.mean_bin_days
    axes.axvspan(0, recipe.window.start * recipe.mean_bin_days, color=SHADE, zorder=-1)
    axes.axvspan(recipe.window.stop * recipe.mean_bin_days, days, color=SHADE, zorder=-1)
    mark_months(axes, explanation.regions[0].season_start, 0, days)
    axes.set_ylim(_lowest(explanation), 1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    if first:
        axes.set_ylabel("NDVI", fontsize=8.5, color=INK, labelpad=2)
    place = axes.transAxes
    axes.add_patch(
        Rectangle(
            (0, 1.04),
            0.03,
            0.07,
            facecolor=crop.color,
            edgecolor=FAINT,
            linewidth=0.5,
            transform=place,
            clip_on=False,
        )
    )
    axes.text(
        0.045,
        1.073,
        crop.name,
        parse_math=False,
        va="center",
        fontsize=9.5,
        fontweight="bold",
        transform=place,
    )
    axes.text(
        1,
        1.073,
        " and ".join(counts) + " samples",
        va="center",
        ha="right",
        fontsize=8,
        color=FAINT,
        transform=place,
    )


def _lowest(explanation: Explanation) -> float:
    """Lower end of the axis, for all panels: 0, or below the least quartile that is drawn (snow, water)."""
    drawn = [curve.lower for curves in explanation.curves.values() for curve in curves.values()]
    return min(0.0, math.floor(10 * float(np.nanmin(drawn))) / 10)


def _draw_curve(axes: Axes, curve: Curve, bin_days: float, color: str, dashes: str) -> None:
    """Across bins with too few observations the line goes straight on."""
    known = np.flatnonzero(~np.isnan(curve.median))
    days = (known + 0.5) * bin_days
    axes.fill_between(days, curve.lower[known], curve.upper[known], color=color, alpha=0.14, linewidth=0)
    axes.plot(days, curve.median[known], dashes, color=color, linewidth=1.8)
